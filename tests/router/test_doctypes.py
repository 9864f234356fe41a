"""Document types and their codes."""

from __future__ import annotations

import csv
from pathlib import Path

from dcc.router.doctypes import (
    LOINC,
    document_type,
    document_types,
    format_code,
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
