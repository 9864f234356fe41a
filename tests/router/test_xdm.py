"""IHE_XDM.zip: what we write we read, and every disagreement has its code (acceptance 11, 12, 24-27)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from dcc.router.metadata import ins_of, read_metadata
from dcc.router.metadata_write import utc
from dcc.router.request import Deposit, NotUnderstood
from dcc.router.xml import XmlRefusedError

METADATA = "IHE_XDM/SUBSET01/METADATA.XML"
DOCUMENT = "IHE_XDM/SUBSET01/DOC0001.XML"


def rebuilt(archive: bytes, change: Callable[[dict[str, bytes]], object]) -> bytes:
    """The same archive after a change of its files."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        files = {name: source.read(name) for name in source.namelist()}
    change(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        for name, data in files.items():
            target.writestr(name, data)
    return out.getvalue()


def edited(old: bytes, new: bytes, name: str = METADATA) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return change


def read(kit: Any, archive: bytes) -> Deposit | NotUnderstood:
    found = kit.read(kit.mail(("IHE_XDM.zip", "application/zip", archive)))
    assert isinstance(found, Deposit | NotUnderstood)
    return found


def refusal(kit: Any, archive: bytes) -> tuple[str, str]:
    found = read(kit, archive)
    assert isinstance(found, NotUnderstood)
    return found.reason.code, found.reason.outcome


def test_round_trip(kit: Any) -> None:
    """What we write, our reader accepts, with every code; and the zip and its METADATA agree independently."""
    cda = kit.cda(body=b"%PDF-1.4", type_code="60568-3")
    archive = kit.xdm(cda, masks=["MASQUE_PS"])
    found = read(kit, archive)
    assert isinstance(found, Deposit)
    document = found.documents[0]
    assert document.format_code == "urn:ihe:iti:xds-sd:pdf:2008"
    assert document.confidentiality == ("N", "MASQUE_PS")
    assert document.findings == ()
    assert document.digest == hashlib.sha256(cda).hexdigest()
    assert [one.role for one in found.attachments] == ["archive", "document"]
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert opened.namelist()[0] in {"README.TXT", "INDEX.HTM"}
        root = etree.fromstring(opened.read(METADATA))
        text = opened.read(METADATA).decode()
        assert hashlib.sha1(opened.read(DOCUMENT), usedforsecurity=False).hexdigest() in text
        assert f"<Value>{len(cda)}</Value>" in text
    assert root.tag.endswith("SubmitObjectsRequest")
    assert "279035121518989^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH" in text


def test_several_documents_of_one_patient(kit: Any) -> None:
    """Several documents of one patient are one deposit."""
    found = read(kit, kit.xdm(kit.cda(), kit.cda(body=b"x")))
    assert isinstance(found, Deposit)
    assert len(found.documents) == 2


def test_matricule_stays_inside_when_not_qualified(kit: Any) -> None:
    """A document without INS is written without one, and read as having none."""
    found = read(kit, kit.xdm(kit.cda(with_ins=False)))
    assert isinstance(found, Deposit)
    assert found.documents[0].patient.ins is None


def test_other_patient_in_metadata(kit: Any) -> None:
    """Acceptance 11: METADATA of another patient is refused 904 with D2R-XDM05."""
    archive = rebuilt(kit.xdm(), edited(b"279035121518989", b"255081416802538"))
    found = read(kit, archive)
    assert isinstance(found, NotUnderstood)
    assert (found.reason.code, found.reason.outcome) == ("904", "refused")
    assert found.reason.parameter("detail") == "D2R-XDM05"


def test_two_patients_in_one_mail(kit: Any, constants: dict[str, Any]) -> None:
    """Acceptance 12: two entries of two patients are refused D2R-XDM06, in one archive or in two."""
    other = kit.cda(patient=constants["p1"])
    archive = rebuilt(
        kit.xdm(kit.cda(), other), lambda files: files.__setitem__(METADATA, swap_second(files[METADATA]))
    )
    assert refusal(kit, archive) == ("D2R-XDM06", "refused")
    both = kit.mail(
        ("IHE_XDM.zip", "application/zip", kit.xdm()),
        ("IHE_XDM2.zip", "application/zip", kit.xdm(other, patient=constants["p1"])),
    )
    assert kit.read(both).reason.code == "D2R-XDM06"


def swap_second(metadata: bytes) -> bytes:
    """The second entry's patientId becomes the other patient's."""
    place = metadata.index(b"279035121518989^^^", metadata.index(b"DOC0002.XML"))
    return metadata[:place] + b"255081416802538" + metadata[place + 15 :]


def test_unknown_type(kit: Any) -> None:
    """Acceptance 24: a type outside JDV_J07 is refused D2R-TYP01."""
    cda = kit.cda().replace(b'code="34794-8"', b'code="99999-9"')
    made = rebuilt(kit.xdm(), lambda files: files.__setitem__(DOCUMENT, cda))
    made = rebuilt(made, fixed_hash)
    assert refusal(kit, made) == ("D2R-TYP01", "refused")
    assert refusal(kit, rebuilt(made, edited(b"34794-8", b"99999-9"))) == ("D2R-TYP01", "refused")


def fixed_hash(files: dict[str, bytes]) -> None:
    """Make METADATA's size and hash those of the document."""
    text = files[METADATA].decode()
    for slot, value in (
        ("hash", hashlib.sha1(files[DOCUMENT], usedforsecurity=False).hexdigest()),
        ("size", str(len(files[DOCUMENT]))),
    ):
        start = text.index("<Value>", text.index(f'name="{slot}"')) + 7
        text = text[:start] + value + text[text.index("<", start) :]
    files[METADATA] = text.encode()


def test_type_of_metadata_differs(kit: Any) -> None:
    """Acceptance 25: another known type in METADATA is refused D2R-XDM04."""
    assert refusal(kit, rebuilt(kit.xdm(), edited(b"34794-8", b"60568-3"))) == ("D2R-XDM04", "refused")


def test_hash_or_size_differs(kit: Any) -> None:
    """Acceptance 26: another size or hash is refused D2R-XDM03."""
    archive = kit.xdm()
    longer = rebuilt(archive, edited(b"</ClinicalDocument>", b"</ClinicalDocument> ", DOCUMENT))
    assert refusal(kit, longer) == ("D2R-XDM03", "refused")
    altered = rebuilt(archive, edited(b"Avis", b"Avid", DOCUMENT))
    assert refusal(kit, altered) == ("D2R-XDM03", "refused")
    unreadable = rebuilt(archive, edited(b'name="size"><ValueList><Value>', b'name="size"><ValueList><Value>x'))
    assert refusal(kit, unreadable) == ("D2R-XDM03", "refused")


def test_missing_pieces(kit: Any) -> None:
    """Acceptance 27: no METADATA, no SUBSET01, no document, not a zip: D2R-XDM01."""
    archive = kit.xdm()
    assert refusal(kit, rebuilt(archive, lambda files: files.pop(METADATA))) == ("D2R-XDM01", "refused")
    assert refusal(kit, rebuilt(archive, lambda files: files.pop(DOCUMENT))) == ("D2R-XDM01", "refused")
    moved = rebuilt(archive, lambda files: [files.update({k.replace("SUBSET01/", ""): files.pop(k)}) for k in [*files]])
    assert refusal(kit, moved) == ("D2R-XDM01", "refused")
    assert refusal(kit, b"%PDF-1.4 not a zip") == ("D2R-XDM01", "refused")
    assert refusal(kit, rebuilt(archive, lambda files: files.update({METADATA: b"<x/>"}))) == ("D2R-XDM01", "refused")


def test_document_that_is_not_a_cda(kit: Any) -> None:
    """A document entry that is something else is D2R-XDM08; one with a DOCTYPE D2R-XDM07."""
    for data, code in ((b"%PDF-1.4", "D2R-XDM08"), (b"<!DOCTYPE x><x/>", "D2R-XDM07")):
        made = rebuilt(kit.xdm(), lambda files, data=data: files.__setitem__(DOCUMENT, data))  # type: ignore[misc]
        assert refusal(kit, rebuilt(made, fixed_hash)) == (code, "refused")


def test_metadata_with_doctype(kit: Any) -> None:
    """A DOCTYPE in METADATA is D2R-XDM07."""
    made = rebuilt(kit.xdm(), edited(b"?>\n", b'?>\n<!DOCTYPE x [<!ENTITY a "b">]>\n'))
    assert refusal(kit, made) == ("D2R-XDM07", "refused")


def test_style_sheet_is_a_part_and_not_a_document(kit: Any) -> None:
    """Other files of the submission set are parts."""
    made = rebuilt(kit.xdm(), lambda files: files.update({"IHE_XDM/SUBSET01/CDA.XSL": b"<x/>"}))
    found = read(kit, made)
    assert isinstance(found, Deposit)
    assert len(found.documents) == 1
    assert [one.name for one in found.attachments][1:] == ["DOC0001.XML", "CDA.XSL"]


def test_metadata_without_ins_is_no_ins(kit: Any) -> None:
    """ECO.2.1.2: the receiver identifies by METADATA; without an INS there, the deposit has none."""
    made = rebuilt(kit.xdm(), edited(b"^^^&amp;1.2.250.1.213.1.4.10&amp;ISO^NH", b"^^^&amp;1.2.3&amp;ISO^PI"))
    found = read(kit, made)
    assert isinstance(found, Deposit)
    assert found.documents[0].patient.ins is None
    assert "metadata-without-ins" in found.findings


def test_same_document_twice_in_one_mail(kit: Any) -> None:
    """Two entries with one document id cannot both be filed."""
    cda = kit.cda()
    assert refusal(kit, kit.xdm(cda, cda)) == ("D2R-DUP01", "refused")


def test_samples_as_deposits(kit: Any, shared: Path) -> None:
    """Acceptance 30: each of the 20 samples, wrapped, is read as a deposit."""
    for file in sorted((shared / "samples/cda").glob("*.xml")):
        found = read(kit, kit.xdm(file.read_bytes(), patient=sample_patient(kit, file)))
        assert isinstance(found, Deposit), file.name
        assert found.documents[0].class_code
        listed = "template-not-listed-for-type" not in found.findings
        assert listed != file.name.startswith("01_")


def sample_patient(kit: Any, file: Path) -> Any:
    patient = kit.draft().patient
    if not file.name.startswith("eDISP"):
        return patient
    from dataclasses import replace

    return replace(patient, ins="277076322082910", oid="1.2.250.1.213.1.4.8")


@pytest.mark.parametrize(
    ("cx", "expected"),
    [
        ("279035121518989^^^&1.2.250.1.213.1.4.10&ISO^NH", ("279035121518989", "1.2.250.1.213.1.4.10")),
        ("1^^^&1.2.3&ISO^PI", None),
        ("", None),
        (None, None),
        ("^^^&1.2.250.1.213.1.4.10&ISO", None),
    ],
)
def test_patient_identifier(cx: str | None, expected: tuple[str, str] | None) -> None:
    """A patientId counts when its authority is an INS domain."""
    assert ins_of(cx) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20210401134745+0100", "20210401124745"),
        ("20210401", "20210401"),
        ("202104011347-0530", "202104011917"),
        ("x", None),
        (None, None),
        ("20219901000000+0100", None),
    ],
)
def test_times_are_in_utc(value: str | None, expected: str | None) -> None:
    """XDS times are in UTC (facts §3.1)."""
    assert utc(value) == expected


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_names_never_break_metadata(family: str, given_name: str) -> None:
    """Whatever stands in a name, a field of METADATA stays one field."""
    from dcc.router.metadata_write import xcn
    from dcc.router.request import Professional

    made = xcn(Professional("8", family_name=family, given_name=given_name))
    assert made.split("^")[8:] == ["&1.2.250.1.71.4.2.1&ISO", "D", "", "", "IDNPS"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_metadata_reader_never_crashes(data: bytes) -> None:
    """Arbitrary bytes are refused with a code."""
    with contextlib.suppress(XmlRefusedError):
        read_metadata(io.BytesIO(data), len(data))
