"""The readable copy of each document, for those without business software (ECO.2.1.1, ECO.2.1.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dcc.mailbox.records import Document, Folder, Part, Patient
from dcc.router.blocks import Paragraph, Reading
from dcc.router.cda import CdaHeader, read_cda
from dcc.router.names import copy_name, label_of
from dcc.router.reading import ENCLOSED, body_of, plain_reading, read_document, text_of
from dcc.router.readingpdf import reading_pdf
from dcc.router.wrap import PLAIN_MARKS
from dcc.router.xml import XmlRefusedError
from dcc.smime.workfile import WorkFile

PDF = "application/pdf"
CLINICAL = "text/xml"
ENDINGS = {
    PDF: "pdf", "image/jpeg": "jpg", "image/tiff": "tif", "image/png": "png", "text/rtf": "rtf", "application/rtf": "rtf",
}  # fmt: skip
PIECE = 57 << 10  # octets: whole lines of base64
PLAIN_LIMIT = 4 << 20  # octets of a plain text that are made readable
UNREADABLE = "Ce document n'a pas pu être mis en forme ici : il se trouve dans l'archive jointe."
# What a page that cannot be set raises: the report is sent all the same, its copy says so
UNSET = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)
Open = Callable[[Part], BinaryIO]


@dataclass(frozen=True, slots=True)
class Copy:
    """One file to attach: a stored part as it is, or octets that `chunks` makes."""

    name: str
    media_type: str
    part: Part | None = None
    chunks: Callable[[], Iterator[bytes]] | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """What is attached beside the archive, and what the mail's body shows."""

    files: tuple[Copy, ...]
    readings: tuple[Reading, ...]


def readable(
    documents: Sequence[Document],
    received: Sequence[Part],
    patient: Patient,
    folder: Folder,
    open_part: Open,
    work: Callable[[], WorkFile],
) -> Readable:
    """The copies of these documents. `received`: the sender's own attachments, where all of them may be sent.

    A copy that the sender made is kept, octet by octet: one PDF for one document takes the name that ECO.2.1.6 asks,
    several keep theirs, since which belongs to which is not said. Otherwise the copy is the PDF inside the
    document (N1), or is made from it.
    """
    own = {one.parts[0].blob.id for one in documents}
    beside = [one for one in received if one.blob.id not in own]
    theirs = [one for one in beside if _is_pdf(one)]
    told = [_Document(one, patient, folder, open_part, work) for one in documents]
    files: list[Copy] = []
    if len(theirs) == 1 and len(told) == 1:
        files.append(Copy(told[0].name(), PDF, theirs[0]))
    elif len(theirs) >= len(told):
        files += [Copy(one.name, one.media_type, one) for one in theirs]
    else:
        for one in told:
            files += one.copies()
        files += [Copy(one.name, one.media_type, one) for one in theirs]
    files += [Copy(one.name, one.media_type, one) for one in beside if not _is_pdf(one)]
    readings = [one.reading for one in told if one.reading is not None]
    return Readable(tuple(_each_name_once(files)), tuple(readings))


class _Document:
    """One document, looked at once."""

    def __init__(
        self, document: Document, patient: Patient, folder: Folder, open_part: Open, work: Callable[[], WorkFile]
    ) -> None:
        self._document, self._patient, self._folder = document, patient, folder
        self._open, self._work = open_part, work
        self._part = document.parts[0]
        self._header: CdaHeader | None = None
        self.reading: Reading | None = None
        kind = _kind(self._part, open_part)
        self._plain = None if kind == CLINICAL else kind
        if self._plain is None:
            self._look()
        elif self._plain == "text/plain":
            self.reading = reading_of(document, open_part)

    def name(self, ending: str = "pdf") -> str:
        """What the copy is called."""
        header = self._header
        act = None if header is None else header.service_start or header.effective_time
        return copy_name(self._document, self._patient, self._folder, act, ending)

    def copies(self) -> list[Copy]:
        """The copy; two files where the document holds something that is neither text nor PDF."""
        if self._plain is not None and self._plain != "text/plain":
            return [Copy(self.name(ENDINGS[self._plain]), self._plain, self._part)]
        if self._plain is not None:
            return [self._made(), Copy(self._part.name, self._part.media_type, self._part)]
        body = None if self._header is None else self._header.body_media_type
        if body is None or body == "text/plain":
            return [self._made()]
        held = self._body(body) if body in ENDINGS else None
        if held is None:
            return [self._made()]
        return [Copy(self.name(ENDINGS[body]), body, chunks=lambda: _pieces(held))]

    def _look(self) -> None:
        try:
            with self._open(self._part) as source:
                self._header = read_cda(source, self._part.size)
        except XmlRefusedError:
            self.reading = _failed(self._document)
            return
        if self._header.body_media_type in (None, "text/plain"):
            self.reading = reading_of(self._document, self._open)

    def _body(self, kind: str) -> WorkFile | None:
        """The octets inside, if they are what their label says, whole: nothing else is attached under that name."""
        held = self._work()
        held.expect(self._part.size * 3 // 4)  # base64 text inside
        try:
            with self._open(self._part) as source:
                for piece in body_of(source, self._part.size):
                    held.write(piece)
        except ValueError:
            return None
        marks = [mark for mark, named in PLAIN_MARKS if ENDINGS[named] == ENDINGS[kind]]
        return held if any(held.read_at(0, 16).startswith(mark) for mark in marks) else None

    def _made(self) -> Copy:
        reading = self.reading or reading_of(self._document, self._open)
        try:
            data = reading_pdf(reading, self._document.received_at)
        except UNSET:
            data = reading_pdf(_failed(self._document), self._document.received_at)
        return Copy(self.name(), PDF, chunks=lambda: iter((data,)))


def reading_of(document: Document, open_part: Open) -> Reading:
    """One document made readable, whatever it is; where its content cannot be shown, it says so."""
    part = document.parts[0]
    kind = _kind(part, open_part)
    with open_part(part) as source:
        if kind == "text/plain":
            return plain_reading(document.title, text_of(source.read(PLAIN_LIMIT)))
        if kind != CLINICAL:
            return Reading(document.title, (), (Paragraph(ENCLOSED.format(kind=kind)),))
        try:
            return read_document(source, part.size)
        except XmlRefusedError:
            return _failed(document)


def _kind(part: Part, open_part: Open) -> str:
    """What a document's own part is by its first octets: a CDA, or the media type of a plain file."""
    with open_part(part) as source:
        head = source.read(1 << 10)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return CLINICAL
    return next((kind for mark, kind in PLAIN_MARKS if head.startswith(mark)), "text/plain")


def _failed(document: Document) -> Reading:
    return Reading(label_of(document), (), (Paragraph(UNREADABLE),))


def _pieces(file: WorkFile) -> Iterator[bytes]:
    with file.view() as source:
        while piece := source.read(PIECE):
            yield piece


def _is_pdf(part: Part) -> bool:
    return part.media_type == PDF or part.name.lower().endswith(".pdf")


def _each_name_once(files: Sequence[Copy]) -> Iterator[Copy]:
    """Two files of one name would overwrite each other where they are saved."""
    seen: set[str] = set()
    for one in files:
        name, number = one.name, 2
        while name.casefold() in seen:
            stem, dot, ending = one.name.rpartition(".")
            name = f"{stem or ending}-{number}{dot if stem else ''}{ending if stem else ''}"
            number += 1
        seen.add(name.casefold())
        yield Copy(name, one.media_type, one.part, one.chunks)
