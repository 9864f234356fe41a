"""The header of a CDA R2 document: type, patient, authors, ids, as written (facts/clinical.md §4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from lxml import etree

from dcc.router import oids
from dcc.router.request import PatientIdentity, Professional
from dcc.router.xml import XmlRefusedError, malformed, parse_xml

H = f"{{{oids.HL7}}}"
ID_PATTERN = re.compile(r"[0-9A-Za-z.\-]{1,128}")
EXTENSION_PATTERN = re.compile(r"[\x21-\x7e]{1,128}")
TEXT_LIMIT = 500  # characters of a title or a name that are kept
PEOPLE_LIMIT = 100  # authors, recipients


@dataclass(frozen=True, slots=True)
class CdaHeader:
    """What the header of one CDA says; nothing is normalised."""

    unique_id: str
    set_id: str | None
    version: int | None
    type_code: str
    type_system: str
    type_label: str
    templates: tuple[str, ...]  # `root` or `root^extension`, in document order
    title: str
    effective_time: str | None  # HL7 TS as written
    language: str | None
    confidentiality: str | None
    patient: PatientIdentity
    local_ids: tuple[tuple[str, str], ...]  # (root, extension): the IPP of establishments
    authors: tuple[Professional, ...]
    legal_authenticator: Professional | None
    custodian: str | None
    recipients: tuple[str, ...]
    replaces: str | None
    body_media_type: str | None  # of an unstructured (N1) body; None: structured
    service_start: str | None
    service_stop: str | None

    @property
    def structured(self) -> bool:
        """Whether the body is structured (N3)."""
        return self.body_media_type is None


def read_cda(source: BinaryIO, size: int) -> CdaHeader:
    """Read the header of a CDA of `size` bytes.

    Raises XmlRefusedError: D2R-XDM07 DOCTYPE or entity, D2R-XDM08 not a CDA, D2R-XDM06 several patients.
    """
    return header_of_root(parse_xml(source, size))


def header_of_root(root: etree._Element) -> CdaHeader:
    """The header of a document that is parsed already. Raises XmlRefusedError as `read_cda` does."""
    if root.tag != f"{H}ClinicalDocument":
        raise malformed("root")
    targets = root.findall(f"{H}recordTarget")
    if len(targets) > 1:
        raise XmlRefusedError("D2R-XDM06", "recordTarget")
    role = None if not targets else targets[0].find(f"{H}patientRole")
    if role is None:
        raise malformed("recordTarget")
    unique_id = _identifier(root.find(f"{H}id"))
    if unique_id is None:
        raise malformed("id")
    code = root.find(f"{H}code")
    return CdaHeader(
        unique_id=unique_id,
        set_id=_identifier(root.find(f"{H}setId")),
        version=_integer(_get(root.find(f"{H}versionNumber"), "value")),
        type_code=_get(code, "code") or "",
        type_system=_get(code, "codeSystem") or "",
        type_label=(_get(code, "displayName") or "")[:TEXT_LIMIT],
        templates=tuple(filter(None, (_identifier(one) for one in root.findall(f"{H}templateId")))),
        title=_text(root.find(f"{H}title")) or "",
        effective_time=_get(root.find(f"{H}effectiveTime"), "value"),
        language=_get(root.find(f"{H}languageCode"), "code"),
        confidentiality=_get(root.find(f"{H}confidentialityCode"), "code"),
        patient=_patient(role),
        local_ids=_local_ids(role),
        authors=_authors(root),
        legal_authenticator=_legal_authenticator(root),
        custodian=_structure(root.find(f"{H}custodian/{H}assignedCustodian/{H}representedCustodianOrganization")),
        recipients=_recipients(root),
        replaces=_replaced(root),
        body_media_type=_body_media_type(root),
        service_start=_service_time(root, "low"),
        service_stop=_service_time(root, "high"),
    )


def _get(element: etree._Element | None, name: str) -> str | None:
    return None if element is None else element.get(name)


def _text(element: etree._Element | None) -> str | None:
    if element is None:
        return None
    return " ".join("".join(str(piece) for piece in element.itertext()).split())[:TEXT_LIMIT] or None


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _identifier(element: etree._Element | None) -> str | None:
    """`root` or `root^extension`; ids are often root only, and may be a bare UUID."""
    root, extension = _get(element, "root"), _get(element, "extension")
    if root is None or ID_PATTERN.fullmatch(root) is None:
        return None
    if extension is None:
        return root
    return f"{root}^{extension}" if EXTENSION_PATTERN.fullmatch(extension) else None


def _patient(role: etree._Element) -> PatientIdentity:
    found = {
        (one.get("root", ""), one.get("extension", ""))
        for one in role.findall(f"{H}id")
        if one.get("root") in oids.INS_ALL and one.get("extension")
    }
    if len(found) > 1:  # two matricules in one document: not one patient
        raise XmlRefusedError("D2R-XDM06", "ins")
    oid, ins = next(iter(found), (None, None))
    patient = role.find(f"{H}patient")
    name = None if patient is None else patient.find(f"{H}name")
    families = [] if name is None else name.findall(f"{H}family")
    givens = [] if name is None else name.findall(f"{H}given")
    birth = _get(None if patient is None else patient.find(f"{H}birthTime"), "value")
    county = None if patient is None else patient.find(f"{H}birthplace/{H}place/{H}addr/{H}county")
    return PatientIdentity(
        ins=ins,
        oid=oid,
        birth_name=next((_text(one) for one in families if "BR" in one.get("qualifier", "").split()), None),
        first_given=next((_text(one) for one in givens if "BR" in one.get("qualifier", "").split()), None),
        given_names=tuple(" ".join(_text(one) or "" for one in givens if not one.get("qualifier")).split()),
        sex=_get(None if patient is None else patient.find(f"{H}administrativeGenderCode"), "code"),
        birth_date=birth[:8] if birth else None,
        birth_place=_text(county),
    )


def _local_ids(role: etree._Element) -> tuple[tuple[str, str], ...]:
    return tuple(
        (one.get("root", ""), one.get("extension", ""))
        for one in role.findall(f"{H}id")[:PEOPLE_LIMIT]
        if one.get("root") not in oids.INS_ALL and one.get("extension")
    )


def _authors(root: etree._Element) -> tuple[Professional, ...]:
    found = (one.find(f"{H}assignedAuthor") for one in root.findall(f"{H}author")[:PEOPLE_LIMIT])
    return tuple(_professional(one) for one in found if one is not None)


def _legal_authenticator(root: etree._Element) -> Professional | None:
    """The one whose signatureCode is S (facts §4)."""
    for one in root.findall(f"{H}legalAuthenticator"):
        entity = one.find(f"{H}assignedEntity")
        if _get(one.find(f"{H}signatureCode"), "code") == "S" and entity is not None:
            return _professional(entity)
    return None


def _professional(entity: etree._Element) -> Professional:
    name = entity.find(f"{H}assignedPerson/{H}name")
    organisation = entity.find(f"{H}representedOrganization")
    return Professional(
        id=_extension(entity, oids.IDNPS),
        profession=_get(entity.find(f"{H}code"), "code"),
        structure=_structure(organisation),
        structure_name=None if organisation is None else _text(organisation.find(f"{H}name")),
        family_name=None if name is None else _text(name.find(f"{H}family")),
        given_name=None if name is None else _text(name.find(f"{H}given")),
    )


def _extension(entity: etree._Element, root: str) -> str | None:
    """The extension of the id under this root, else of the first id that has one."""
    ids = entity.findall(f"{H}id")
    preferred = [one for one in ids if one.get("root") == root] + ids
    return next((one.get("extension") for one in preferred if one.get("extension")), None)


def _structure(organisation: etree._Element | None) -> str | None:
    return None if organisation is None else _extension(organisation, oids.IDNST)


def _recipients(root: etree._Element) -> tuple[str, ...]:
    path = f"{H}informationRecipient/{H}intendedRecipient"
    found = (_extension(one, oids.IDNPS) for one in root.findall(path)[:PEOPLE_LIMIT])
    return tuple(one for one in found if one is not None)


def _replaced(root: etree._Element) -> str | None:
    for one in root.findall(f"{H}relatedDocument"):
        if one.get("typeCode") == "RPLC":
            return _identifier(one.find(f"{H}parentDocument/{H}id"))
    return None


def _body_media_type(root: etree._Element) -> str | None:
    text = root.find(f"{H}component/{H}nonXMLBody/{H}text")
    if text is None:
        return None
    return (text.get("mediaType") or "text/plain").lower()  # CDA R2: ED.mediaType defaults to text/plain


def _service_time(root: etree._Element, bound: str) -> str | None:
    period = root.find(f"{H}documentationOf/{H}serviceEvent/{H}effectiveTime")
    if period is None:
        return None
    found = period.find(f"{H}{bound}")
    return _get(found, "value") or period.get("value")
