"""`run/ready.json`: where the gateway listens; of several processes on one instance, where each of them does.

The last that came is the one whose `pid` stands there. It hands on the doors of those that still run, and takes away
its own only: roles may be started, and ended, one by one.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

Told = dict[str, object]
DOORS = ("smtp", "smtps")


class ReadyFile:
    """What this process says, from when it listens until it ends."""

    def __init__(self, directory: Path, told: Told) -> None:
        directory.mkdir(exist_ok=True)
        self._path = directory / "ready.json"
        self._told = told
        self._before = _of_the_living(self._read())
        handed_on = {door: self._before[door] for door in DOORS if not told.get(door) and self._before.get(door)}
        self._write({**told, **handed_on})

    def remove(self) -> None:
        """This process listens no more."""
        found = self._read()
        if found.get("pid") != self._told["pid"]:  # a later process's: our doors are closed all the same
            closed = {door: None for door in DOORS if found.get(door) and found[door] == self._told.get(door)}
            if closed:
                self._write({**found, **closed})
            return
        before = _of_the_living(self._before)
        if before:
            self._write(before)
        else:
            self._path.unlink(missing_ok=True)

    def _read(self) -> Told:
        try:
            found = json.loads(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, told: Told) -> None:
        aside = self._path.with_name(f"ready.{time.monotonic_ns()}")
        aside.write_text(json.dumps(told) + "\n", encoding="ascii")
        aside.replace(self._path)


def _of_the_living(told: Told) -> Told:
    """What another process says that still runs; nothing where it was killed."""
    pid = told.get("pid")
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return {}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return {}
    except PermissionError:  # another user's: it runs
        return told
    return told
