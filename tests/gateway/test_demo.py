"""`dcc demo`: the main job on embedded defaults, from start to end by itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcc.gateway.cast_reader import Cast
from processor import seconds_used_by
from terminal import dcc

MINUTE = 60.0


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, float]]:
    """One demo, kept and served afterwards: (the instance, what it said, processor seconds until the story ended)."""
    directory = tmp_path_factory.mktemp("played") / "kept"
    (directory.parent / "empty").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "dcc.gateway.cli", "demo", "--keep", str(directory), "--serve"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        cwd=directory.parent / "empty",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("L'instance est gardée"):
                seconds = seconds_used_by(process.pid)
            if line.startswith("écoute"):
                break
        yield directory, "".join(said), seconds
        process.send_signal(signal.SIGTERM)
        assert process.wait(MINUTE) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_the_story(played: tuple[Path, str, float]) -> None:
    """It says what was filed and what was refused, and with which reason, who received what, and that the trace holds."""
    said = played[1]
    assert said.count(": CLASSÉ") == 3
    assert said.count(": REFUSÉ") == 4
    assert "3 envois classés, 4 refusés ; tout est comme attendu." in said
    assert "classé" in said
    assert "refusé" in said
    assert re.findall(r"^ +([0-9A-Z-]+) : ", said, re.MULTILINE) == ["D2R-CRL02", "D2R-CNS02", "D2R-MAN01", "D2R-SIG02"]
    assert "scellé pour lui seul" in said
    assert re.search(r"La trace : \d+ enregistrements, intacte", said)


def test_under_a_minute(played: tuple[Path, str, float]) -> None:
    """The story takes less than a minute of the processor: a busy machine may keep it waiting."""
    assert played[2] < MINUTE


def test_it_names_no_patient(played: tuple[Path, str, float]) -> None:
    """What it tells, its log included, names no patient."""
    directory, said, _ = played
    told = said + (directory / "run" / "journal.log").read_text(encoding="utf-8")
    for patient in Cast.load(directory).told["patients"]:
        assert patient["birth_name"] not in told
        assert patient["ins"] not in told


def test_it_writes_nothing_where_it_is_run(played: tuple[Path, str, float]) -> None:
    """It leaves nothing in the folder that it is run from."""
    assert list((played[0].parent / "empty").iterdir()) == []


def test_the_kept_instance_is_served(played: tuple[Path, str, float]) -> None:
    """With --keep the instance stays, with --serve the gateway listens afterwards: other commands can be tried on it."""
    directory, said, _ = played
    told = json.loads((directory / "run" / "ready.json").read_text(encoding="ascii"))
    assert told["smtp"] in said.splitlines()[-1]
    listed = dcc("message", "list", "-c", directory / "dcc.toml", "--json")
    assert sorted(one["state"] for one in listed.json) == ["filed"] * 3 + ["refused"] * 4
    assert dcc("audit", "verify", "-c", directory / "dcc.toml").code == 0
    sink = directory / "sink"
    reader = Cast.load(directory).person("gp")["mailbox"]
    assert len(list((sink / reader / "new").iterdir())) == 3


def test_a_second_time_in_the_same_place(played: tuple[Path, str, float]) -> None:
    """A folder that holds an instance is not played in: exit 1, one sentence, nothing changed."""
    done = dcc("demo", "--keep", played[0])
    assert done.code == 1
    assert done.err == f"{played[0]} contient déjà une instance : rien n'a été changé\n"


def test_serve_needs_a_place() -> None:
    """`--serve` without `--keep` is a usage error: the instance would vanish."""
    done = dcc("demo", "--serve")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
