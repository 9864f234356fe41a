"""An independent look at an MSSanté mail: zip listing, METADATA against the files, XML, header fields; no product code."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

from lxml import etree

RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
CDA = "{urn:hl7-org:v3}"
SCHEMA = Path(__file__).with_name("router") / "metadata.xsd"
FOLDER = "IHE_XDM/SUBSET01/"
SUBJECT = re.compile(r"XDM/1\.0/DDM\+(.{1,40}) ([A-Z][A-Z' -]*) ([A-Za-z' -]+) (\d\d/\d\d/\d{4})")
COPY = re.compile(r"\d{8}_[^_]+_[^_]+_[^_]+_D-[0-9A-Z]{4}-[0-9A-Z]{4}\.(pdf|jpg|png|rtf|tif)")
SCHEMES = {
    "class": "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "type": "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983",
    "format": "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
    "confidentiality": "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f",
    "patient": "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427",
    "unique": "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab",
}  # fmt: skip


def files_of(mail: Message) -> dict[str, bytes]:
    """The attachments by name; two of one name are an error."""
    found: dict[str, bytes] = {}
    for part in mail.walk():
        name = part.get_filename()
        if name is not None:
            assert name not in found, name
            data: Any = part.get_payload(decode=True)
            found[name] = data
    return found


def subject_of(mail: Message) -> str:
    """The subject as it is shown: unfolded, encoded words decoded."""
    return re.sub(r"\r?\n(?=[ \t])", "", str(make_header(decode_header(str(mail["Subject"])))))


def checked(mail: Message) -> list[dict[str, Any]]:
    """Everything that a receiver of MSSanté mails checks; what METADATA says of each document, and its bytes."""
    files = files_of(mail)
    assert SUBJECT.fullmatch(subject_of(mail)), mail["Subject"]
    assert str(mail["X-MSS-NIL"])
    entries = archive_entries(files.pop("IHE_XDM.zip"))
    assert sorted(str(mail["X-MSS-CODECDA"]).split(",")) == sorted(one["type"] for one in entries)
    with_ins = all(one["patient"] for one in entries)
    assert mail["X-MSS-INS"] == ("O" if with_ins else "N")
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds[1:4] == ["multipart/alternative", "text/plain", "text/html"]
    return entries


def archive_entries(data: bytes) -> list[dict[str, Any]]:
    """The entries of an IHE_XDM.zip after every check of facts §3.1 and of the schema."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        assert {"README.TXT", "INDEX.HTM", f"{FOLDER}METADATA.XML"} <= set(names)
        held = {name: archive.read(name) for name in names}
    etree.fromstring(held["INDEX.HTM"], etree.XMLParser(load_dtd=False, no_network=True))
    root = etree.fromstring(held[f"{FOLDER}METADATA.XML"])
    listing = root.find(f"{RIM}RegistryObjectList")
    assert listing is not None
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(etree.fromstring(etree.tostring(listing)))
    entries = [_entry(one, held) for one in listing.iterfind(f"{RIM}ExtrinsicObject")]
    described = {FOLDER + one["uri"] for one in entries}
    inside = {name for name in names if name.startswith(FOLDER) and name.endswith(".XML")} - {f"{FOLDER}METADATA.XML"}
    assert described == inside, "a file that no entry describes, or the reverse"
    return entries


def _entry(element: Any, held: dict[str, bytes]) -> dict[str, Any]:
    slots = {
        one.get("name"): [value.text for value in one.iter(f"{RIM}Value")] for one in element.iterfind(f"{RIM}Slot")
    }
    (uri,) = slots["URI"]
    document = held[FOLDER + uri]
    assert slots["size"] == [str(len(document))]
    assert slots["hash"] == [hashlib.sha1(document).hexdigest()]
    root = etree.fromstring(document, etree.XMLParser(huge_tree=True, load_dtd=False, no_network=True))
    assert root.tag == f"{CDA}ClinicalDocument"
    codes: dict[str, list[str]] = {}
    for one in element.iterfind(f"{RIM}Classification"):
        codes.setdefault(one.get("classificationScheme"), []).append(one.get("nodeRepresentation"))
    external = {
        one.get("identificationScheme"): one.get("value") for one in element.iterfind(f"{RIM}ExternalIdentifier")
    }
    own = root.find(f"{CDA}id")
    assert external[SCHEMES["unique"]] == "^".join(filter(None, (own.get("root"), own.get("extension"))))
    (kind,) = codes[SCHEMES["type"]]
    assert kind == root.find(f"{CDA}code").get("code")
    assert codes[SCHEMES["class"]]
    assert codes[SCHEMES["confidentiality"]][0] == root.find(f"{CDA}confidentialityCode").get("code")
    patient = external.get(SCHEMES["patient"])
    inside = {one.get("extension") for one in root.iterfind(f"{CDA}recordTarget/{CDA}patientRole/{CDA}id")}
    assert patient is None or patient.split("^")[0] in inside
    return {
        "uri": uri, "type": kind, "format": codes.get(SCHEMES["format"], [None])[0], "patient": patient,
        "confidentiality": codes[SCHEMES["confidentiality"]], "document": document,
    }  # fmt: skip
