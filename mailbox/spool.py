"""The spool: the received bytes, on disk before the sender is told `250`, and never rewritten (I1, I6)."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class StorageFull(Exception):
    """No room left on the spool's disk (RFC 5321 §4.2.3: 452)."""


def fsync_directory(directory: Path) -> None:
    """Make a rename in this directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class SpoolWriter:
    """One message while it is received: hashed as it is written."""

    def __init__(self, directory: Path, message_id: str) -> None:
        self.message_id = message_id
        self._directory = directory
        self._partial = directory / f"{message_id}.part"
        self._hash = hashlib.sha256()
        self.size = 0
        try:
            handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise storage_error(error) from error
        self._file: BinaryIO | None = os.fdopen(handle, "wb", buffering=0)

    @property
    def sha256(self) -> str:
        """Of the bytes received so far, without what we wrote in front; hex."""
        return self._hash.hexdigest()

    def write_front(self, data: bytes) -> None:
        """Our own Received field: kept in front of the message, not part of its hash."""
        self._write(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Received bytes. Raises StorageFull."""
        self._hash.update(data)
        self.size += len(data)
        self._write(data)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        if self._file is None:
            raise ValueError("the spool file is closed")
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise storage_error(error) from error

    def commit(self) -> Path:
        """Flush to the disk, then rename, then make the rename durable. Raises StorageFull."""
        if self._file is None:
            raise ValueError("the spool file is closed")
        target = self._directory / f"{self.message_id}.eml"
        try:
            os.fsync(self._file.fileno())
            self._partial.rename(target)
            fsync_directory(self._directory)
            self._file.close()
        except OSError as error:
            target.unlink(missing_ok=True)  # nobody will be told that we have it
            raise storage_error(error) from error
        self._file = None
        return target

    def discard(self) -> None:
        """Forget the message: nobody was told that we have it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self.discard()


class Spool:
    """A folder with one file per message."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create(self, message_id: str) -> SpoolWriter:
        """Begin to receive one message. Raises StorageFull."""
        return SpoolWriter(self.directory, message_id)

    def path(self, message_id: str) -> Path:
        """Where the committed message lies."""
        return self.directory / f"{message_id}.eml"

    def open(self, message_id: str) -> BinaryIO:
        """The received bytes. Raises FileNotFoundError."""
        return self.path(message_id).open("rb")

    def remove(self, message_id: str) -> None:
        """Take a message out, once its bytes are kept elsewhere or nobody was told of it."""
        self.path(message_id).unlink(missing_ok=True)
        fsync_directory(self.directory)

    def free_bytes(self) -> int:
        """Room left on the spool's disk, in bytes."""
        return free_bytes(self.directory)

    def orphans(self, older_than: datetime) -> Iterator[str]:
        """Names of files last written before this time; the caller keeps those whose id has a row.

        `Path(name).stem` is the message's id. A `.part` was never acknowledged to anybody.
        """
        for path in self.directory.iterdir():
            if path.suffix in {".eml", ".part"} and written_before(path, older_than):
                yield path.name

    def discard_file(self, name: str) -> None:
        """Remove one orphan found by `orphans`."""
        (self.directory / Path(name).name).unlink(missing_ok=True)


def free_bytes(directory: Path) -> int:
    """Room left on the disk of a folder, in bytes."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def as_received(source: BinaryIO, size: int, sha256: str) -> bool:
    """Whether these are the octets that were received, by their number and hash; our own Received field stands before.

    Where fewer octets are left than were received, they are others.
    """
    source.seek(max(0, source.seek(0, os.SEEK_END) - size))
    digest = hashlib.sha256()
    while piece := source.read(1 << 18):
        digest.update(piece)
    return digest.hexdigest() == sha256


def written_before(path: Path, time: datetime) -> bool:
    """Whether a file was last written before this time; a file that went away meanwhile was not."""
    try:
        return path.stat().st_mtime < time.timestamp()
    except FileNotFoundError:
        return False


def storage_error(error: OSError) -> Exception:
    """StorageFull where the disk or the quota is full, else the error itself."""
    return StorageFull("no room left") if error.errno in NO_ROOM else error
