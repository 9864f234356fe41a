"""The CDA reader, on the public samples, on our own documents, and on hostile XML."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcc.router.cda import CdaHeader, read_cda
from dcc.router.doctypes import document_type, format_code
from dcc.router.xml import WHOLE_LIMIT, XmlRefusedError


def parse(data: bytes) -> CdaHeader:
    return read_cda(io.BytesIO(data), len(data))


def refused(data: bytes) -> str:
    with pytest.raises(XmlRefusedError) as caught:
        parse(data)
    return caught.value.code


def test_samples_are_read_as_the_index_says(shared: Path) -> None:
    """Acceptance 30: type, identity, people and ids of the 20 samples; class and format of the value sets."""
    folder = shared / "samples/cda"
    rows = list(csv.DictReader((folder / "INDEX.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 20
    for row in rows:
        header = parse((folder / row["file"]).read_bytes())
        patient = header.patient
        read = {
            "type_code": header.type_code,
            "code_system": header.type_system,
            "template_ids": ";".join(header.templates),
            "ins_oid": patient.oid,
            "ins": patient.ins,
            "birth_name": patient.birth_name,
            "first_given": patient.first_given,
            "given_names": " ".join(patient.given_names),
            "sex": patient.sex,
            "birth_date": patient.birth_date,
            "birth_place_cog": patient.birth_place,
            "author_ids": ";".join(one.id or "" for one in header.authors),
            "author_profession": ";".join(one.profession or "" for one in header.authors),
            "author_structure": ";".join(one.structure or "" for one in header.authors),
            "legal_authenticator": header.legal_authenticator.id if header.legal_authenticator else None,
            "custodian": header.custodian,
            "document_id": header.unique_id,
            "set_id": header.set_id,
            "version": str(header.version),
            "confidentiality": header.confidentiality,
            "replaces": header.replaces or "",
            "recipients": str(len(header.recipients)),
        }
        assert read == {name: row[name] for name in read}, row["file"]
        assert header.structured == (row["body"] == "structured")
        kind = document_type(header.type_code, header.type_system)
        assert kind is not None
        assert kind.class_code
        form = format_code(kind, header.templates, header.body_media_type)
        # 01_Modèles is a catalogue whose template its code does not list (facts §4)
        assert (form is None) == row["file"].startswith("01_")


def test_samples_cost_a_few_milliseconds(shared: Path) -> None:
    """The largest sample is read in well under 15 ms of processor time."""
    data = (shared / "samples/cda/ANEST-CR-CPA_2022.01.xml").read_bytes()
    parse(data)
    start = time.process_time()
    for _ in range(5):
        parse(data)
    assert (time.process_time() - start) / 5 < 0.015


def test_own_document_comes_back(kit: Any) -> None:
    """What the writer writes, the reader reads."""
    header = parse(kit.cda(set_id="2.25.7", version=3, replaces="2.25.1", confidentiality="R"))
    assert (header.set_id, header.version, header.replaces) == ("2.25.7", 3, "2.25.1")
    assert header.confidentiality == "R"
    assert header.patient.first_given == "DOMINIQUE"
    assert header.patient.given_names == ("DOMINIQUE", "MARIE-LOUISE")
    assert header.structured


@pytest.mark.parametrize("size", [10, WHOLE_LIMIT, 11 << 20])
def test_body_of_any_size_is_passed_over(kit: Any, size: int) -> None:
    """The header of an unstructured document is read whatever the size of its body."""
    header = parse(kit.cda(body=b"%PDF" + bytes(size)))
    assert header.body_media_type == "application/pdf"
    assert header.custodian is not None
    assert header.legal_authenticator is not None


def test_doctype_is_refused(kit: Any) -> None:
    """A DOCTYPE is D2R-XDM07, in any place and encoding, entity or not."""
    data = kit.cda()
    declared = data.replace(b"?>\n", b'?>\n<!DOCTYPE x [<!ENTITY e "v">]>\n', 1)
    assert refused(declared) == "D2R-XDM07"
    wide = declared.decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    assert refused(wide) == "D2R-XDM07"
    assert refused(b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>') == "D2R-XDM07"


def test_doctype_of_a_large_document_is_refused(kit: Any) -> None:
    """The streaming path refuses a DOCTYPE too."""
    data = kit.cda(body=bytes(WHOLE_LIMIT))
    assert refused(data.replace(b"?>\n", b"?>\n<!DOCTYPE x>\n", 1)) == "D2R-XDM07"


def test_entity_reference_without_declaration_is_refused(kit: Any) -> None:
    """An undeclared entity is not well-formed."""
    assert refused(kit.cda().replace(b"Fiche RCP", b"&file;", 1)) == "D2R-XDM08"


def test_two_patients_are_refused(kit: Any) -> None:
    """Acceptance 29: two recordTarget are D2R-XDM06; two matricules in one also."""
    data = kit.cda()
    start, end = data.index(b"<recordTarget>"), data.index(b"</recordTarget>") + 15
    assert refused(data[:end] + data[start:end] + data[end:]) == "D2R-XDM06"
    other = b'<patientRole><id root="1.2.250.1.213.1.4.10" extension="255081416802538"/>'
    assert refused(data.replace(b"<patientRole>", other, 1)) == "D2R-XDM06"


@pytest.mark.parametrize("data", [b"", b"<x/>", b"\x00" * 50, b"%PDF-1.4", b"<ClinicalDocument/>", b"<a" + b"a" * 99])
def test_other_bytes_are_not_a_cda(data: bytes) -> None:
    """Anything else is D2R-XDM08."""
    assert refused(data) == "D2R-XDM08"


def test_depth_is_bounded() -> None:
    """Deep nesting is refused, quickly."""
    for count in (1_000, 300_000):
        data = b'<ClinicalDocument xmlns="urn:hl7-org:v3">' + b"<a>" * count
        assert refused(data) == "D2R-XDM08"


def test_large_structured_document_is_bounded(kit: Any) -> None:
    """More XML than may become a tree is over the limit."""
    data = kit.cda().replace(b"<paragraph>", b"<paragraph>" + b"x-" * (9 << 20), 1)
    assert refused(data) == "D2R-LIM01"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_documents_never_crash(data: st.DataObject) -> None:
    """A document cut, or with bytes replaced, is read or refused with a reason."""
    whole = WHOLE
    cut = data.draw(st.integers(0, len(whole)))
    place = data.draw(st.integers(0, len(whole) - 1))
    piece = data.draw(st.binary(max_size=20))
    damaged = (whole[:place] + piece + whole[place + len(piece) :])[: max(cut, place)]
    with contextlib.suppress(XmlRefusedError):
        parse(damaged)


WHOLE = (
    b'<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3">'
    b'<id root="1.2.3"/><code code="34794-8" codeSystem="2.16.840.1.113883.6.1"/><title>t</title>'
    b'<recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="279035121518989"/><patient>'
    b'<name><family qualifier="BR">X</family><given>A</given><given qualifier="BR">A</given></name>'
    b'<birthTime value="19790328"/></patient></patientRole></recordTarget>'
    b'<component><nonXMLBody><text mediaType="application/pdf" representation="B64">AAAA</text></nonXMLBody>'
    b"</component></ClinicalDocument>"
)
