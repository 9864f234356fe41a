"""The attachments of a report as MIME text, encoded once for a deposit and read again for each reader."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import encode_rfc2231
from pathlib import Path

from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.records import Document, Part, Patient
from dcc.router.wrap import ARCHIVE, MEDIA_TYPE, needs_archive, write_archive
from dcc.smime.segments import FileSegment
from dcc.smime.transfer import base64_lines
from dcc.smime.workfile import WorkFile

KEPT = 4  # deposits whose encoded attachments are kept at hand
CHUNK = 57 * 1024  # a multiple of a base64 line, so that no octet is carried over


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """One attachment: its header block and where its base64 text lies."""

    name: str
    media_type: str
    segment: FileSegment


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
        self._kept: OrderedDict[tuple[str, ...], tuple[WorkFile, list[EncodedPart]]] = OrderedDict()
        self._lock = threading.Lock()

    def parts(self, documents: Sequence[Document], patient: Patient) -> list[EncodedPart]:
        """What is attached for these documents: the archive and every attachment, as received, each once.

        Documents that came without an archive get one (ECO.2.1.1), with the patient as we know them.
        """
        key = tuple(one.id for one in documents)
        with self._lock:  # two readers of one deposit wait for the one encoding
            known = self._kept.get(key)
            if known is None:
                file = WorkFile(self._workdir, self._random)
                made = [self._archive(documents, patient, file)] if needs_archive(documents) else []
                known = (file, made + [self._encode(file, part) for part in attached(documents)])
                self._kept[key] = known
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)  # still open for whoever reads it; closed with its last reader
            else:
                self._kept.move_to_end(key)
        return known[1]

    def _archive(self, documents: Sequence[Document], patient: Patient, file: WorkFile) -> EncodedPart:
        made = WorkFile(self._workdir, self._random)
        try:
            size = write_archive(documents, patient, lambda part: self._blobs.open(part.blob), made)
            start = file.size
            for lines in base64_lines(_chunks(made.view(0, size).read)):
                file.write(lines)
        finally:
            made.close()
        return EncodedPart(ARCHIVE, MEDIA_TYPE, FileSegment(file.view, start, file.size - start))

    def _encode(self, file: WorkFile, part: Part) -> EncodedPart:
        start = file.size
        with self._blobs.open(part.blob) as source:
            for lines in base64_lines(_chunks(source.read)):
                file.write(lines)
        segment = FileSegment(file.view, start, file.size - start)
        return EncodedPart(part.name, part.media_type, segment)


def encoded_part(name: str, media_type: str, data: bytes, random_bytes: Callable[[int], bytes]) -> EncodedPart:
    """A small attachment made in memory."""
    file = WorkFile(None, random_bytes)
    for lines in base64_lines(iter((data,))):
        file.write(lines)
    return EncodedPart(name, media_type, FileSegment(file.view, 0, file.size))


def attached(documents: Sequence[Document]) -> list[Part]:
    """Archives first, then the attachments beside them; documents inside the archive are not repeated."""
    found: dict[str, Part] = {}
    for document in documents:
        for part in document.parts:
            if part.role in {"archive", "attachment"}:
                found.setdefault(part.blob.id, part)
    return sorted(found.values(), key=lambda part: part.role != "archive")


def _chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(CHUNK):
        yield piece
