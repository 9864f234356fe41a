"""Which gateway processes of an instance live, so that what a dead one held is taken up at once (I1).

Each process keeps a file locked in `run/` for as long as it runs; the kernel drops the lock with the process, however
it ends. Processes on other machines are not seen from here: their leases run out.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

SUFFIX = ".alive"


class Alive:
    """The sign of life of one process, and its view of the others."""

    def __init__(self, directory: Path, owner: str) -> None:
        directory.mkdir(exist_ok=True)
        aside = directory / f"{owner}.new"
        self._directory = directory
        self._path = directory / f"{owner}{SUFFIX}"
        self._handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside.rename(self._path)  # seen by others only once it is locked
        self.unfinished = False

    def dead(self) -> list[str]:
        """The owners that have ended without saying so."""
        found = []
        for path in self._directory.glob(f"*{SUFFIX}"):
            if path == self._path:
                continue
            try:
                handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue  # it has just left, or belongs to another user
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.append(path.name.removesuffix(SUFFIX))
            except OSError:
                continue  # alive
            finally:
                os.close(handle)
        return found

    def forget(self, owner: str) -> None:
        """Nothing is held under this name any more."""
        (self._directory / f"{owner}{SUFFIX}").unlink(missing_ok=True)

    def leave(self) -> None:
        """End in order. What is `unfinished` is left to the end of the process, and to those who then see it dead."""
        if self.unfinished:
            return
        self._path.unlink(missing_ok=True)
        os.close(self._handle)
