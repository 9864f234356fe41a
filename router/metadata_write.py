"""Writes METADATA.XML: the ebRIM 3.0 description of a submission set (IHE ITI TF-3 §4.2; facts/clinical.md §3.1)."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from xml.sax.saxutils import escape, quoteattr

from dcc.mailbox.records import Patient
from dcc.router import oids
from dcc.router.cda import CdaHeader
from dcc.router.request import Professional

NAMESPACE = uuid.UUID("6f2a2e53-6a0b-5c0e-9a55-0f3c7f7f0dcc")  # entry ids are made from it: repeatable
_TS = re.compile(r"(\d{4,14})(?:\.\d+)?([+-]\d{4})?")


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """One document entry: the CDA's header, and what describes the file."""

    header: CdaHeader
    uri: str
    size: int
    sha1: str
    class_code: str | None
    format_code: str | None
    confidentiality: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubmissionDraft:
    """The submission set: ids are OIDs, `at` is aware."""

    unique_id: str
    source_id: str
    at: datetime
    patient: Patient
    author_mailbox: str | None
    with_ins: bool


def write_metadata(submission: SubmissionDraft, entries: Sequence[EntryDraft]) -> bytes:
    """A SubmitObjectsRequest with one ExtrinsicObject a document and one RegistryPackage."""
    set_id = f"urn:uuid:{uuid.uuid5(NAMESPACE, submission.unique_id)}"
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{oids.LCM}" xmlns="{oids.RIM}"><RegistryObjectList>',
    ]
    for entry in entries:
        entry_id = f"urn:uuid:{uuid.uuid5(NAMESPACE, submission.unique_id + entry.header.unique_id)}"
        parts += _entry(entry_id, submission, entry)
        parts.append(
            f'<Association id="urn:uuid:{uuid.uuid5(NAMESPACE, entry_id)}" associationType="{oids.HAS_MEMBER}"'
            f' sourceObject="{set_id}" targetObject="{entry_id}">'
            + _slot("SubmissionSetStatus", "Original")
            + "</Association>"
        )
    parts += _submission(set_id, submission, entries)
    parts.append("</RegistryObjectList></lcm:SubmitObjectsRequest>\n")
    return "".join(parts).encode()


def utc(value: str | None) -> str | None:
    """An HL7 TS brought to UTC, as XDS times are (facts §3.1): `20210401134745+0100` -> `20210401124745`."""
    found = _TS.fullmatch(value or "")
    if found is None:
        return None
    digits, zone = found[1], found[2]
    if zone is None or len(digits) < 12:
        return digits
    try:
        moment = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=_offset(zone))
        return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")[: len(digits)]
    except (ValueError, OverflowError):
        return None


def _offset(zone: str) -> timezone:
    minutes = int(zone[1:3]) * 60 + int(zone[3:])
    return timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))


def patient_cx(patient: Patient) -> str:
    """The matricule as HL7 CX with type NH (facts §3.1)."""
    return f"{patient.ins}^^^&{patient.oid}&ISO^NH"


def _entry(entry_id: str, submission: SubmissionDraft, entry: EntryDraft) -> list[str]:
    header = entry.header
    patient = submission.patient
    # sourcePatientInfo carries the traits when the identity is qualified (ECO.2.4.2)
    info = (
        f"PID-5|{_field(patient.birth_name)}^{_field(patient.given_names[0])}^^^^^L",
        f"PID-7|{patient.birth_date:%Y%m%d}",
        f"PID-8|{patient.sex}",
    )
    local = header.local_ids[0] if header.local_ids else None
    source = f"{_field(local[1])}^^^&{local[0]}&ISO^PI" if local else patient_cx(patient)
    slots = [
        ("creationTime", utc(header.effective_time)),
        ("languageCode", header.language or "fr-FR"),
        ("legalAuthenticator", xcn(header.legal_authenticator) if header.legal_authenticator else None),
        ("serviceStartTime", utc(header.service_start)),
        ("serviceStopTime", utc(header.service_stop)),
        ("sourcePatientId", source if submission.with_ins or local else None),
        ("hash", entry.sha1),
        ("size", str(entry.size)),
        ("URI", entry.uri),
    ]
    return [
        (
            f'<ExtrinsicObject id="{entry_id}" mimeType="text/xml" objectType="{oids.ENTRY}"'
            ' status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved">'
        ),
        *(_slot(name, value) for name, value in slots if value),
        _slot("sourcePatientInfo", *info),
        _name(header.title or header.type_label),
        *(_author(entry_id, oids.ENTRY_AUTHOR, number, one) for number, one in enumerate(header.authors)),
        _code(entry_id, oids.ENTRY_CLASS, entry.class_code, oids.CLASSES, ""),
        _code(entry_id, oids.ENTRY_TYPE, header.type_code, header.type_system, header.type_label),
        _code(entry_id, oids.ENTRY_FORMAT, entry.format_code, "1.2.250.1.213.1.1.4.2.3", ""),
        *(
            _code(
                entry_id,
                oids.ENTRY_CONFIDENTIALITY,
                code,
                oids.MASKS if code in oids.MASK_CODES else oids.CONFIDENTIALITY,
                "",
            )
            for code in entry.confidentiality
        ),
        _patient_id(entry_id, oids.ENTRY_PATIENT, submission),
        _external(entry_id, oids.ENTRY_UNIQUE_ID, header.unique_id, "XDSDocumentEntry.uniqueId"),
        "</ExtrinsicObject>",
    ]


def _submission(set_id: str, submission: SubmissionDraft, entries: Sequence[EntryDraft]) -> list[str]:
    content = entries[0].header if entries else None
    author = content.authors[0] if content and content.authors else None
    return [
        f'<RegistryPackage id="{set_id}" status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved">',
        _slot("submissionTime", submission.at.astimezone(UTC).strftime("%Y%m%d%H%M%S")),
        _name("DCC"),
        _author(set_id, oids.SET_AUTHOR, 0, author) if author else "",
        _code(set_id, oids.SET_CONTENT, content.type_code, content.type_system, content.type_label) if content else "",
        _patient_id(set_id, oids.SET_PATIENT, submission),
        _external(set_id, oids.SET_UNIQUE_ID, submission.unique_id, "XDSSubmissionSet.uniqueId"),
        _external(set_id, oids.SET_SOURCE, submission.source_id, "XDSSubmissionSet.sourceId"),
        "</RegistryPackage>",
        (
            f'<Classification id="urn:uuid:{uuid.uuid5(NAMESPACE, set_id)}" classifiedObject="{set_id}"'
            f' classificationNode="{oids.SUBMISSION_SET}"/>'
        ),
    ]


def xcn(one: Professional) -> str:
    """A person as HL7 XCN (facts §3.1)."""
    family, given = _field(one.family_name), _field(one.given_name)
    return f"{_field(one.id)}^{family}^{given}^^^^^^&{oids.IDNPS}&ISO^D^^^IDNPS"


def _xon(one: Professional) -> str:
    return f"{_field(one.structure_name)}^^^^^&{oids.IDNST}&ISO^IDNST^^^{_field(one.structure)}"


def _author(of: str, scheme: str, number: int, one: Professional) -> str:
    slots = _slot("authorPerson", xcn(one))
    if one.structure:
        slots += _slot("authorInstitution", _xon(one))
    if one.profession:
        slots += _slot("authorSpecialty", f"{_field(one.profession)}^^{oids.PROFESSIONS}")
    return (
        f'<Classification id="urn:uuid:{uuid.uuid5(NAMESPACE, f"{of}{scheme}{number}")}"'
        f' classificationScheme="{scheme}" classifiedObject="{of}" nodeRepresentation="">{slots}</Classification>'
    )


def _code(of: str, scheme: str, code: str | None, system: str, label: str) -> str:
    if not code:
        return ""
    return (
        f'<Classification id="urn:uuid:{uuid.uuid5(NAMESPACE, of + scheme + code)}"'
        f' classificationScheme="{scheme}" classifiedObject="{of}" nodeRepresentation={quoteattr(code)}>'
        f"{_slot('codingScheme', system)}{_name(label or code)}</Classification>"
    )


def _patient_id(of: str, scheme: str, submission: SubmissionDraft) -> str:
    if not submission.with_ins:
        return ""
    kind = "XDSDocumentEntry.patientId" if scheme == oids.ENTRY_PATIENT else "XDSSubmissionSet.patientId"
    return _external(of, scheme, patient_cx(submission.patient), kind)


def _external(of: str, scheme: str, value: str, kind: str) -> str:
    return (
        f'<ExternalIdentifier id="urn:uuid:{uuid.uuid5(NAMESPACE, of + scheme)}" registryObject="{of}"'
        f' identificationScheme="{scheme}" value={quoteattr(value)}>{_name(kind)}</ExternalIdentifier>'
    )


def _slot(name: str, *values: str) -> str:
    inner = "".join(f"<Value>{escape(value)}</Value>" for value in values)
    return f"<Slot name={quoteattr(name)}><ValueList>{inner}</ValueList></Slot>"


def _name(text: str) -> str:
    return f"<Name><LocalizedString value={quoteattr(text)}/></Name>"


def _field(text: str | None) -> str:
    """A value inside an HL7 field: separators and control characters become spaces."""
    plain = unicodedata.normalize("NFC", text or "")
    return "".join(" " if sign in "^&|~\\" or ord(sign) < 32 else sign for sign in plain)
