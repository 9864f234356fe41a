"""Turns of the writers of one SQLite file."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dcc.mailbox.turn import SUFFIX, Turn

HOLDER = """
import sys
from pathlib import Path
from dcc.mailbox.turn import Turn
with Turn(Path(sys.argv[1]), 30).taken():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_threads_take_turns(tmp_path: Path) -> None:
    """Two threads are never inside at once."""
    turn = Turn(tmp_path / "db", 30)
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(200):
            with turn.taken():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turn.close()
    assert most == [1]


@pytest.mark.parametrize("end", ["release", "kill"])
def test_another_process_ends_its_turn(tmp_path: Path, end: str) -> None:
    """A turn held by another process is waited for; a process that dies gives its turn back."""
    path = tmp_path / "db"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        mine = threading.Event()

        def work() -> None:
            turn = Turn(path, 60)
            with turn.taken():
                mine.set()
            turn.close()

        thread = threading.Thread(target=work)
        thread.start()
        assert not mine.wait(0.05)
        if end == "kill":
            holder.kill()
        else:
            holder.stdin.write("\n")
            holder.stdin.flush()
        assert mine.wait(30)
        thread.join()


def test_patience_ends(tmp_path: Path) -> None:
    """A turn that is never given back delays a writer, and does not stop it: SQLite's own lock decides then."""
    path = tmp_path / "db"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        turn = Turn(path, 0.05)
        with turn.taken():
            assert holder.poll() is None
        turn.close()
        holder.kill()


def test_without_a_place_for_the_lock(tmp_path: Path) -> None:
    """A folder that is gone, or a database in memory, needs no lock file."""
    for path in (tmp_path / "absent" / "db", None):
        turn = Turn(path, 1)
        with turn.taken():
            assert not list(tmp_path.glob(f"**/*{SUFFIX}"))
        turn.close()
