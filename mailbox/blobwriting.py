"""The files of one deposit made durable side by side: the disk works while the rest of the deposit is decided.

A file takes its own name once it is complete, before it is durable: no row names it until `wait` has returned. What a
crash leaves has no row, and the clean-up of `BlobStore.orphans` removes it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path

from dcc.mailbox.spool import fsync_directory, storage_error

MOST_OPEN = 16  # files waiting for the disk at a time

Chunks = Iterable[bytes | bytearray | memoryview]


class DurableFiles:
    """Files of one folder, each fsynced by another thread; `wait` returns when all of them are durable."""

    def __init__(self, folder: Path, pool: Executor) -> None:
        self._folder = folder
        self._pool = pool
        self._pending: deque[Future[None]] = deque()
        self._written: list[Path] = []
        self._unnamed = False

    def write(self, name: str, fill: Callable[[int], None]) -> None:
        """Make one file, let `fill` write to its handle, and have it fsynced meanwhile. Raises StorageFull, OSError."""
        path = self._folder / name
        aside = path.with_suffix(".part")
        try:
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise storage_error(error) from error
        self._written += [aside, path]
        try:
            fill(handle)
            aside.rename(path)
        except OSError as error:
            os.close(handle)
            raise storage_error(error) from error
        except BaseException:
            os.close(handle)
            raise
        self._unnamed = True
        self._pending.append(self._pool.submit(_fsync, handle))
        while len(self._pending) > MOST_OPEN:
            self._take()

    def folder(self) -> None:
        """The folder may be new: its own name is made durable too, meanwhile."""
        self._pending.append(self._pool.submit(fsync_directory, self._folder.parent))

    def names(self) -> None:
        """No more files are written: their names are made durable too, meanwhile."""
        if self._unnamed:
            self._unnamed = False
            self._pending.append(self._pool.submit(fsync_directory, self._folder))

    def wait(self) -> None:
        """Every file and its name is durable. Raises StorageFull, OSError."""
        while self._pending:
            self._take()

    def drop(self) -> None:
        """What was written is not wanted: nothing of it stays."""
        for one in self._pending:
            one.exception()  # its handle is closed when it ends; whether the disk took it matters no more
        self._pending.clear()
        for path in self._written:
            path.unlink(missing_ok=True)

    def _take(self) -> None:
        try:
            self._pending.popleft().result()
        except OSError as error:
            raise storage_error(error) from error


def _fsync(handle: int) -> None:
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
