"""HL7 v2 and HPRIM: recognised, read as far as a person needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.router.legacy import hl7_header, hprim_patient, is_hprim

HPRIM = "\r\n".join(
    [
        "C1",
        "DUPONT",
        "JEAN",
        "1 rue",
        "",
        "75001 PARIS",
        "01/02/1950",
        "1500275123456 75",
        "D1",
        "01/01/2025",
        "X",
        "Y",
        "texte",
    ]
)


def test_hl7_samples_have_their_kind(shared: Path) -> None:
    """Every HL7 sample has the message type the index says, whatever its line ends."""
    import csv

    folder = shared / "samples/hl7"
    for row in csv.DictReader((folder / "INDEX.csv").read_text(encoding="utf-8").splitlines()):
        if not row["file"].endswith((".er7", ".hl7")):
            continue
        data = (folder / row["file"]).read_bytes()
        for form in (data, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")):
            header = hl7_header(form)
            assert header is not None, row["file"]
            assert header.message_type == "^".join(row["message_type"].split("^")[:2])


def test_hl7_separators_come_from_the_header() -> None:
    """Other separators are read from the header itself."""
    found = hl7_header(b"MSH#*~\\&#A#B#C#D#2025##MDM*T02#77#P#2.6\r")
    assert found is not None
    assert (found.message_type, found.control_id, found.version) == ("MDM^T02", "77", "2.6")


@pytest.mark.parametrize("data", [b"", b"MSH", b"MSH|^~\\&|||||||", b"PID|1", b"%PDF", b"MSHAAAAAAAAAAA"])
def test_other_bytes_are_not_hl7(data: bytes) -> None:
    """Anything else has no header."""
    assert hl7_header(data) is None


def test_hprim_patient_is_shown() -> None:
    """The twelve lines of the header are read."""
    found = hprim_patient(HPRIM.encode("latin-1"))
    assert found is not None
    assert (found.family_name, found.given_name, found.birth_date) == ("DUPONT", "JEAN", "01/02/1950")
    assert found.social_number == "1500275123456 75"
    assert found.header_lines == 12


def test_hprim_with_eleven_lines() -> None:
    """Acceptance 43: a missing address line does not move the birth date."""
    found = hprim_patient(HPRIM.replace("\r\n\r\n", "\r\n", 1).encode("latin-1"))
    assert found is not None
    assert found.birth_date == "01/02/1950"
    assert found.header_lines == 11


def test_hprim_is_recognised() -> None:
    """By its ending or by its marks."""
    assert is_hprim("x.HPR", b"")
    assert is_hprim("x.txt", b"...\r\n****FIN****")
    assert is_hprim("x", b"H|~^\\&|file")
    assert not is_hprim("x.pdf", b"%PDF")


@given(st.binary(max_size=200))
def test_readers_never_crash(data: bytes) -> None:
    """Arbitrary bytes give a value or nothing."""
    hl7_header(b"MSH|" + data)
    hl7_header(data)
    hprim_patient(data)
    is_hprim("x", data)
