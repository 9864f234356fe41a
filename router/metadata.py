"""METADATA.XML of an XDM archive: its document entries, as written (facts/clinical.md §3.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from lxml import etree

from dcc.router import oids
from dcc.router.xml import XmlRefusedError, malformed, parse_xml

R = f"{{{oids.RIM}}}"
ENTRIES = 100
_URI_PART = re.compile(r"(\d+)\|(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One document entry: where the file is, and what the sender says of it; None: absent."""

    id: str
    uri: str
    mime_type: str | None
    size: int | None
    sha1: str | None
    patient_id: str | None  # as written, HL7 CX
    unique_id: str | None
    type_code: str | None
    type_system: str | None
    class_code: str | None
    format_code: str | None
    confidentiality: tuple[str, ...]
    title: str | None
    size_given: bool  # a size or a hash that is there and unreadable is a mismatch, not an absence

    @property
    def ins(self) -> tuple[str, str] | None:
        """(matricule, OID) when the patientId is an INS."""
        return ins_of(self.patient_id)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The entries of one submission set, and how many replacements it declares."""

    entries: tuple[Entry, ...]
    replacements: int


def read_metadata(source: BinaryIO, size: int) -> Metadata:
    """Read the entries of METADATA.XML.

    Raises XmlRefusedError: D2R-XDM01 not an ebRIM submission, D2R-XDM07 DOCTYPE or entity.
    """
    try:
        root = parse_xml(source, size)
    except XmlRefusedError as refused:
        if refused.code == "D2R-XDM08":
            raise XmlRefusedError("D2R-XDM01", "METADATA") from None
        raise
    objects = [one for one in root.iter(f"{R}ExtrinsicObject") if one.get("objectType") in (None, oids.ENTRY)]
    if not objects or len(objects) > ENTRIES:
        raise XmlRefusedError("D2R-XDM01", "METADATA")
    replaced = [one for one in root.iter(f"{R}Association") if one.get("associationType") == oids.REPLACES]
    return Metadata(tuple(_entry(one) for one in objects), len(replaced))


def ins_of(cx: str | None) -> tuple[str, str] | None:
    """(matricule, OID) of an HL7 CX whose authority is an INS domain (`279…^^^&1.2.250.1.213.1.4.10&ISO^NH`)."""
    fields = (cx or "").split("^")
    if len(fields) < 4 or not fields[0]:
        return None
    authority = fields[3].split("&")
    oid = authority[1] if len(authority) > 1 else ""
    return (fields[0].strip(), oid) if oid in oids.INS_ALL else None


def _entry(element: etree._Element) -> Entry:
    slots = {one.get("name", ""): _values(one) for one in element.findall(f"{R}Slot")}
    size = _first(slots.get("size"))
    codes: dict[str, list[etree._Element]] = {}
    for one in element.findall(f"{R}Classification"):
        codes.setdefault(one.get("classificationScheme", ""), []).append(one)
    external = {
        one.get("identificationScheme", ""): one.get("value") for one in element.findall(f"{R}ExternalIdentifier")
    }
    uri = _uri(slots.get("URI") or ())
    if uri is None:
        raise malformed("URI")
    name = element.find(f"{R}Name/{R}LocalizedString")
    kind = codes.get(oids.ENTRY_TYPE)
    return Entry(
        id=element.get("id", ""),
        uri=uri,
        mime_type=element.get("mimeType"),
        size=int(size) if size is not None and size.isascii() and size.isdigit() and len(size) < 16 else None,
        sha1=_first(slots.get("hash")),
        patient_id=external.get(oids.ENTRY_PATIENT),
        unique_id=external.get(oids.ENTRY_UNIQUE_ID),
        type_code=_code(kind),
        type_system=None if not kind else _scheme(kind[0]),
        class_code=_code(codes.get(oids.ENTRY_CLASS)),
        format_code=_code(codes.get(oids.ENTRY_FORMAT)),
        confidentiality=tuple(
            code for one in codes.get(oids.ENTRY_CONFIDENTIALITY, ())[:20] if (code := one.get("nodeRepresentation"))
        ),
        title=None if name is None else name.get("value"),
        size_given=size is not None,
    )


def _values(slot: etree._Element) -> tuple[str, ...]:
    return tuple((one.text or "").strip() for one in slot.iter(f"{R}Value"))


def _first(values: tuple[str, ...] | None) -> str | None:
    return values[0] if values else None


def _uri(values: tuple[str, ...]) -> str | None:
    """The URI; long ones come in numbered pieces `1|…`, `2|…` (IHE ITI TF-3 §4.2.3.2.27)."""
    pieces = [_URI_PART.fullmatch(value) for value in values]
    if pieces and all(pieces):
        return "".join(one[2] for one in sorted(filter(None, pieces), key=lambda one: int(one[1][:6])))
    return values[0] if values and values[0] else None


def _code(elements: list[etree._Element] | None) -> str | None:
    return elements[0].get("nodeRepresentation") if elements else None


def _scheme(element: etree._Element) -> str | None:
    for slot in element.findall(f"{R}Slot"):
        if slot.get("name") == "codingScheme":
            return _first(_values(slot))
    return None
