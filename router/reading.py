"""A CDA made readable for a person without business software: French labels, bounded, nothing in it is executed."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

import pybase64
from lxml import etree

from dcc.cards.nomenclature import PROFESSIONS
from dcc.router import oids
from dcc.router.blocks import Block, Paragraph, Reading
from dcc.router.cda import CdaHeader, header_of_root
from dcc.router.doctypes import document_type
from dcc.router.narrative import Shown, body_blocks, clean
from dcc.router.request import PatientIdentity, Professional
from dcc.router.xml import BASE64, WHITE, parse_xml

H = f"{{{oids.HL7}}}"
PLAIN_BODY = 4 << 20  # octets of an unstructured text that are read
BLOCK = 96 << 10
SEXES = {"F": "Féminin", "M": "Masculin", "U": "Inconnu", "UN": "Inconnu"}
ENCLOSED = "Le contenu est une pièce de type {kind}, jointe à part."
_TS = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d))?")


def read_document(source: BinaryIO, size: int) -> Reading:
    """What a CDA of `size` octets says, in order.

    Raises XmlRefusedError when it is not one that `read_cda` accepts.
    """
    root = parse_xml(source, size)
    header = header_of_root(root)
    body = root.find(f"{H}component/{H}structuredBody")
    blocks: tuple[Block, ...]
    if body is not None:
        blocks = body_blocks(body)
    elif header.body_media_type == "text/plain":
        source.seek(0)
        blocks = _plain(source, size)
    else:
        blocks = (Paragraph(ENCLOSED.format(kind=clean(header.body_media_type or "inconnu")[:100])),)
    found = document_type(header.type_code, header.type_system)
    title = clean(header.title or ("" if found is None else found.label) or header.type_label or "Document")
    return Reading(title, tuple(_facts(root, header)), blocks, clean(header.language or "fr-FR")[:20])


def plain_reading(title: str, text: str, facts: tuple[tuple[str, str], ...] = ()) -> Reading:
    """A plain text as a reading."""
    shown = Shown()
    shown.lines(text)
    return Reading(clean(title), facts, tuple(shown.blocks))


def body_of(source: BinaryIO, size: int) -> Iterator[bytes]:
    """The octets inside an unstructured (N1) document, as they stand in it; nothing where it holds none.

    Streams: the document is never held whole. Raises ValueError when the base64 or the XML breaks off.
    """
    found = _Body()
    left = size
    while left and (block := source.read(min(BLOCK, left))):
        left -= len(block)
        found.feed(block)
        yield from found.taken()
    found.end_of_document()
    yield from found.taken()


class _Body:
    """Watches for `nonXMLBody/text` and decodes what it holds."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._on = False
        self._base64 = False
        self._begun = self._opened = -1  # where the tag of the text stands, and the last "<", in what was parsed
        self._parsed = 0  # octets
        self._wide = False  # signs of several octets (UTF-16): none of them is base64, whatever its octets look like
        self._held = b""
        self._padded = False
        self._out: list[bytes] = []
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.buffer_size = BLOCK
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, block: bytes) -> None:
        """The next octets of the document. Raises ValueError."""
        # Behind the tag of the text nothing is markup before the next "<": signs of base64 need no parser there.
        in_text = self._on and self._base64 and self._opened == self._begun and not self._wide
        if in_text and not block.translate(None, BASE64):
            self._decode(block)
            return
        self._wide = self._wide or b"\0" in block
        self._parse(block, last=False)
        found = block.rfind(b"<")
        self._opened = self._opened if found < 0 else self._parsed + found
        self._parsed += len(block)

    def end_of_document(self) -> None:
        """Nothing more comes. Raises ValueError when it breaks off."""
        self._parse(b"", last=True)

    def _parse(self, block: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(block, last)
        except expat.ExpatError as error:
            raise ValueError("xml") from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name.removeprefix(f"{oids.HL7} "))
        if self._path == ["ClinicalDocument", "component", "nonXMLBody", "text"] and "compression" not in attributes:
            self._on, self._base64, self._padded = True, attributes.get("representation") == "B64", False
            self._begun = self._parser.CurrentByteIndex

    def _end(self, _: str) -> None:
        self._path.pop()
        if self._on and len(self._path) == 3:
            self._on = False
            if self._held:
                raise ValueError("base64")

    def _doctype(self, *_: object) -> None:
        raise ValueError("doctype")

    def _text(self, text: str) -> None:
        if self._on:
            data = text.encode()
            self._decode(data) if self._base64 else self._out.append(data)

    def _decode(self, data: bytes) -> None:
        held = self._held + data.translate(None, WHITE)
        if self._padded and held:
            raise ValueError("base64")  # after its padding (RFC 4648 §3.3)
        whole = len(held) & ~3
        self._padded = self._padded or held[:whole].endswith(b"=")
        self._held = held[whole:]
        try:
            self._out.append(pybase64.b64decode(held[:whole], validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("base64") from None

    def taken(self) -> Iterator[bytes]:
        """What was decoded since the last call."""
        out, self._out = self._out, []
        yield from out


def _plain(source: BinaryIO, size: int) -> tuple[Block, ...]:
    held = bytearray()
    try:
        for piece in body_of(source, size):
            held += piece
            if len(held) > PLAIN_BODY:
                break
    except ValueError:
        return (Paragraph("Le texte de ce document n'est pas lisible ici."),)
    return plain_reading("", text_of(bytes(held[:PLAIN_BODY]))).blocks


def text_of(data: bytes) -> str:
    """Octets as text: UTF-8 where they are, else the Windows code page of Western Europe."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _facts(root: etree._Element, header: CdaHeader) -> Iterator[tuple[str, str]]:
    patient = header.patient
    told = [
        ("Patient", _patient_name(patient)),
        ("Date de naissance", date(patient.birth_date)),
        ("Sexe", SEXES.get(patient.sex or "", "")),
        ("Matricule INS", patient.ins or ""),
        ("Date du document", date(header.effective_time)),
        ("Date de l'acte", date(header.service_start)),
        *(("Auteur", _person(one)) for one in header.authors[:10]),
        ("Responsable", "" if header.legal_authenticator is None else _person(header.legal_authenticator)),
        ("Établissement", _custodian(root)),
    ]
    for label, value in told:
        if value:
            yield label, clean(value)[:300]


def _patient_name(patient: PatientIdentity) -> str:
    given = patient.given_names[0] if patient.given_names else patient.first_given
    return " ".join(filter(None, (patient.birth_name, patient.first_given or given)))


def _person(one: Professional) -> str:
    name = " ".join(filter(None, (one.given_name, one.family_name)))
    profession = PROFESSIONS.get(one.profession_code or "", "")
    return ", ".join(filter(None, (name, profession, one.structure_name)))


def _custodian(root: etree._Element) -> str:
    name = root.find(f"{H}custodian/{H}assignedCustodian/{H}representedCustodianOrganization/{H}name")
    return "" if name is None else " ".join("".join(str(piece) for piece in name.itertext()).split())


def date(value: str | None) -> str:
    """An HL7 TS as it is said in French: `20250615120000+0200` -> `15/06/2025 à 12:00`; empty: none."""
    found = _TS.match(value or "")
    if found is None:
        return ""
    year, month, day, hour, minute = found.groups()
    told = "/".join(filter(None, (day, month, year)))
    return f"{told} à {hour}:{minute}" if hour and day else told
