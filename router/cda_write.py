"""Writes CDA R2 documents of the CI-SIS: unstructured (N1) around a file, or structured with text sections."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from dcc.mailbox.records import Patient
from dcc.router import oids
from dcc.router.doctypes import N1_TEMPLATE, document_type
from dcc.router.request import Professional


class UnknownTypeError(ValueError):
    """The type is not one of JDV_J07."""


@dataclass(frozen=True, slots=True)
class Structure:
    """An organisation: its IDNST and its name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a structured document: a title and paragraphs, with an optional LOINC code."""

    title: str
    paragraphs: tuple[str, ...]
    code: str | None = None


@dataclass(frozen=True, slots=True)
class CdaDraft:
    """What a new document says; times are aware, identifiers are written as given."""

    unique_id: str  # an OID (`2.25.…`), or `root^extension`
    type_code: str
    type_system: str
    title: str
    patient: Patient
    author: Professional
    custodian: Structure
    effective_time: datetime
    legal_authenticator: Professional | None = None  # None: the author
    set_id: str | None = None
    version: int = 1
    replaces: str | None = None
    confidentiality: str = "N"
    recipients: tuple[Professional, ...] = ()
    language: str = "fr-FR"
    with_ins: bool = True  # False: no matricule outside (facts/clinical.md §7: local status below QUAL)


def new_document_id(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh OID under 2.25, from 128 random bits (ITU-T X.667 §6)."""
    return f"2.25.{int.from_bytes(random_bytes(16), 'big')}"


def write_n1(draft: CdaDraft, body: bytes, media_type: str = "application/pdf") -> bytes:
    """The draft as an unstructured document (IHE XDS-SD) around `body`.

    Raises UnknownTypeError.
    """
    head, tail = n1_frame(draft, media_type)
    return b"".join((head, base64.b64encode(body), tail))


def n1_frame(draft: CdaDraft, media_type: str) -> tuple[bytes, bytes]:
    """What stands before and behind the base64 of an unstructured body, for bodies that are not held in memory.

    Raises UnknownTypeError.
    """
    head, tail = _document(draft, (N1_TEMPLATE,))
    text = f'<component><nonXMLBody><text mediaType={quoteattr(media_type)} representation="B64">'
    return head + text.encode(), b"</text></nonXMLBody></component>" + tail


def write_n3(draft: CdaDraft, sections: Sequence[Section], template: str | None = None) -> bytes:
    """The draft as a structured document with text sections; `template` is the model's (`root^extension`).

    Raises UnknownTypeError. Without `template`, the first one known for the type is declared.
    """
    found = document_type(draft.type_code, draft.type_system)
    if template is None and found is not None and found.formats:
        template = found.formats[0][0]
    head, tail = _document(draft, (template,) if template else ())
    body = "".join(_section(one) for one in sections)
    return b"".join((head, f"<component><structuredBody>{body}</structuredBody></component>".encode(), tail))


def _section(section: Section) -> str:
    code = f'<code code={quoteattr(section.code)} codeSystem="2.16.840.1.113883.6.1"/>' if section.code else ""
    paragraphs = "".join(f"<paragraph>{escape(one)}</paragraph>" for one in section.paragraphs)
    return (
        f"<component><section>{code}<title>{escape(section.title)}</title>"
        f"<text>{paragraphs}</text></section></component>"
    )


def _document(draft: CdaDraft, templates: Sequence[str]) -> tuple[bytes, bytes]:
    found = document_type(draft.type_code, draft.type_system)
    if found is None:
        raise UnknownTypeError(draft.type_code)
    at = timestamp(draft.effective_time)
    versions = f"{_id('setId', draft.set_id)}" if draft.set_id else ""
    parent = draft.replaces
    related = (
        f'<relatedDocument typeCode="RPLC"><parentDocument>{_id("id", parent)}</parentDocument></relatedDocument>'
        if parent
        else ""
    )
    responsible = draft.legal_authenticator or draft.author
    head = "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n',
            f'<ClinicalDocument xmlns="{oids.HL7}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
            '<realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>',
            *(_id("templateId", one) for one in (oids.CDA_FR, oids.CI_SIS_HEADER, *templates)),
            _id("id", draft.unique_id),
            (
                f"<code code={quoteattr(found.code)} displayName={quoteattr(found.label)}"
                f" codeSystem={quoteattr(found.system)}/>"
            ),
            f"<title>{escape(draft.title)}</title>",
            f'<effectiveTime value="{at}"/>',
            f'<confidentialityCode code={quoteattr(draft.confidentiality)} codeSystem="{oids.CONFIDENTIALITY}"/>',
            f"<languageCode code={quoteattr(draft.language)}/>",
            versions,
            f'<versionNumber value="{draft.version}"/>',
            _patient(draft.patient, draft.with_ins),
            f'<author><time value="{at}"/><assignedAuthor>{_professional(draft.author)}</assignedAuthor></author>',
            (
                f"<custodian><assignedCustodian><representedCustodianOrganization>{_structure(draft.custodian)}"
                "</representedCustodianOrganization></assignedCustodian></custodian>"
            ),
            *(
                f"<informationRecipient><intendedRecipient>{_recipient(one)}</intendedRecipient></informationRecipient>"
                for one in draft.recipients
            ),
            (
                f'<legalAuthenticator><time value="{at}"/><signatureCode code="S"/>'
                f"<assignedEntity>{_professional(responsible)}</assignedEntity></legalAuthenticator>"
            ),
            (
                f'<documentationOf><serviceEvent><effectiveTime><low value="{at}"/></effectiveTime>'
                "</serviceEvent></documentationOf>"
            ),
            related,
            (
                '<componentOf><encompassingEncounter><effectiveTime nullFlavor="UNK"/></encompassingEncounter>'
                "</componentOf>"
            ),
        )
    )
    return head.encode(), b"</ClinicalDocument>\n"


def timestamp(at: datetime) -> str:
    """HL7 TS with its zone: `20250615120000+0000`."""
    return at.strftime("%Y%m%d%H%M%S%z")


def _id(tag: str, identifier: str) -> str:
    root, _, extension = identifier.partition("^")
    more = f" extension={quoteattr(extension)}" if extension else ""
    return f"<{tag} root={quoteattr(root)}{more}/>"


def _patient(patient: Patient, with_ins: bool) -> str:
    ins = f'<id extension={quoteattr(patient.ins)} root="{patient.oid}"/>' if with_ins else '<id nullFlavor="UNK"/>'
    given = "".join(
        (
            f"<given>{escape(' '.join(patient.given_names))}</given>",
            f'<given qualifier="BR">{escape(patient.given_names[0])}</given>',
        )
    )
    place = f"<birthplace><place><addr><county>{escape(patient.birth_place)}</county></addr></place></birthplace>"
    return (
        f"<recordTarget><patientRole>{ins}<patient><name>"
        f'<family qualifier="BR">{escape(patient.birth_name)}</family>{given}</name>'
        f'<administrativeGenderCode code="{patient.sex}" codeSystem="{oids.SEX}"/>'
        f'<birthTime value="{patient.birth_date:%Y%m%d}"/>{place}</patient></patientRole></recordTarget>'
    )


def _professional(one: Professional) -> str:
    code = f'<code code={quoteattr(one.profession)} codeSystem="{oids.PROFESSIONS}"/>' if one.profession else ""
    person = (
        f"<assignedPerson><name><family>{escape(one.family_name or '')}</family>"
        f"<given>{escape(one.given_name or '')}</given></name></assignedPerson>"
    )
    organisation = ""
    if one.structure:
        inner = _structure(Structure(one.structure, one.structure_name or ""))
        organisation = f"<representedOrganization>{inner}</representedOrganization>"
    return f"{_person_id(one)}{code}{person}{organisation}"


def _person_id(one: Professional) -> str:
    if one.id is None:
        return '<id nullFlavor="UNK"/>'
    return f'<id extension={quoteattr(one.id)} root="{oids.IDNPS}"/>'


def _structure(one: Structure) -> str:
    if not one.id:  # a practice without a known identifier
        return f'<id nullFlavor="UNK"/><name>{escape(one.name)}</name>'
    return f'<id extension={quoteattr(one.id)} root="{oids.IDNST}"/><name>{escape(one.name)}</name>'


def _recipient(one: Professional) -> str:
    return (
        f"{_person_id(one)}<informationRecipient><name><family>{escape(one.family_name or '')}</family>"
        f"<given>{escape(one.given_name or '')}</given></name></informationRecipient>"
    )
