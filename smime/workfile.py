"""A work file whose plaintext never lies on a disk: memory first, then an unlinked file under an ephemeral key.

Counter mode allows seeking; the key exists in this process only and is used for this file only (decision 0007).
"""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

MEMORY = 8 << 20  # octets of one file in memory: what a mail of 10 MB brings never reaches the disk
GROWING = 1 << 18  # octets beyond which the memory is a mapping of its own: a heap that grows so far is left with holes
LARGEST = 16 << 20  # octets that a mapping can hold; what is not written takes no memory
SPARE = (
    16 << 20
)  # octets kept for the next files in mappings given back: new pages of memory cost more than filling them
ZEROS = bytes(1 << 16)
BLOCK = 16


class _Mapping(mmap.mmap):
    """Memory outside the heap."""

    touched = 0  # octets from its start that take memory, written or emptied


class _Mappings:
    """Memory for files beyond GROWING; what is given back holds nothing of what was in it."""

    def __init__(self) -> None:
        self._spare: list[_Mapping] = []

    def take(self) -> _Mapping:
        """LARGEST octets, empty. Raises OSError when there is no memory."""
        try:
            return self._spare.pop()
        except IndexError:  # none is spare
            return _Mapping(-1, LARGEST, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def give(self, mapping: _Mapping, used: int) -> None:
        """No more used; `used`: octets that were written from its start."""
        mapping.touched = max(mapping.touched, used)
        if mapping.touched + sum(one.touched for one in self._spare) > SPARE:
            return  # goes with its last reference
        for at in range(0, used, len(ZEROS)):
            mapping[at : min(used, at + len(ZEROS))] = ZEROS[: used - at]
        self._spare.append(mapping)


MAPPINGS = _Mappings()


class WorkFile:
    """Written once from front to back, then read anywhere, by any number of views."""

    def __init__(
        self,
        directory: Path | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        memory_limit: int = MEMORY,
    ) -> None:
        """`memory_limit`: octets in memory, at most LARGEST; more go to an unlinked file in `directory`."""
        self._directory = directory
        self._random = random_bytes
        self._limit = min(memory_limit, LARGEST)
        self._memory: bytearray | _Mapping = bytearray()
        self._handle: int | None = None
        self._key = b""
        self._closed = False
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append. Raises OSError when the disk is full."""
        if self._closed:
            raise ValueError("the work file is closed")
        length = len(data)
        if self._handle is None and self.size + length <= self._limit:
            self._keep(data, length)
        else:
            if self._handle is None:
                self._spill()
            self._append(data)
        self.size += length
        return length

    @property
    def in_memory(self) -> int:
        """Octets that this file holds in memory."""
        return self.size if self._handle is None and not self._closed else 0

    def _keep(self, data: bytes | bytearray | memoryview, length: int) -> None:
        if isinstance(self._memory, bytearray):
            if self.size + length <= GROWING:
                self._memory += data
                return
            mapped = MAPPINGS.take()
            mapped[: self.size] = self._memory
            self._memory = mapped
        self._memory[self.size : self.size + length] = data

    def expect(self, size: int) -> None:
        """So many octets will be written: more than is held in memory go to the disk from the first, copied once less.

        Raises OSError when the disk is full.
        """
        if self._handle is None and self.size + size > self._limit:
            self._spill()

    def _spill(self) -> None:
        handle, name = tempfile.mkstemp(dir=self._directory, prefix="work-")
        Path(name).unlink()
        self._handle = handle
        self._key = self._random(32)
        # One keystream from the start of the file; the key is never used again.
        self._writer = Cipher(AES(self._key), CTR(bytes(BLOCK))).encryptor()
        self._buffer = bytearray(1 << 18)
        with memoryview(self._memory) as held:
            self._append(held[: self.size])
        self._forget()

    def _forget(self) -> None:
        memory, self._memory = self._memory, bytearray()
        if isinstance(memory, _Mapping):
            MAPPINGS.give(memory, min(self.size, self._limit))

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        if self._handle is None:
            raise ValueError("not spilled")
        view = memoryview(data)
        while view:
            piece, view = view[: 1 << 17], view[1 << 17 :]
            count = self._writer.update_into(piece, self._buffer)
            out = memoryview(self._buffer)[:count]
            while out:
                out = out[os.write(self._handle, out) :]

    def read_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`."""
        if self._closed:
            raise ValueError("the work file is closed")
        count = max(0, min(count, self.size - offset))
        if self._handle is None:
            kept = bytes(memoryview(self._memory)[offset : offset + count])
            if self._closed:  # meanwhile: the mapping may be another file's by now
                raise ValueError("the work file is closed")
            return kept
        before = offset % BLOCK
        first = offset - before
        sealed = os.pread(self._handle, count + before, first)
        counter = (first // BLOCK).to_bytes(BLOCK, "big")
        decryptor = Cipher(AES(self._key), CTR(counter)).decryptor()
        clear = decryptor.update(sealed)
        return clear[before:] if before else clear

    def view(self, start: int = 0, size: int | None = None) -> BinaryIO:
        """An independent, seekable reader of `size` bytes from `start`."""
        length = self.size - start if size is None else size
        return cast("BinaryIO", View(self, start, max(0, min(length, self.size - start))))

    def close(self) -> None:
        """Forget the bytes and the key."""
        self._closed = True
        self._forget()
        self._key = b""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        if not self._closed:
            self.close()


class View(io.BufferedIOBase):
    """A bounded window on a work file."""

    def __init__(self, file: WorkFile, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        count = left if size is None or size < 0 else min(size, left)
        data = self._file.read_at(self._start + self._at, count)
        self._at += len(data)
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size if size >= 0 else 1 << 16)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
