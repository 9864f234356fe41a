"""Zip archives from strangers: listed, checked and read within bounds, never unpacked to a disk (D2R-XDM02)."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dcc.router.request import Attachment
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile

ENTRIES = 500
DIRECTORY_SIZE = 1 << 20  # bytes of the central directory, which zipfile reads whole
NAME_LENGTH = 255
SMALL = 64 << 10  # an entry this small cannot be a bomb, whatever its ratio
BLOCK = 1 << 18
END = b"PK\x05\x06"
END64_LOCATOR = b"PK\x06\x07"
END64 = b"PK\x06\x06"
END_SIZE = 22
COMMENT = 0xFFFF


class ArchiveRefusedError(Exception):
    """The archive is unreadable (D2R-XDM01) or unsafe (D2R-XDM02); `detail` holds no content."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def unsafe(detail: str) -> ArchiveRefusedError:
    """D2R-XDM02."""
    return ArchiveRefusedError("D2R-XDM02", detail)


def unreadable(detail: str) -> ArchiveRefusedError:
    """D2R-XDM01."""
    return ArchiveRefusedError("D2R-XDM01", detail)


@dataclass(frozen=True, slots=True)
class Extracted:
    """One file of the archive, decompressed, with the SHA-1 that METADATA speaks of."""

    attachment: Attachment
    sha1: str


class SafeArchive:
    """A checked archive: its listing is safe, and reading stays within the declared sizes."""

    def __init__(self, source: Attachment, limits: Limits) -> None:
        self._source = source
        self._reader = source.open()
        _check_directory(self._reader, source.size)
        try:
            self._zip = zipfile.ZipFile(self._reader)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError):
            raise unreadable("zip") from None
        self._entries = _checked(self._zip.infolist(), source.size, limits)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files, `/` between folders, as written otherwise."""
        return tuple(self._entries)

    def extract(self, name: str, work: Callable[[], WorkFile]) -> Extracted:
        """Decompress one file; a stored one is not copied, its bytes stay where they are in the archive.

        Raises ArchiveRefusedError when its bytes do not follow the listing.
        """
        entry = self._entries[name]
        copy = None if entry.compress_type == zipfile.ZIP_STORED else work()
        start = 0 if copy is None else copy.size
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        size = 0
        for block in self._blocks(entry):
            sha256.update(block)
            sha1.update(block)
            size += len(block)
            if copy is not None:
                copy.write(block)
        if size != entry.file_size:
            raise unreadable("truncated")
        return Extracted(
            Attachment(
                name=name.rsplit("/", 1)[-1],
                media_type=media_type_of(name),
                size=size,
                sha256=sha256.hexdigest(),
                role="document",
                file=copy if copy is not None else self._source.file,
                start=start if copy is not None else self._source.start + self._data_offset(entry),
            ),
            sha1.hexdigest(),
        )

    def _blocks(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._zip.open(entry) as reader:
                while block := reader.read(BLOCK):
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error):
            raise unreadable("zip") from None

    def _data_offset(self, entry: zipfile.ZipInfo) -> int:
        """Where the bytes of a stored entry begin (APPNOTE §4.3.7: 30 bytes, name, extra field)."""
        self._reader.seek(entry.header_offset + 26)
        name_size, extra_size = struct.unpack("<HH", self._reader.read(4))
        return int(entry.header_offset + 30 + name_size + extra_size)


def media_type_of(name: str) -> str:
    """A media type from the ending of a name, for display only."""
    ending = name.rsplit(".", 1)[-1].lower()
    return {
        "xml": "text/xml",
        "pdf": "application/pdf",
        "xsl": "application/xslt+xml",
        "txt": "text/plain",
        "htm": "text/html",
        "html": "text/html",
        "zip": "application/zip",
    }.get(ending, "application/octet-stream")


def looks_like_zip(source: Attachment) -> bool:
    """Whether the bytes begin as a zip archive does (APPNOTE §4.3.7), or as an empty one."""
    with source.open() as reader:
        return reader.read(4) in (b"PK\x03\x04", END)


def _check_directory(reader: BinaryIO, size: int) -> None:
    """Bound the listing before zipfile reads it whole into memory (APPNOTE §4.3.16, §4.3.14)."""
    tail_size = min(size, END_SIZE + COMMENT + 20)
    reader.seek(size - tail_size)
    tail = reader.read(tail_size)
    place = tail.rfind(END)
    if place < 0 or len(tail) - place < END_SIZE:
        raise unreadable("zip")
    entries, directory_size = struct.unpack("<HI", tail[place + 10 : place + 16])
    locator = tail[place - 20 : place] if place >= 20 else b""
    if locator.startswith(END64_LOCATOR):
        (offset,) = struct.unpack("<Q", locator[8:16])
        if offset > size - 56:
            raise unreadable("zip")
        reader.seek(offset)
        record = reader.read(56)
        if not record.startswith(END64):
            raise unreadable("zip")
        entries, directory_size = struct.unpack("<QQ", record[32:48])
    if entries > ENTRIES:
        raise unsafe("entries")
    if directory_size > DIRECTORY_SIZE:
        raise unsafe("directory")
    reader.seek(0)


def _checked(listing: list[zipfile.ZipInfo], size: int, limits: Limits) -> dict[str, zipfile.ZipInfo]:
    if len(listing) > ENTRIES:
        raise unsafe("entries")
    total = sum(entry.file_size for entry in listing)
    # R-BOMB: the whole is bounded by a limit and by the archive's own size
    if total > max(limits.decompressed, size) or total > max(limits.decompression_ratio * size, SMALL):
        raise unsafe("total")
    found: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for entry in listing:
        name = _safe_name(entry)
        if name.casefold() in seen:
            raise unsafe("duplicate")
        seen.add(name.casefold())
        _check_entry(entry, limits)
        if not name.endswith("/"):
            found[name] = entry
    return found


def _check_entry(entry: zipfile.ZipInfo, limits: Limits) -> None:
    if entry.flag_bits & 0x1 or entry.flag_bits & 0x40:
        raise unsafe("encrypted")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise unsafe("link")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise unsafe("method")
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        raise unsafe("size")
    if entry.file_size > SMALL and entry.file_size > limits.decompression_ratio * entry.compress_size:
        raise unsafe("ratio")


def _safe_name(entry: zipfile.ZipInfo) -> str:
    """The name with `/` between folders. Refuses what could name another place, or deceive a reader (R-NAME)."""
    name = entry.orig_filename.replace("\\", "/")
    if not name or len(name) > NAME_LENGTH:
        raise unsafe("name")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise unsafe("absolute")
    parts = name.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise unsafe("path")
    plain = name.isascii() and name.isprintable()  # nearly every name; spares looking at each sign
    if not plain and any(unicodedata.category(sign) in ("Cc", "Cf", "Cs") for sign in name):
        raise unsafe("name")
    return name
