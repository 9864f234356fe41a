"""Documents that came without an archive get one when they are sent: IHE_XDM.zip, a CDA N1 around a plain file (ECO.2.1.1).

The gateway keeps what it received and wraps it for each sending: the stored parts stay those of the sender.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from dcc.mailbox.records import Document, Part, Patient
from dcc.router import oids
from dcc.router.cda import read_cda
from dcc.router.cda_write import CdaDraft, Structure, n1_frame
from dcc.router.identity import QUALIFIED
from dcc.router.request import Professional
from dcc.router.xdm_write import XdmDocument, XdmSubmission, write_xdm
from dcc.smime.workfile import WorkFile

ARCHIVE = "IHE_XDM.zip"
MEDIA_TYPE = "application/zip"
IN_MEMORY = 4 << 20  # octets of an archive that is made in memory, where its entries can be stored
PIECE = 3 * (1 << 16)  # a multiple of three octets, so that base64 needs no carry
SOURCE = f"2.25.{int.from_bytes(hashlib.sha256(b'dcc-gateway').digest()[:15], 'big')}"  # the sending system
PLAIN_MARKS = (
    (b"%PDF", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"{\\rtf", "text/rtf"),
)
Open = Callable[[Part], BinaryIO]


def needs_archive(documents: Sequence[Document]) -> bool:
    """Whether nothing that came with these documents is an archive."""
    return bool(documents) and not any(part.role == "archive" for one in documents for part in one.parts)


def write_archive(documents: Sequence[Document], patient: Patient, open_part: Open, out: WorkFile) -> int:
    """Append the archive of these documents to `out`; returns its size. Raises XmlRefusedError, OSError."""
    drafts = [_entry(one, patient, open_part) for one in documents]
    newest = max(one.received_at for one in documents)
    seed = hashlib.sha256("|".join(one.id for one in documents).encode()).digest()
    submission = XdmSubmission(
        f"2.25.{int.from_bytes(seed[:16], 'big')}", SOURCE, newest, patient, with_ins=patient.status == QUALIFIED
    )
    start = out.size
    if sum(one.size for one in drafts) <= IN_MEMORY:
        held = io.BytesIO()
        write_xdm(held, drafts, submission)
        out.write(held.getbuffer())
    else:
        write_xdm(cast("BinaryIO", _Sink(out)), drafts, submission)
    return out.size - start


class _Sink:
    """A file that can only be written from front to back."""

    def __init__(self, file: WorkFile) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        """Nothing is kept back."""


def _entry(document: Document, patient: Patient, open_part: Open) -> XdmDocument:
    own = document.parts[0]
    with open_part(own) as source:
        head = source.read(1 << 10)
    masks = tuple(code for code in document.confidentiality if code in oids.MASK_CODES)
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        with open_part(own) as source:
            header = read_cda(source, own.size)
        return XdmDocument(header, own.size, lambda: _pieces(own, open_part), masks)
    media_type = next((kind for mark, kind in PLAIN_MARKS if head.startswith(mark)), "text/plain")
    before, behind = n1_frame(_draft(document, patient), media_type)
    header = read_cda(io.BytesIO(before + behind), len(before) + len(behind))
    size = len(before) + (own.size + 2) // 3 * 4 + len(behind)

    def chunks() -> Iterator[bytes]:
        yield before
        for piece in _pieces(own, open_part):
            yield base64.b64encode(piece)
        yield behind

    return XdmDocument(header, size, chunks, masks)


def _pieces(part: Part, open_part: Open) -> Iterator[bytes]:
    """The octets in pieces whose length is a multiple of three, but for the last."""
    held = b""
    with open_part(part) as source:
        while block := source.read(PIECE):
            held += block
            whole = len(held) // 3 * 3
            yield held[:whole]
            held = held[whole:]
    if held:
        yield held


def _draft(document: Document, patient: Patient) -> CdaDraft:
    given, _, family = (document.author_name or "").partition(" ")
    author = Professional(document.author_id, None, document.author_structure, None, family or given, given)
    return CdaDraft(
        unique_id=document.unique_id,
        type_code=document.type_code,
        type_system=document.type_system,
        title=document.title,
        patient=patient,
        author=author,
        custodian=Structure(document.author_structure or "", ""),
        effective_time=document.received_at,
        set_id=document.set_id,
        version=document.version or 1,
        with_ins=patient.status == QUALIFIED,
    )
