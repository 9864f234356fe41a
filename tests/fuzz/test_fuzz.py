"""The fuzzers' harnesses on their corpus and on a fixed series of changes to it; inputs that once failed stay here."""

from __future__ import annotations

import base64
import random
import subprocess
import sys
from pathlib import Path

import pytest

from dcc.smime.verdict import Problem
from fuzz import corpus, harness

FOUND = Path(__file__).with_name("found.txt")


@pytest.mark.parametrize("target", harness.HARNESSES)
def test_corpus(target: str) -> None:
    """Every legal seed passes its harness."""
    for seed in corpus.seeds(target):
        harness.run(target, seed)


@pytest.mark.parametrize("target", harness.HARNESSES)
def test_changes(target: str) -> None:
    """Six hundred changed seeds, the same in every run but for the keys, pass their harness."""
    rng, seeds = random.Random(2024), corpus.seeds(target)
    for _ in range(600):
        data = corpus.mutate(rng, rng.choice(seeds), seeds)
        try:
            harness.run(target, data)
        except AssertionError:
            print(base64.b64encode(data).decode())
            raise


def test_seeds_reach_their_ends() -> None:
    """The seeds are what they claim: the signed ones are believed, the sealed ones opened with each key of ours."""
    from io import BytesIO

    from dcc.smime.open import open_cms, open_message

    believed = 0
    for one in corpus.structures():
        found = open_cms(BytesIO(one), keys=harness.keys(), post_quantum=True)
        believed += found.problem is None
        assert found.decrypted == found.encrypted, found.detail
        found.close()
    assert believed >= 10
    mails = [open_message(BytesIO(one), keys=harness.keys()) for one in corpus.mails()]
    assert [found.problem for found in mails].count(None) >= 4
    assert {found.problem for found in mails} == {None, Problem.NOT_SIGNED}


def test_harness_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that believes what nobody signed, or falls over, fails the harness."""
    seed = corpus.seeds("cms")[0]
    monkeypatch.setattr(harness, "GENUINE", {"0" * 64})
    with pytest.raises(AssertionError):
        harness.run("cms", seed)
    monkeypatch.undo()
    monkeypatch.setattr(
        "dcc.smime.signerinfo.read", lambda *_: (_ for _ in ()).throw(IndexError("nobody thought of it"))
    )
    with pytest.raises(AssertionError, match="IndexError"):
        harness.run("cms", seed)


def found() -> list[tuple[str, str, bytes]]:
    """(what it did, target, input) of every line of found.txt."""
    rows = [line.split(" ", 2) for line in FOUND.read_text().splitlines() if line and not line.startswith("#")]
    return [(name, target, base64.b64decode(text)) for name, target, text in rows]


@pytest.mark.parametrize(("target", "data"), [row[1:] for row in found()], ids=[row[0] for row in found()])
def test_found(target: str, data: bytes) -> None:
    """An input that a fuzzer once made the reader fail with passes."""
    harness.run(target, data)


@pytest.mark.parametrize("engine", [["--plain"], []], ids=["plain", "atheris"])
def test_command(engine: list[str]) -> None:
    """The command that `make fuzz` calls runs a target for its time and ends well."""
    if not engine:
        pytest.importorskip("atheris")
    run = Path(__file__).with_name("run.py")
    done = subprocess.run(
        [sys.executable, run, "ber", "--seconds", "1", *engine],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ber: ok" in done.stdout
