"""Document types, their codes, and the matrix of professions."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dcc.router.doctypes import (
    LOINC,
    Allowed,
    default_matrix,
    document_type,
    document_types,
    format_code,
    group_of,
    load_matrix,
    type_by_code,
)


def test_frcp_has_its_class_and_format() -> None:
    """The RCP sheet is class 10, its format comes from its template."""
    found = document_type("34794-8")
    assert found is not None
    assert found.class_code == "10"
    assert format_code(found, ["1.2.250.1.213.1.1.1.8^2022.01"], None) == "urn:asip:ci-sis:frcp:2011"


def test_template_decides_between_formats_of_one_type() -> None:
    """Imaging reports have three templates; the declared one decides."""
    found = document_type("18748-4")
    assert found is not None
    assert format_code(found, ["1.2.250.1.213.1.1.1.28"], None) == "urn:asip:ci-sis:d2lm-fidd:2017"
    assert format_code(found, ["1.2.250.1.213.1.1.1.45"], None).startswith("urn:ihe:rad")  # type: ignore[union-attr]


def test_unstructured_format_comes_from_the_media_type() -> None:
    """An N1 body's media type gives the format code."""
    found = document_type("60568-3")
    assert found is not None
    assert format_code(found, [], "application/pdf") == "urn:ihe:iti:xds-sd:pdf:2008"
    assert format_code(found, [], "video/mp4") is None


def test_type_is_code_and_system() -> None:
    """SYNTH is not a LOINC code."""
    assert document_type("SYNTH", LOINC) is None
    assert type_by_code("SYNTH") is not None


def test_table_agrees_with_the_value_sets(shared: Path) -> None:
    """Every row of the shared table is known, with the same class and format."""
    rows = list(csv.DictReader((shared / "samples/doctypes.csv").read_text(encoding="utf-8").splitlines()))
    assert {(row["typeCode"], row["codeSystemOID"]) for row in rows} == set(document_types())
    for row in rows:
        found = document_type(row["typeCode"], row["codeSystemOID"])
        assert found is not None
        assert (found.class_code or "") == row["classCode"]
        if row["N3_templateId"] and row["formatCode_N3"]:
            assert found.structured_format([row["N3_templateId"]]) == row["formatCode_N3"]


@pytest.mark.parametrize(
    ("group", "code", "feed", "read"),
    [
        ("10", "34794-8", True, True),
        ("10", "ATTEST-RESID", False, False),
        ("60", "57833-6", False, True),
        ("60", "68599-0", False, False),
        ("staff", "34794-8", True, True),
        ("staff", "57833-6", False, False),
        ("organisation", "11502-2", True, True),
        ("organisation", "DOCPAT01", False, True),
        ("94", "57833-6", False, False),
    ],
)
def test_default_matrix_is_careful(group: str, code: str, feed: bool, read: bool) -> None:
    """Doctors all but one type; every other group an explicit list."""
    found = type_by_code(code)
    assert found is not None
    matrix = default_matrix()
    assert matrix.may_feed(group, code, found.class_code) is feed
    assert matrix.may_read(group, code, found.class_code) is read


def test_what_is_taken_away_wins() -> None:
    """A minus beats everything else."""
    assert not Allowed.parse("* 1 class:10 -1").covers("1", "10")
    assert not Allowed.parse("* -class:10").covers("1", "10")


def test_matrix_can_be_replaced(tmp_path: Path) -> None:
    """A network may bring its own matrix."""
    file = tmp_path / "matrix.csv"
    file.write_text("group,label,feed,read\nother,,,\n60,nurse,*,*\n", encoding="utf-8")
    matrix = load_matrix(file)
    assert matrix.may_feed("60", "57833-6", "42")
    assert not matrix.may_feed("10", "57833-6", "42")


def test_groups() -> None:
    """An account's line: organisation, its profession, or staff."""
    assert group_of("organisation", None) == "organisation"
    assert group_of("person", "60") == "60"
    assert group_of("person", None) == "staff"
