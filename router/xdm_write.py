"""Writes IHE_XDM.zip: the archive of MSSanté mails, METADATA.XML and the documents (ECO.2.1.1; IHE ITI XDM)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from dcc.mailbox.records import Patient
from dcc.router.cda import CdaHeader, read_cda
from dcc.router.doctypes import document_type, format_code
from dcc.router.metadata_write import EntryDraft, SubmissionDraft, write_metadata

FOLDER = "IHE_XDM/SUBSET01"
COMPRESS_BELOW = 64 << 10  # bytes: base64 inside a large CDA hardly shrinks and costs far more than it saves
Chunks = Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class XdmDocument:
    """One document of the archive: its header as read, and its bytes, which are read once."""

    header: CdaHeader
    size: int
    chunks: Chunks = field(repr=False)
    confidentiality: tuple[str, ...] = ()  # codes beyond the CDA's own: masks live in METADATA only

    @classmethod
    def of(cls, cda: bytes, confidentiality: Sequence[str] = ()) -> XdmDocument:
        """From the bytes of a CDA.

        Raises XmlRefusedError when it is not one.
        """
        return cls(read_cda(io.BytesIO(cda), len(cda)), len(cda), lambda: (cda,), tuple(confidentiality))


@dataclass(frozen=True, slots=True)
class XdmSubmission:
    """What the submission set says beside the documents; ids are OIDs, `at` is aware."""

    unique_id: str
    source_id: str  # OID of the sending system
    at: datetime
    patient: Patient
    author_mailbox: str | None = None
    with_ins: bool = True  # False: no matricule outside (facts/clinical.md §7)


def write_xdm(out: BinaryIO, documents: Sequence[XdmDocument], submission: XdmSubmission) -> None:
    """Write the archive in one pass; METADATA comes last: it holds size and SHA-1.

    `out` need not be seekable; every entry is a deflated one then, large ones at level 0, since readers that stream
    accept a length behind the data for such entries only (APPNOTE §4.4.4).
    """
    moment = submission.at.timetuple()[:6]
    entries: list[EntryDraft] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "README.TXT", (README.encode(),), 0, moment)
        _add(archive, "INDEX.HTM", (_index(len(documents)).encode(),), 0, moment)
        for number, one in enumerate(documents, 1):
            name = f"DOC{number:04d}.XML"
            sha1, size = _add(archive, f"{FOLDER}/{name}", one.chunks(), one.size, moment)
            found = document_type(one.header.type_code, one.header.type_system)
            entries.append(
                EntryDraft(
                    header=one.header,
                    uri=name,
                    size=size,
                    sha1=sha1,
                    class_code=None if found is None else found.class_code,
                    format_code=None
                    if found is None
                    else format_code(found, one.header.templates, one.header.body_media_type),
                    confidentiality=_confidentiality(one),
                )
            )
        metadata = write_metadata(
            SubmissionDraft(
                unique_id=submission.unique_id,
                source_id=submission.source_id,
                at=submission.at,
                patient=submission.patient,
                author_mailbox=submission.author_mailbox,
                with_ins=submission.with_ins,
            ),
            entries,
        )
        _add(archive, f"{FOLDER}/METADATA.XML", (metadata,), 0, moment)


def build_xdm(documents: Sequence[XdmDocument], submission: XdmSubmission) -> bytes:
    """The archive in memory, for small documents."""
    out = io.BytesIO()
    write_xdm(out, documents, submission)
    return out.getvalue()


def _confidentiality(one: XdmDocument) -> tuple[str, ...]:
    own = (one.header.confidentiality,) if one.header.confidentiality else ("N",)
    return (*own, *(code for code in one.confidentiality if code not in own))


def _add(
    archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], size: int, moment: tuple[int, ...]
) -> tuple[str, int]:
    """Write one entry; returns its SHA-1 (hex, what METADATA asks for) and its size."""
    year, month, day, hour, minute, second = moment
    entry = zipfile.ZipInfo(name, (max(1980, year), month, day, hour, minute, second))
    entry.create_system = 3
    entry.external_attr = 0o100600 << 16
    small = size < COMPRESS_BELOW
    entry.compress_type = zipfile.ZIP_DEFLATED if small or not _seekable(archive) else zipfile.ZIP_STORED
    if not small:
        entry._compresslevel = 0  # type: ignore[attr-defined]  # zipfile takes it from the entry alone
    digest = hashlib.sha1(usedforsecurity=False)  # XDS.b document entries carry SHA-1
    written = 0
    entry.file_size = size
    with archive.open(entry, "w") as target:
        for block in chunks:
            digest.update(block)
            written += len(block)
            target.write(block)
    return digest.hexdigest(), written


def _seekable(archive: zipfile.ZipFile) -> bool:
    """Whether the length can be written before the data: zipfile wraps what cannot be told its place."""
    return hasattr(archive.fp, "seek")


README = (
    "Archive IHE XDM (CI-SIS). Les documents sont dans IHE_XDM/SUBSET01, leur description dans METADATA.XML.\r\n"
    "Sender: DCC gateway. Vendor: dcc-gateway.\r\n"
)


def _index(count: int) -> str:
    links = "".join(
        f'<li><a href="{FOLDER}/DOC{number:04d}.XML">Document {number}</a></li>' for number in range(1, count + 1)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML Basic 1.1//EN"'
        ' "http://www.w3.org/TR/xhtml-basic/xhtml-basic11.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr"><head><title>IHE_XDM</title></head>'
        f"<body><p>DCC</p><ul>{links}</ul></body></html>\n"
    )
