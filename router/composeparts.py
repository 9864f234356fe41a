"""The attachments of a report as MIME text, encoded once for a deposit and read again for each reader."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import encode_rfc2231
from pathlib import Path
from typing import BinaryIO

from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.records import Document, Folder, Part, Patient
from dcc.router.blocks import Reading
from dcc.router.copies import Copy, readable
from dcc.router.passedon import may_pass_on
from dcc.router.wrap import ARCHIVE, MEDIA_TYPE, write_archive
from dcc.smime.segments import FileSegment
from dcc.smime.transfer import base64_lines, base64_size
from dcc.smime.workfile import WorkFile

KEPT = 4  # deposits whose encoded attachments are kept at hand
IN_MEMORY = 16 << 20  # octets of all of them together in memory; what is expected to be larger lies on the disk
SMALL = 1 << 17  # octets of a part that is held in memory meanwhile
CHUNK = 57 * 1024  # a multiple of a base64 line, so that no octet is carried over


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """One attachment: its header block and where its base64 text lies."""

    name: str
    media_type: str
    segment: FileSegment


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What is attached to a report, and what its body shows of the documents."""

    parts: tuple[EncodedPart, ...]
    readings: tuple[Reading, ...]


def attachment_head(name: str, media_type: str) -> bytes:
    """The headers of one attachment; names beyond ASCII as RFC 2231 says (ECO.2.1.6)."""
    if name.isascii() and '"' not in name and "\\" not in name:
        shown, typed = f'filename="{name}"', f'name="{name}"'
    else:
        encoded = encode_rfc2231(name, "utf-8")
        shown, typed = f"filename*={encoded}", f"name*={encoded}"
    return (
        f"Content-Type: {media_type};\r\n {typed}\r\n"
        f"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n {shown}\r\n\r\n"
    ).encode("ascii")


class EncodedDeposits:
    """A small cache of encoded attachments; each lies under an ephemeral key of its own."""

    def __init__(self, blobs: BlobStore, workdir: Path | None, random_bytes: Callable[[int], bytes]) -> None:
        self._blobs = blobs
        self._workdir = workdir
        self._random = random_bytes
        self._kept: OrderedDict[tuple[object, ...], tuple[WorkFile, Enclosed]] = OrderedDict()
        self._lock = threading.Lock()

    def enclosed(self, documents: Sequence[Document], patient: Patient, folder: Folder, *, complete: bool) -> Enclosed:
        """What is attached for these documents: one archive, and readable copies beside it (ECO.2.1.1).

        `complete`: they are all that the deposit brought. Then its own archive is passed on as it came, where it says
        all that a receiver needs, and so are its other attachments; else the archive is made anew, with the patient as
        we know them, and holds nothing but these documents (I4).
        """
        key = (tuple(one.id for one in documents), patient, folder.id, complete)
        with self._lock:  # two readers of one deposit wait for the one encoding
            known = self._kept.get(key)
            if known is None:
                known = self._kept[key] = self._encode(documents, patient, folder, complete)
                self._let_go(KEPT, IN_MEMORY)  # it may have become larger than was thought
            else:
                self._kept.move_to_end(key)
        return known[1]

    def _encode(
        self, documents: Sequence[Document], patient: Patient, folder: Folder, complete: bool
    ) -> tuple[WorkFile, Enclosed]:
        received = _received(documents) if complete else []
        own = [part for one in documents for part in one.parts[:1]]
        copies = sum(one.size for one in own)  # base64 in a CDA is about as long as the base64 of its copy
        size = copies + base64_size(sum(one.size for one in received or own))
        # One that is larger than all may be lies on the disk, and takes no room beside the others
        self._let_go(KEPT - 1, IN_MEMORY - size if size <= IN_MEMORY else IN_MEMORY)
        file = WorkFile(self._workdir, self._random, IN_MEMORY)
        file.expect(size)
        return file, self._enclose(file, documents, received, patient, folder)

    def _let_go(self, count: int, octets: int) -> None:
        """The oldest, until no more than these are kept; still open for whoever reads one, closed with its last reader."""
        while len(self._kept) > count or sum(file.in_memory for file, _ in self._kept.values()) > octets:
            self._kept.popitem(last=False)

    def _enclose(
        self, file: WorkFile, documents: Sequence[Document], received: Sequence[Part], patient: Patient, folder: Folder
    ) -> Enclosed:
        archives = [one for one in received if one.role == "archive"]
        opened = _Opened(self._blobs)
        if len(archives) == 1 and may_pass_on(archives[0], patient, opened, self._work):
            parts = [_stored(file, archives[0], ARCHIVE, opened)]
        else:
            parts = [self._archive(documents, patient, file, opened)]
        beside = [one for one in received if one.role == "attachment"]
        found = readable(documents, beside, patient, folder, opened, self._work)
        parts += [_copy(file, one, opened) for one in found.files]
        return Enclosed(tuple(parts), found.readings)

    def _work(self) -> WorkFile:
        return WorkFile(self._workdir, self._random)

    def _archive(self, documents: Sequence[Document], patient: Patient, file: WorkFile, opened: _Opened) -> EncodedPart:
        made = self._work()
        try:
            size = write_archive(documents, patient, opened, made)
            return _encoded(file, ARCHIVE, MEDIA_TYPE, _chunks(made.view(0, size).read))
        finally:
            made.close()


class _Opened:
    """Stored parts while one deposit is enclosed; a small one is looked at several times and decrypted once."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._small: dict[str, bytes] = {}

    def __call__(self, part: Part) -> BinaryIO:
        """The octets of one part. Raises FileNotFoundError, KeyMissing; BlobDamaged, here or while reading."""
        if part.size > SMALL:
            return self._blobs.open(part.blob)
        known = self._small.get(part.blob.id)
        if known is None:
            known = self._small[part.blob.id] = self._blobs.read(part.blob)
        return io.BytesIO(known)


def _copy(file: WorkFile, copy: Copy, opened: _Opened) -> EncodedPart:
    if copy.part is not None:
        return _stored(file, copy.part, copy.name, opened)
    if copy.chunks is None:
        raise ValueError("a copy without content")
    return _encoded(file, copy.name, copy.media_type, copy.chunks())


def _stored(file: WorkFile, part: Part, name: str, opened: _Opened) -> EncodedPart:
    with opened(part) as source:
        return _encoded(file, name, part.media_type, _chunks(source.read))


def encoded_part(name: str, media_type: str, data: bytes, random_bytes: Callable[[int], bytes]) -> EncodedPart:
    """A small attachment made in memory."""
    return _encoded(WorkFile(None, random_bytes), name, media_type, iter((data,)))


def _encoded(file: WorkFile, name: str, media_type: str, chunks: Iterator[bytes]) -> EncodedPart:
    start = file.size
    for lines in base64_lines(chunks):
        file.write(lines)
    return EncodedPart(name, media_type, FileSegment(file.view, start, file.size - start))


def _received(documents: Sequence[Document]) -> list[Part]:
    """The archives and attachments of these documents, each once; files inside an archive are not repeated."""
    found: dict[str, Part] = {}
    for document in documents:
        for part in document.parts:
            if part.role in {"archive", "attachment"}:
                found.setdefault(part.blob.id, part)
    return list(found.values())


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(CHUNK):
        yield piece
