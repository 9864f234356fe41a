"""Nomenclatures: what the program ships, and how published files renew it (facts/cards §4)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.cards import nomenclature
from dcc.cards.nomenclature import TABLES, NotANomenclature, Table, load, published, text_of, updated
from terminal import dcc


def code_system(*codes: tuple[str, str], name: str = "TRE_G15-ProfessionSante", **more: Any) -> bytes:
    concepts = [{"code": code, "display": label} for code, label in codes]
    told = {"resourceType": "CodeSystem", "id": name, "version": "20260101", "concept": concepts, **more}
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("table", "code", "label"),
    [
        ("G15", "10", "Médecin"), ("G16", "50", "Sage-femme en formation"), ("R01", "SM36", "Oncologie médicale"),
        ("R02", "SA36", "Centre anti-cancer"), ("G07", "3", "SIRET"), ("G08", "3", "FINESS / registre"), ("G08", "8", "RPPS"),
    ],
)  # fmt: skip
def test_what_is_shipped(table: str, code: str, label: str) -> None:
    """Each table has its French labels and its source; the same digit means other things in G07 and G08."""
    assert TABLES[table].codes[code] == label
    assert TABLES[table].source.startswith("ANS")


def test_withdrawn_professions_stay() -> None:
    """Professions that are no longer published have a label still: old cards carry them."""
    assert {"35", "39", "93"} <= TABLES["G15"].withdrawn <= set(TABLES["G15"].codes)


def test_codes_agree_with_the_dictionary(shared: Path) -> None:
    """Every code that is shipped and not newer than the dictionary of 2020 is one of its codes."""
    told = published((shared / "samples/nomenclature.json").read_bytes())
    newer = {("G07", "40"), ("G15", "93")}
    absent = {
        (name, code) for name, table in TABLES.items() for code in table.codes if code not in told[name].codes
    }  # fmt: skip
    assert absent == newer


def test_an_update(tmp_path: Path) -> None:
    """New codes come in, gone ones stay as withdrawn, other tables stay; the same data is read back."""
    source, target = tmp_path / "tre.json", tmp_path / "tables.json"
    source.write_bytes(code_system(("10", "Médecin"), ("77", "Profession nouvelle")))
    done = dcc("nomenclature", "update", source, "--to", target, "--json")
    assert done.code == 0, done.err
    assert done.json["tables"][0]["added"] == ["77"]
    assert "60" in done.json["tables"][0]["withdrawn"]
    now = load(target)
    assert now["G15"].codes["77"] == "Profession nouvelle"
    assert now["G15"].codes["60"] == "Infirmier"
    assert now["G15"].version == "20260101"
    assert now["R01"] == TABLES["R01"]
    assert text_of(now) == target.read_text(encoding="utf-8")


def test_a_fragment_withdraws_nothing() -> None:
    """A file that says it is a fragment adds to what is held."""
    (new,) = published(code_system(("77", "Nouvelle"), content="fragment")).values()
    found = updated(TABLES["G15"], new)
    assert found.withdrawn == TABLES["G15"].withdrawn
    assert set(found.codes) == {*TABLES["G15"].codes, "77"}


@pytest.mark.parametrize(
    "data",
    [
        b"{", b"[]", b'{"resourceType": "Patient"}', code_system(), code_system(("10", "")),
        code_system(("a b", "x")), code_system(("1", "x"), name="autre"), b'{"G15": {"rows": [{}]}}', b'{"X": {}}',
    ],
)  # fmt: skip
def test_what_is_no_nomenclature(data: bytes, tmp_path: Path) -> None:
    """Anything else is refused in a sentence, and nothing is written."""
    (tmp_path / "f").write_bytes(data)
    done = dcc("nomenclature", "update", tmp_path / "f", "--to", tmp_path / "out")
    assert done.code == 1
    assert "rien n'a été changé" in done.err
    assert not (tmp_path / "out").exists()


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
    lambda one: json.dumps(one).encode()))  # fmt: skip
def test_any_file(data: bytes) -> None:
    """Whatever the file holds, it is tables or a refusal."""
    with contextlib.suppress(NotANomenclature):
        assert all(isinstance(one, Table) for one in published(data).values())


def test_show() -> None:
    """One code or all of a table; an unknown code is exit 1, an unknown table exit 2."""
    assert dcc("nomenclature", "show", "r01", "SM36", "--json").json["codes"] == [
        {"code": "SM36", "label": "Oncologie médicale", "withdrawn": False}
    ]
    assert len(dcc("nomenclature", "show", "G15", "--json").json["codes"]) == len(nomenclature.PROFESSIONS)
    assert (dcc("nomenclature", "show", "R01", "XX").code, dcc("nomenclature", "show", "Z9").code) == (1, 2)
    assert {one["table"] for one in dcc("nomenclature", "list", "--json").json} == set(TABLES)
