"""docs/documents.md is what its maker writes, and each path of its table is where the field is really read."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from dcc.router.cda import read_cda

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = {"h": "urn:hl7-org:v3"}


def _maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_documents", ROOT / "docs" / "make_documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_documents"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture
def whole(kit: Any, constants: Any) -> bytes:
    """A document in which every field is given."""
    cda: bytes = kit.cda(
        set_id="2.25.1", version=2, replaces="2.25.3", recipients=(constants["author"],), title="Fiche RCP"
    )  # fmt: skip
    return cda


def value(cda: bytes, field: str) -> Any:
    """A field of the header by the name that the table gives it; None when what it is part of is gone."""
    found: Any = read_cda(io.BytesIO(cda), len(cda))
    for step in field.replace("[0]", ".0").split("."):
        if found is None or found == ():
            return None
        found = found[int(step)] if step.isdigit() else getattr(found, step)
    return found


def without(cda: bytes, path: str) -> bytes:
    """The document without what the path names."""
    root = etree.fromstring(cda)
    steps, attribute = re.fullmatch(r"(.*?)(?:/@(\w+))?", path).groups()  # type: ignore[union-attr]
    found = root.xpath(steps, namespaces=NAMESPACES)
    assert found, path
    for one in found:  # type: ignore[union-attr]
        if attribute:
            del one.attrib[attribute]
        else:
            one.getparent().remove(one)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def test_page_is_what_its_maker_writes() -> None:
    """docs/documents.md is up to date (run docs/make_documents.py)."""
    assert (ROOT / "docs" / "documents.md").read_text(encoding="utf-8") == MAKER.page()
    assert MAKER.labels_are_known()


@pytest.mark.parametrize("row", MAKER.FIELDS, ids=lambda row: row.field)
def test_each_field_is_read_where_the_table_says(whole: bytes, row: Any) -> None:
    """Taking away what the path names takes the field away, and nothing gives it instead."""
    if row.field == "unique_id":
        from dcc.router.xml import XmlRefusedError

        with pytest.raises(XmlRefusedError):
            value(without(whole, row.cda), row.field)
        return
    before = value(whole, row.field)
    assert before not in (None, "", ())
    if row.field == "structured":
        assert before is True
        return
    assert value(without(whole, row.cda), row.field) in (None, "", ())


def test_every_field_of_a_document_has_its_row() -> None:
    """No field of a deposited document is read in a way that the page does not tell."""
    from dataclasses import fields

    from dcc.router.request import DepositedDocument, PatientIdentity

    told = {row.field.partition(".")[0].partition("[")[0] for row in MAKER.FIELDS}
    looked_up = {"class_code", "format_code", "source", "findings"}
    assert {one.name for one in fields(DepositedDocument)} - looked_up == told
    assert {f"patient.{one.name}" for one in fields(PatientIdentity)} <= {row.field for row in MAKER.FIELDS}
