"""HPRIM files: recognised, their patients read as far as a person needs (facts/clinical.md §6)."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dcc.router.hprim import hprim_patient, hprim_patients, is_hprim

HPRIM = "\r\n".join(
    [
        *("C1", "DUPONT", "JEAN", "1 rue", "", "75001 PARIS", "01/02/1950", "1500275123456 75", "D1", "01/01/2025"),
        *("X", "Y", "texte"),
    ]
)
SANTE = "H|~^\\&|1.HPR||A||ORU|||B||P|H2.2~C|20250101\r\nP|1|9|I||DUPONT~JEAN||19500201|M||rue\r\nL|1\r\n"


def test_patient_is_shown() -> None:
    """The twelve lines of the header are read."""
    found = hprim_patient(HPRIM.encode("latin-1"))
    assert found is not None
    assert (found.family_name, found.given_name, found.birth_date) == ("DUPONT", "JEAN", "01/02/1950")
    assert (found.social_number, found.header_lines) == ("1500275123456 75", 12)


def test_header_with_eleven_lines() -> None:
    """Acceptance 43: a missing address line does not move the birth date."""
    found = hprim_patient(HPRIM.replace("\r\n\r\n", "\r\n", 1).encode("latin-1"))
    assert found is not None
    assert (found.birth_date, found.header_lines) == ("01/02/1950", 11)


def test_several_patients_in_one_file() -> None:
    """Each ****FIN**** ends a patient."""
    text = f"{HPRIM}\r\n****FIN****\r\n{HPRIM.replace('JEAN', 'PAUL')}\r\n****FIN****\r\n****FINFICHIER****\r\n"
    assert [one.given_name for one in hprim_patients(text)] == ["JEAN", "PAUL"]


def test_hprim_sante_reads_its_separators() -> None:
    """The component separator stands in the header: swapped against HL7, or not."""
    for text in (SANTE, SANTE.replace("~^\\&", "\\^&~").replace("DUPONT~", "DUPONT^")):
        (found,) = hprim_patients(text)
        assert (found.family_name, found.given_name, found.birth_date, found.sex) == (
            "DUPONT",
            "JEAN",
            "01/02/1950",
            "M",
        )


def test_files_are_recognised() -> None:
    """By their ending or by their marks."""
    assert is_hprim("x.HPR", b"")
    assert is_hprim("x.txt", b"...\r\n****FIN****")
    assert is_hprim("x", b"H|~^\\&|file")
    assert not is_hprim("x.pdf", b"%PDF")


def test_samples(shared: Path) -> None:
    """Both sample files name the patient that the index says."""
    for name in ("synthetic_hprim_medecin.hpr", "synthetic_hprim_sante_ORU.hpr"):
        data = (shared / "samples/hl7" / name).read_bytes()
        assert is_hprim("x", data)
        assert [one.family_name for one in hprim_patients(data.decode("latin-1"))] == ["PAT-TROIS"]


@given(st.text(max_size=300), st.binary(max_size=200))
def test_readers_never_crash(text: str, data: bytes) -> None:
    """Arbitrary text and bytes give values or nothing."""
    hprim_patients(text)
    hprim_patients("H|~^\\&|" + text)
    hprim_patient(data)
    is_hprim("x", data)
