"""IHE_XDM.zip read: every document checked against METADATA.XML, typed, and held to one patient."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from dcc.router.archive import ArchiveRefusedError, Extracted, SafeArchive
from dcc.router.cda import CdaHeader
from dcc.router.clinical import (
    DepositRefusedError,
    Said,
    check_each_once,
    check_one_patient,
    document_from,
    header_of,
    ins_of,
    type_of,
)
from dcc.router.doctypes import DocumentType
from dcc.router.metadata import Entry, Metadata, read_metadata
from dcc.router.reasons import reason
from dcc.router.request import Attachment, DepositedDocument
from dcc.router.xml import XmlRefusedError
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile

METADATA = re.compile(r"IHE_XDM/(SUBSET\d\d)/METADATA\.XML", re.IGNORECASE)
DOCUMENT = re.compile(r"IHE_XDM/SUBSET\d\d/(?!METADATA\.XML$).+", re.IGNORECASE)
COMPANIONS = frozenset({"FEUILLE-DE-STYLE", "E1762"})  # style sheets and XML signatures are parts, not documents
METADATA_LIMIT = 8 << 20


@dataclass(frozen=True, slots=True)
class XdmContent:
    """The clinical documents of one archive, and every file inside it as parts."""

    documents: tuple[DepositedDocument, ...]
    parts: tuple[Attachment, ...]
    findings: tuple[str, ...]

    def __add__(self, other: XdmContent) -> XdmContent:
        """Two archives of one mail: still one patient, each document once. Raises DepositRefusedError."""
        documents = (*self.documents, *other.documents)
        check_one_patient(documents, {ins_of(one.patient) for one in documents})
        check_each_once(documents)
        findings = tuple(dict.fromkeys((*self.findings, *other.findings)))
        return XdmContent(documents, (*self.parts, *other.parts), findings)


def is_xdm(archive: SafeArchive) -> bool:
    """Whether the archive holds a submission set."""
    return any(METADATA.fullmatch(name) for name in archive.names)


def open_archive(source: Attachment, limits: Limits) -> SafeArchive:
    """The archive, checked. Raises DepositRefusedError: D2R-XDM01, D2R-XDM02."""
    try:
        return SafeArchive(source, limits)
    except ArchiveRefusedError as refused:
        raise DepositRefusedError(reason(refused.code, detail=refused.detail)) from None


def read_xdm(archive: SafeArchive, work: Callable[[], WorkFile]) -> XdmContent:
    """Read every document of the archive.

    Raises DepositRefusedError: D2R-XDM01, -02, -03, -04, -06, -07, -08, D2R-TYP01, 904 (with D2R-XDM05).
    """
    try:
        return _read(archive, work)
    except (ArchiveRefusedError, XmlRefusedError) as refused:
        raise DepositRefusedError(reason(refused.code, detail=refused.detail)) from None


def _read(archive: SafeArchive, work: Callable[[], WorkFile]) -> XdmContent:
    extracted = {name.casefold(): archive.extract(name, work) for name in archive.names if DOCUMENT.fullmatch(name)}
    documents: list[DepositedDocument] = []
    findings: list[str] = []
    patients: set[tuple[str, str] | None] = set()
    mismatch = False
    for name in archive.names:
        found = METADATA.fullmatch(name)
        if found is None:
            continue
        metadata = _metadata(archive, name, work)
        folder = name.rsplit("/", 1)[0]
        for entry in metadata.entries:
            file = extracted.get(f"{folder}/{entry.uri}".replace("\\", "/").casefold())
            if file is None:
                raise ArchiveRefusedError("D2R-XDM01", "document")
            findings += _check_bytes(entry, file)
            if entry.type_code in COMPANIONS:
                continue
            header = header_of(file.attachment)
            kind = type_of(header, entry.type_code)
            patients |= {entry.ins, ins_of(header.patient)}
            mismatch = mismatch or _differs(entry, header)
            document = _document(entry, header, kind, file)
            findings += document.findings
            documents.append(document)
    if not documents:
        raise ArchiveRefusedError("D2R-XDM01", "METADATA")
    check_one_patient(documents, patients)
    if mismatch:  # METADATA = CDA (904 with D2R-XDM05: facts §7, acceptance 11)
        raise DepositRefusedError(reason("904", detail="D2R-XDM05", outcome="refused"))
    check_each_once(documents)
    return XdmContent(
        tuple(documents), tuple(one.attachment for one in extracted.values()), tuple(dict.fromkeys(findings))
    )


def _metadata(archive: SafeArchive, name: str, work: Callable[[], WorkFile]) -> Metadata:
    file = archive.extract(name, work).attachment
    if file.size > METADATA_LIMIT:
        raise ArchiveRefusedError("D2R-XDM02", "METADATA")
    return read_metadata(file.open(), file.size)


def _check_bytes(entry: Entry, file: Extracted) -> list[str]:
    """METADATA size and SHA-1 against the document (receiver checks, facts §3.1)."""
    if entry.size_given and entry.size != file.attachment.size:
        raise ArchiveRefusedError("D2R-XDM03", "size")
    if entry.sha1 is not None and entry.sha1.lower() != file.sha1:
        raise ArchiveRefusedError("D2R-XDM03", "SHA-1")
    return [] if entry.size_given and entry.sha1 is not None else ["metadata-without-size-or-hash"]


def _differs(entry: Entry, header: CdaHeader) -> bool:
    own = ins_of(header.patient)
    return entry.ins is not None and own is not None and entry.ins != own


def _document(entry: Entry, header: CdaHeader, kind: DocumentType, file: Extracted) -> DepositedDocument:
    patient = header.patient
    findings: list[str] = []
    if entry.ins is None and patient.ins is not None:
        # ECO.2.1.2: the receiver identifies by METADATA; without an INS there, there is none (903)
        patient = replace(patient, ins=None, oid=None)
        findings.append("metadata-without-ins")
    said = Said(entry.type_code, entry.class_code, entry.format_code, entry.unique_id, entry.confidentiality)
    return document_from(header, kind, file.attachment, said, patient=patient, findings=findings)
