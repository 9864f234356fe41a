"""IHE_XDM.zip read: every document checked against METADATA.XML, typed, and held to one patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dcc.router.archive import ArchiveRefusedError, Extracted, SafeArchive
from dcc.router.cda import CdaHeader, read_cda
from dcc.router.doctypes import DocumentType, document_type, format_code, type_by_code
from dcc.router.metadata import Entry, Metadata, read_metadata
from dcc.router.reasons import Reason, reason
from dcc.router.request import Attachment, DepositedDocument, PatientIdentity
from dcc.router.xml import XmlRefusedError
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile

METADATA = re.compile(r"IHE_XDM/(SUBSET\d\d)/METADATA\.XML", re.IGNORECASE)
DOCUMENT = re.compile(r"IHE_XDM/SUBSET\d\d/(?!METADATA\.XML$).+", re.IGNORECASE)
COMPANIONS = frozenset({"FEUILLE-DE-STYLE", "E1762"})  # style sheets and XML signatures are parts, not documents
METADATA_LIMIT = 8 << 20


class DepositRefusedError(Exception):
    """The deposit cannot be accepted as it is; `reason` says why."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.code)
        self.reason = why


@dataclass(frozen=True, slots=True)
class XdmContent:
    """The clinical documents of one archive, and every file inside it as parts."""

    documents: tuple[DepositedDocument, ...]
    parts: tuple[Attachment, ...]
    findings: tuple[str, ...]

    def __add__(self, other: XdmContent) -> XdmContent:
        """Two archives of one mail: still one patient, each document once. Raises DepositRefusedError."""
        documents = (*self.documents, *other.documents)
        _check_one_patient(documents, {_ins(one.patient) for one in documents}, mismatch=False)
        _check_each_once(documents)
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
            header = _header(file)
            kind = _type(entry, header)
            patients |= {entry.ins, _ins(header.patient)}
            mismatch = mismatch or _differs(entry, header)
            document = _document(entry, header, kind, file)
            findings += document.findings
            documents.append(document)
    if not documents:
        raise ArchiveRefusedError("D2R-XDM01", "METADATA")
    _check_one_patient(documents, patients, mismatch)
    _check_each_once(documents)
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


def _header(file: Extracted) -> CdaHeader:
    return read_cda(file.attachment.open(), file.attachment.size)


def _type(entry: Entry, header: CdaHeader) -> DocumentType:
    """JDV_J07 knows the type, and METADATA agrees with the CDA."""
    kind = document_type(header.type_code, header.type_system)
    if kind is None or (entry.type_code is not None and type_by_code(entry.type_code) is None):
        raise DepositRefusedError(reason("D2R-TYP01"))
    if entry.type_code is not None and entry.type_code != header.type_code:
        raise DepositRefusedError(reason("D2R-XDM04"))
    return kind


def _ins(patient: PatientIdentity) -> tuple[str, str] | None:
    return (patient.ins, patient.oid) if patient.ins and patient.oid else None


def _differs(entry: Entry, header: CdaHeader) -> bool:
    own = _ins(header.patient)
    return entry.ins is not None and own is not None and entry.ins != own


def _check_one_patient(
    documents: Sequence[DepositedDocument], patients: set[tuple[str, str] | None], mismatch: bool
) -> None:
    """One patient per mail (D2R-XDM06), and METADATA = CDA (904 with D2R-XDM05: facts §7, acceptance 11, 12)."""
    named = patients - {None}
    if len(documents) > 1 and (len(named) > 1 or len({_traits(one.patient) for one in documents}) > 1):
        raise DepositRefusedError(reason("D2R-XDM06"))
    if mismatch:
        raise DepositRefusedError(reason("904", detail="D2R-XDM05", outcome="refused"))


def _check_each_once(documents: Sequence[DepositedDocument]) -> None:
    """One id, one document: two of the same id in one mail cannot both be filed."""
    if len({one.unique_id for one in documents}) != len(documents):
        raise DepositRefusedError(reason("D2R-DUP01"))


def _traits(patient: PatientIdentity) -> tuple[str | None, ...]:
    return (patient.ins, patient.oid, patient.birth_date, (patient.birth_name or "").casefold())


def _document(entry: Entry, header: CdaHeader, kind: DocumentType, file: Extracted) -> DepositedDocument:
    patient = header.patient
    findings: list[str] = []
    if entry.ins is None and patient.ins is not None:
        # ECO.2.1.2: the receiver identifies by METADATA; without an INS there, there is none (903)
        patient = replace(patient, ins=None, oid=None)
        findings.append("metadata-without-ins")
    form = format_code(kind, header.templates, header.body_media_type)
    if form is None and header.structured:
        findings.append("template-not-listed-for-type")
    if entry.class_code is not None and kind.class_code is not None and entry.class_code != kind.class_code:
        findings.append("class-differs")
    if entry.format_code is not None and form is not None and entry.format_code != form:
        findings.append("format-differs")
    if entry.unique_id is not None and entry.unique_id != header.unique_id:
        findings.append("unique-id-differs")
    own = (header.confidentiality,) if header.confidentiality else ()
    return DepositedDocument(
        unique_id=header.unique_id,
        set_id=header.set_id,
        version=header.version,
        type_code=header.type_code,
        type_system=header.type_system,
        class_code=kind.class_code,
        format_code=form,
        templates=header.templates,
        title=header.title or kind.label,
        patient=patient,
        authors=header.authors,
        legal_authenticator=header.legal_authenticator,
        custodian=header.custodian,
        recipients=header.recipients,
        replaces=header.replaces,
        confidentiality=tuple(dict.fromkeys((*own, *entry.confidentiality))),
        structured=header.structured,
        source=file.attachment,
        findings=tuple(findings),
    )
