"""Runs the fuzzers: atheris where it is installed, plain mutation where it is not. `python tests/fuzz/run.py --help`."""

from __future__ import annotations

import argparse
import base64
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
TARGETS = ("ber", "cms", "mime", "open", "card")
LONGEST = 1 << 15


def main() -> int:
    """One target in this process, or all of them in turn."""
    parser = argparse.ArgumentParser(
        description="Fuzz the readers of S/MIME and of cards.", epilog="Example: run.py --seconds 7 cms open"
    )
    parser.add_argument("targets", nargs="*", help="ber, cms, mime, open, card; all without")
    parser.add_argument("--seconds", type=int, default=7, help="for each target (7)")
    parser.add_argument(
        "--plain", action="store_true", help="mutation without coverage, even where atheris is installed"
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        return _one(asked.one, asked.seconds, plain=asked.plain)
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    failed = []
    for target in asked.targets or TARGETS:
        command = [sys.executable, __file__, "--one", target, "--seconds", str(asked.seconds)]
        done = subprocess.run(
            [*command, *(["--plain"] if asked.plain else [])], check=False, text=True, capture_output=True
        )
        count = re.search(r"number_of_executed_units: (\d+)|: (\d+) inputs", done.stdout + done.stderr)
        print(
            f"{target}: {'failed' if done.returncode else 'ok'}, {(count[1] or count[2]) if count else 0} inputs",
            flush=True,
        )
        if done.returncode:
            print(done.stdout, done.stderr, flush=True)
            failed.append(target)
    return 1 if failed else 0


def _one(target: str, seconds: int, *, plain: bool) -> int:
    sys.path.insert(0, str(TESTS))
    if plain or importlib.util.find_spec("atheris") is None:
        return _plain(target, seconds)
    with tempfile.TemporaryDirectory() as folder:
        _with_atheris(target, seconds, Path(folder))
    return 0


def _plain(target: str, seconds: int) -> int:
    from fuzz import corpus, harness

    seeds = corpus.seeds(target)
    rng = random.Random(int.from_bytes(os.urandom(8), "big"))
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = corpus.mutate(rng, rng.choice(seeds), seeds)
        count += 1
        try:
            harness.run(target, data)
        except BaseException:
            _say(target, data)
            raise
    print(f"{target}: {count} inputs without coverage")
    return 0


def _with_atheris(target: str, seconds: int, folder: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["dcc.smime", "dcc.cards"]):
        from fuzz import corpus, harness

    seeds = corpus.seeds(target)
    start = folder / "corpus"
    start.mkdir()
    for number, seed in enumerate(seeds):
        (start / str(number)).write_bytes(seed)

    def one(data: bytes) -> None:
        try:
            harness.run(target, data)
        except BaseException:
            _say(target, data)
            raise

    def change(data: bytes, longest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, longest))
        return corpus.mutate(rng, data, seeds)[:longest]

    options = [
        f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=60", "-rss_limit_mb=2048", "-verbosity=0",
        "-print_final_stats=1", f"-artifact_prefix={folder}/",
    ]  # fmt: skip
    arguments: list[Any] = [sys.argv[0], *options, str(start)]
    atheris.Setup(arguments, one, custom_mutator=change)
    atheris.Fuzz()


def _say(target: str, data: bytes) -> None:
    """The input that failed, so that it can become a test."""
    print(f"failed input of {target}: {base64.b64encode(data).decode()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
