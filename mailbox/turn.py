"""Whose turn it is to write: threads and processes that share one SQLite file wait briefly instead of sleeping long.

SQLite has one writer at a time and lets the others sleep up to 100 ms between two looks. Taking turns here first makes
the wait as short as the transaction before. It is a courtesy, not a guard: SQLite's own lock still decides.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.0003
SUFFIX = "-turn"


class Turn:
    """The turn of one SQLite file; `path` None (in memory): the threads of this process only."""

    def __init__(self, path: Path | None, patience: float) -> None:
        self._path = path
        self._patience = patience
        self._threads = threading.Lock()
        self._handle: tuple[int, int] | None = None  # process, descriptor: a lock does not survive a fork

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn; after `patience` seconds go on without it, and let SQLite say what it says."""
        deadline = time.monotonic() + self._patience
        mine = self._threads.acquire(timeout=self._patience)
        try:
            handle = self._lock(deadline) if mine else None
            try:
                yield
            finally:
                if handle is not None:
                    fcntl.lockf(handle, fcntl.LOCK_UN)
        finally:
            if mine:
                self._threads.release()

    def close(self) -> None:
        """Close the file of the lock."""
        if self._handle is not None and self._handle[0] == os.getpid():
            os.close(self._handle[1])
        self._handle = None

    def _lock(self, deadline: float) -> int | None:
        handle = self._opened()
        while handle is not None:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return None
                time.sleep(LOOK_SECONDS)
            except OSError:
                return None  # a file system without locks: SQLite's own waiting is all there is
        return None

    def _opened(self) -> int | None:
        if self._handle is not None and self._handle[0] == os.getpid():
            return self._handle[1]
        if self._path is None:
            return None
        try:
            handle = os.open(f"{self._path}{SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None  # a read-only or full disk: the statement that follows tells it
        self._handle = (os.getpid(), handle)
        return handle
