"""A CDA as a document of a deposit, whatever carried it: typed by JDV_J07, compared with what its wrapper says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dcc.router.cda import CdaHeader, read_cda
from dcc.router.doctypes import DocumentType, document_type, format_code, type_by_code
from dcc.router.reasons import Reason, reason
from dcc.router.request import Attachment, DepositedDocument, PatientIdentity


class DepositRefusedError(Exception):
    """The deposit cannot be accepted as it is; `reason` says why."""

    def __init__(self, why: Reason) -> None:
        super().__init__(why.code)
        self.reason = why


@dataclass(frozen=True, slots=True)
class Said:
    """What a wrapper (METADATA.XML, HL7) says of one document; None: nothing."""

    type_code: str | None = None
    class_code: str | None = None
    format_code: str | None = None
    unique_id: str | None = None
    masks: tuple[str, ...] = ()


def header_of(file: Attachment) -> CdaHeader:
    """The header of a CDA. Raises XmlRefusedError."""
    return read_cda(file.open(), file.size)


def type_of(header: CdaHeader, said: str | None) -> DocumentType:
    """The type of JDV_J07. Raises DepositRefusedError: D2R-TYP01 unknown, D2R-XDM04 the wrapper says another."""
    kind = document_type(header.type_code, header.type_system)
    if kind is None or (said is not None and type_by_code(said) is None):
        raise DepositRefusedError(reason("D2R-TYP01"))
    if said is not None and said != header.type_code:
        raise DepositRefusedError(reason("D2R-XDM04"))
    return kind


def document_from(
    header: CdaHeader,
    kind: DocumentType,
    file: Attachment,
    said: Said,
    *,
    patient: PatientIdentity | None = None,
    findings: Sequence[str] = (),
) -> DepositedDocument:
    """The document; labels and secondary codes that differ are findings, never a refusal (facts/clinical.md §4)."""
    found = list(findings)
    form = format_code(kind, header.templates, header.body_media_type)
    if form is None and header.structured:
        found.append("template-not-listed-for-type")
    if said.class_code is not None and kind.class_code is not None and said.class_code != kind.class_code:
        found.append("class-differs")
    if said.format_code is not None and form is not None and said.format_code != form:
        found.append("format-differs")
    if said.unique_id is not None and said.unique_id != header.unique_id:
        found.append("unique-id-differs")
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
        patient=patient or header.patient,
        authors=header.authors,
        legal_authenticator=header.legal_authenticator,
        custodian=header.custodian,
        recipients=header.recipients,
        replaces=header.replaces,
        confidentiality=tuple(dict.fromkeys((*own, *said.masks))),
        structured=header.structured,
        source=file,
        findings=tuple(found),
    )


def ins_of(patient: PatientIdentity) -> tuple[str, str] | None:
    """(matricule, OID) when the identity carries both."""
    return (patient.ins, patient.oid) if patient.ins and patient.oid else None


def check_one_patient(documents: Sequence[DepositedDocument], patients: set[tuple[str, str] | None]) -> None:
    """One patient per mail (MSSanté; acceptance 12). Raises DepositRefusedError: D2R-XDM06."""
    if len(documents) > 1 and (len(patients - {None}) > 1 or len({_traits(one.patient) for one in documents}) > 1):
        raise DepositRefusedError(reason("D2R-XDM06"))


def check_each_once(documents: Sequence[DepositedDocument]) -> None:
    """One id, one document: two of the same id in one mail cannot both be filed (D2R-DUP01)."""
    if len({one.unique_id for one in documents}) != len(documents):
        raise DepositRefusedError(reason("D2R-DUP01"))


def _traits(patient: PatientIdentity) -> tuple[str | None, ...]:
    return (patient.ins, patient.oid, patient.birth_date, (patient.birth_name or "").casefold())
