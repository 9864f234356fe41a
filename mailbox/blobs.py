"""Documents as encrypted files: one key per file, chunks under AES-256-GCM, random names.

File: chunks of 64 KiB of clear bytes, each followed by its 16-octet tag. The nonce of a chunk is its number; the key
is used for this file only. Associated data: the file's name, the chunk's number and whether it is the last, so
that chunks cannot be moved, dropped or cut.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dcc.mailbox.blobwriting import DurableFiles
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.records import BlobRef
from dcc.mailbox.spool import storage_error, written_before

CHUNK = 1 << 16
TAG = 16
WAITING = 4  # files that wait for the disk at a time


class BlobDamaged(Exception):
    """The file is not what was written: changed, cut, or of another name."""


class BlobStore:
    """A folder of encrypted files."""

    def __init__(self, directory: Path, keyring: KeyRing, random_bytes: Callable[[int], bytes]) -> None:
        self._directory = directory
        self._keyring = keyring
        self._random = random_bytes
        # Folders whose names are durable, as far as this process knows: another may be making one at this moment.
        self._lasting: set[Path] = set()
        self._pool = ThreadPoolExecutor(WAITING, "durable")  # waits for the disk; without a file, without a thread

    def put(self, chunks: Iterable[bytes | bytearray | memoryview]) -> BlobRef:
        """Encrypt and keep a stream, durably. Raises StorageFull."""
        with self.together() as kept:
            return kept.put(chunks)

    @contextmanager
    def together(self) -> Iterator[Together]:
        """Keep several streams, in one folder; all are durable at the end, and none is there if it raises.

        Raises StorageFull, at the end or before.
        """
        first = self._random(1)
        folder = self._directory / first.hex()
        files = DurableFiles(folder, self._pool)
        try:
            if folder not in self._lasting or not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                files.folder()
            yield Together(files, self._keyring, self._random, first)
            files.names()
            files.wait()
            self._lasting.add(folder)
        except OSError as error:
            files.drop()
            raise storage_error(error) from error
        except BaseException:
            files.drop()  # the source failed: nothing of it stays
            raise

    def open(self, ref: BlobRef) -> BinaryIO:
        """A seekable reader of the clear bytes. Raises FileNotFoundError, KeyMissing; BlobDamaged while reading."""
        key = self._keyring.unwrap(ref.key_version, ref.wrapped_key)
        return io.BufferedReader(_BlobReader(self._path(ref.id), ref, AESGCM(key)), CHUNK)

    def read(self, ref: BlobRef) -> bytes:
        """The clear bytes, whole: small documents only."""
        with self.open(ref) as file:
            return file.read()

    def remove(self, ref: BlobRef) -> None:
        """Remove one file that no row names."""
        self._path(ref.id).unlink(missing_ok=True)

    def exists(self, ref: BlobRef) -> bool:
        """Whether the file is there, with the size that its row says."""
        try:
            return self._path(ref.id).stat().st_size == sealed_size(ref.size)
        except FileNotFoundError:
            return False

    def orphans(self, older_than: datetime, known: Callable[[str], bool]) -> Iterator[Path]:
        """Files last written before this time that no row names (`known(blob id)`), and writes cut short."""
        for path in self.files():
            if written_before(path, older_than) and (path.suffix == ".part" or not known(path.name)):
                yield path

    def files(self) -> Iterable[Path]:
        """Every file, for backup and clean-up."""
        return self._directory.glob("*/*")

    def _path(self, blob_id: str) -> Path:
        return self._directory / blob_id[:2] / blob_id


class Together:
    """Streams that are kept together: each is written at once, and durable when the block of `together` has ended."""

    def __init__(
        self, files: DurableFiles, keyring: KeyRing, random_bytes: Callable[[int], bytes], first: bytes
    ) -> None:
        self._files = files
        self._keyring = keyring
        self._random = random_bytes
        self._first = first

    def put(self, chunks: Iterable[bytes | bytearray | memoryview]) -> BlobRef:
        """Encrypt and write a stream. Raises StorageFull."""
        blob_id = (self._first + self._random(15)).hex()
        key = self._random(32)
        version, wrapped = self._keyring.wrap(key)
        written = []

        def fill(handle: int) -> None:
            with os.fdopen(handle, "wb", buffering=0, closefd=False) as file:
                written.append(_encrypt(chunks, file, AESGCM(key), blob_id))

        self._files.write(blob_id, fill)
        ((size, sha256),) = written
        return BlobRef(blob_id, size, sha256, version, wrapped)

    def last(self) -> None:
        """No more streams: their names are made durable meanwhile."""
        self._files.names()


def sealed_size(size: int) -> int:
    """Octets of the file that holds `size` clear octets: one tag a chunk, and one chunk at least."""
    return size + TAG * max(1, -(-size // CHUNK))


def _associated(blob_id: str, number: int, last: bool) -> bytes:
    return blob_id.encode() + number.to_bytes(8, "big") + bytes([last])


def _encrypt(
    chunks: Iterable[bytes | bytearray | memoryview], file: io.RawIOBase, cipher: AESGCM, blob_id: str
) -> tuple[int, str]:
    digest = hashlib.sha256()
    pending = bytearray()
    size = number = 0

    def emit(block: bytes, last: bool) -> None:
        nonlocal number
        sealed = cipher.encrypt(number.to_bytes(12, "big"), block, _associated(blob_id, number, last))
        view = memoryview(sealed)
        while view:  # a disk that fills up takes a part first, and fails at the next write only
            view = view[file.write(view) or 0 :]
        number += 1

    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        pending += chunk
        full = (len(pending) - 1) // CHUNK if pending else 0  # the last chunk is kept back: it is marked as such
        for index in range(full):
            emit(bytes(pending[index * CHUNK : (index + 1) * CHUNK]), False)
        del pending[: full * CHUNK]
    emit(bytes(pending), True)
    return size, digest.hexdigest()


class _BlobReader(io.RawIOBase):
    """Decrypts one chunk at a time; seeks to any octet."""

    def __init__(self, path: Path, ref: BlobRef, cipher: AESGCM) -> None:
        self._file = path.open("rb", buffering=0)
        self._ref = ref
        self._cipher = cipher
        self._last = max(0, -(-ref.size // CHUNK) - 1)
        self._position = 0
        self._number = -1
        self._chunk = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ref.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._position >= self._ref.size:
            return 0
        number, inside = divmod(self._position, CHUNK)
        if number != self._number:
            self._load(number)
        piece = self._chunk[inside : inside + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _load(self, number: int) -> None:
        self._file.seek(number * (CHUNK + TAG))
        sealed = self._file.read(CHUNK + TAG)
        last = number == self._last
        if len(sealed) < TAG:
            raise BlobDamaged("a stored document is cut short")
        try:
            self._chunk = self._cipher.decrypt(
                number.to_bytes(12, "big"), sealed, _associated(self._ref.id, number, last)
            )
        except InvalidTag as error:
            raise BlobDamaged("a stored document does not decrypt") from error
        self._number = number

    def close(self) -> None:
        self._file.close()
        super().close()
