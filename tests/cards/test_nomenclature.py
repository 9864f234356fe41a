"""Nomenclatures: what the program ships, and how published files renew it (facts/cards §4)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardworld import card
from dcc.cards import nomenclature
from dcc.cards.certificate import read_certificate
from dcc.cards.nomenclature import TABLES, NotANomenclature, Table, label, load, text_of, updated
from dcc.cards.nomenclature_files import published
from terminal import dcc


def code_system(*codes: tuple[str, str], name: str = "TRE_G15-ProfessionSante", **more: Any) -> bytes:
    concepts = [{"code": code, "display": label} for code, label in codes]
    told = {"resourceType": "CodeSystem", "id": name, "version": "20260101", "concept": concepts, **more}
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("table", "code", "label"),
    [
        ("G15", "10", "Médecin"), ("G16", "50", "Sage-femme en formation"), ("R01", "SM36", "Oncologie, option médicale (SM)"),
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
    """Every code that is shipped and not newer than the dictionary of 2020 is one of its codes; none of its R01, R02 lacks."""
    told = published((shared / "samples/nomenclature.json").read_bytes())
    newer = {
        ("G07", "40"),
        ("G07", "5"),
        ("G07", "6"),
        ("G07", "41"),
        ("G08", "30"),
        ("G15", "93"),
        ("R01", "80"),
        ("R01", "81"),
    }
    families = (("SI", 5, 8), ("SM", 73, 95), ("DEC", 1, 24), ("FQ", 1, 5), ("SST", 1, 27))
    newer |= {("R01", f"{one}{number:02}") for one, first, last in families for number in range(first, last + 1)}
    newer |= {("R02", f"SA{number}") for number in range(64, 70)}
    absent = {
        (name, code) for name, table in TABLES.items() for code in table.codes if code not in told[name].codes
    }  # fmt: skip
    assert absent == newer
    assert [code for name in ("R01", "R02") for code in told[name].codes if code not in TABLES[name].codes] == []


@pytest.mark.parametrize(
    ("table", "count", "withdrawn"),
    [
        ("G01", 6, 0), ("G02", 4, 0), ("G04", 3, 0), ("G07", 9, 2), ("G08", 11, 2), ("G15", 30, 6), ("G16", 4, 0), ("G17", 4, 0),
        ("R01", 329, 60), ("R02", 69, 2),
    ],
)  # fmt: skip
def test_complete_tables(table: str, count: int, withdrawn: int) -> None:
    """Every table is complete: it has as many codes as the publication that it names, with its version and date (L322-1)."""
    found = TABLES[table]
    assert found.complete
    assert (len(found.codes), len(found.withdrawn)) == (count, withdrawn)
    assert found.oid
    assert found.version
    assert found.published
    assert [name for name, one in TABLES.items() if not one.complete] == []


def test_every_code_of_the_samples_has_a_label(shared: Path) -> None:
    """Products, card types, professions, specialties and kinds of identifiers of the real certificates have labels."""
    seen: set[tuple[str, str]] = set()
    for path in sorted((shared / "samples/certs").glob("cert_*.pem")):
        read = read_certificate(path.read_bytes())
        holder = read.holder
        if read.product is not None:
            seen.add(("G01", f"{read.product:02x}"))
        if holder is None:
            continue
        seen |= {("R01", one) for one in holder.specialties}
        if holder.profession is not None:
            seen.add(("G15", holder.profession))
        if holder.card_type is not None:
            seen.add(("G02", f"{list(nomenclature.CARD_TYPES.values()).index(holder.card_type):02}"))
        if holder.idnps is not None:
            seen.add(("G08", holder.idnps[0]))
        if holder.structure_id is not None:
            seen.add(("G07", holder.structure_id[0]))
    assert {"G01", "G02", "G07", "G08", "G15", "R01"} == {table for table, _ in seen}
    assert [one for one in sorted(seen) if label(*one) is None] == []


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ("G07", "0 1 2 3 4 40"), ("G08", "0 1 2 3 4 5 6 8 9 10"), ("G16", "10 21 40 50"), ("G17", "00 01 04 07"),
        ("G15", "10 21 26 28 31 32 40 50 60 69 70 80 81 82 83 84 85 86 91 92 94 95 96 98 35 36 37 38 39 93"),
        ("G04", "00 01 02"), ("G01", "00 02 03 80 82 83"), ("G02", "00 01 02 03"),
        ("R01", "SM35 SM36 SM37 SM45 SM01 SM21 SM22 SM23 SM71 SM44 SM26 SM53 SM54 SI02"),
        ("R02", "SA01 SA02 SA04 SA05 SA07 SA08 SA25 SA29 SA33 SA36 SA57"),
    ],
)  # fmt: skip
def test_every_code_of_the_facts_has_a_label(table: str, codes: str) -> None:
    """What the card world is known to use (facts/cards §1.3, §4) is never shown as a bare number."""
    assert [one for one in codes.split() if label(table, one) is None] == []


def test_a_card_shows_the_names_of_specialties(tmp_path: Path) -> None:
    """`dcc card` says which specialties the holder has, in words, ended ones too; an unknown code stays a code."""
    medical = "Oncologie, option médicale (SM)"
    known, unknown = card(), card(specialties=("SM36", "XX99"))
    ended = card(specialties=("SST24", "SCH08"))
    cases = ((known, [medical]), (unknown, [medical, "XX99"]), (ended, ["Sommeil (SST)", "Oncologie médicale (SCH)"]))
    for pair, labels in cases:
        (tmp_path / "card.der").write_bytes(pair.signature.certificate)
        told = dcc("card", tmp_path / "card.der", "--json").json
        assert [one["specialties"] for one in told["evidence"] if "specialties" in one] == [", ".join(labels)]
        assert ", ".join(labels) in dcc("card", tmp_path / "card.der").out


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
    assert (now["G15"].version, now["G15"].label) == ("20260101", TABLES["G15"].label)
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
        code_system(("1", "x"), ("1", "y")), code_system(("1", "x"), count=2), b'{"resourceType": "Bundle"}',
        b"PK\x03\x04", b"\x1f\x8b", b"\xff\xfe", b"ValueSet: X",
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
        {"code": "SM36", "label": "Oncologie, option médicale (SM)", "withdrawn": False}
    ]
    assert len(dcc("nomenclature", "show", "G15", "--json").json["codes"]) == len(nomenclature.PROFESSIONS)
    assert (dcc("nomenclature", "show", "R01", "XX").code, dcc("nomenclature", "show", "Z9").code) == (1, 2)
    assert {one["table"] for one in dcc("nomenclature", "list", "--json").json} == set(TABLES)
