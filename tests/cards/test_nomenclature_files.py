"""Published nomenclatures in every form that ANS gives them out in: one table, whatever the form."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.cards.nomenclature import NotANomenclature, Table, load
from dcc.cards.nomenclature_files import published
from terminal import dcc

NAME = "TRE-R01-EnsembleSavoirFaire-CISIS"
FSH = """Alias: $sct = http://snomed.info/sct

CodeSystem: TRE_R01_EnsembleSavoirFaire_CISIS
Id: TRE-R01-EnsembleSavoirFaire-CISIS
Title: "Savoir-faire"
Description: \"\"\"Plusieurs lignes,
CodeSystem: pas ici\"\"\"
* ^meta.versionId = "7"
* ^identifier.system = "urn:ietf:rfc:3986"
* ^identifier.value = "urn:oid:1.2.250.1.71.4.2.5"
* ^version = "20260601120000"
* ^date = "2026-06-01T12:00:00+01:00"
* ^content = #complete
* ^copyright = "Licence d'essai"
* ^property[0].code = #dateFin
* ^property[=].type = #dateTime
* #SM01 "Un \\"savoir\\"" "Une définition"
* #SM01 ^designation[0].value = "Un autre nom"
* #SM01 ^property[0].code = #dateValid
* #SM01 ^property[=].valueDateTime = "2012-04-12T00:00:00+01:00"
* #SM02 "Ancien"
* #SM02 ^property[0].code = #dateFin
* #SM02 ^property[=].valueDateTime = "2020-05-29T12:00:00+01:00"
* #SM03 "Finit plus tard"
* #SM03 ^property.code = #dateFin
* #SM03 ^property.valueDateTime = "2030-05-29T12:00:00+01:00"
* #SM04 "Déprécié"
* #SM04 ^property[0].code = #dateMaj
* #SM04 ^property[=].valueDateTime = "2020-05-29T12:00:00+01:00"
* #SM04 ^property[+].code = #status
* #SM04 ^property[=].valueCode = #deprecated
* #SM01 #SM05 "Sous le premier"

ValueSet: AutreChose
* #SM99 "Pas de cette table"
"""
EXPECTED = {
    "SM01": 'Un "savoir"',
    "SM02": "Ancien",
    "SM03": "Finit plus tard",
    "SM04": "Déprécié",
    "SM05": "Sous le premier",
}


def resource(**changes: Any) -> dict[str, Any]:
    """The same table as a FHIR resource."""

    def concept(code: str, display: str, **more: Any) -> dict[str, Any]:
        return {"code": code, "display": display, **more}

    def ends(at: str) -> list[dict[str, str]]:
        return [{"code": "dateMaj", "valueDateTime": at}, {"code": "dateFin", "valueDateTime": at}]

    concepts = [
        concept("SM01", 'Un "savoir"', concept=[concept("SM05", "Sous le premier")]),
        concept("SM02", "Ancien", property=ends("2020-05-29T12:00:00+01:00")),
        concept("SM03", "Finit plus tard", property=ends("2030-05-29T12:00:00+01:00")),
        concept("SM04", "Déprécié", property=[{"code": "status", "valueCode": "deprecated"}]),
    ]
    return {
        "resourceType": "CodeSystem", "id": NAME, "title": "Savoir-faire", "version": "20260601120000",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.71.4.2.5"}],
        "date": "2026-06-01T12:00:00+01:00", "content": "complete", "count": 5, "copyright": "Licence d'essai",
        "concept": concepts, **changes,
    }  # fmt: skip


def bundle() -> bytes:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": resource()}, {"resource": {}}]}).encode()


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"dossier/{name}", data)
    return out.getvalue()


def package(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def files() -> dict[str, bytes]:
    """What a package of ANS holds, in small: the table, another that is no card's, a value set, something else."""
    other = json.dumps(resource(id="TRE-R210-ActeSpecifique")).encode()
    return {
        f"CodeSystem-{NAME}.json": json.dumps(resource()).encode(), "CodeSystem-TRE-R210-ActeSpecifique.json": other,
        "ValueSet-JDV-J01.json": b"{}", "package.json": b"{}",
    }  # fmt: skip


FORMS = {
    "json": lambda: json.dumps(resource()).encode(),
    "json with a mark": lambda: b"\xef\xbb\xbf" + json.dumps(resource()).encode(),
    "bundle": bundle,
    "fsh": lambda: FSH.encode(),
    "zip of json": lambda: zipped(**files()),
    "zip of fsh": lambda: zipped(**{"TRE_R01_EnsembleSavoirFaire_CISIS.fsh": FSH.encode()}),
    "package": lambda: package(**files()),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_table_in_every_form(form: str) -> None:
    """Codes, labels, ends, version, day, OID and licence are the same; of an archive the tables of cards are taken."""
    found = published(FORMS[form]())
    assert set(found) == {"R01"}
    table = found["R01"]
    assert dict(table.codes) == EXPECTED
    assert table.withdrawn == {"SM02", "SM04"}
    assert (table.version, table.published, table.oid) == ("20260601120000", "2026-06-01", "1.2.250.1.71.4.2.5")
    assert (table.label, table.licence, table.complete) == ("Savoir-faire", "Licence d'essai", True)
    assert table.source == f"ANS, {NAME}"


def test_what_an_archive_may_not_be() -> None:
    """Without a table of cards, with a broken one, or cut short, an archive is refused in a sentence."""
    for data, said in (
        (zipped(**{"readme.txt": b"x"}), "aucune table des cartes"),
        (zipped(**{"TRE_R01.json": b"{"}), "TRE_R01.json : le fichier n'est pas du JSON"),
        (package(**files())[:200], "ne s'ouvre pas"),
        (gzip.compress(b"no tar"), "ne s'ouvre pas"),
        (zipped(**files())[:-30], "ne s'ouvre pas"),
    ):
        with pytest.raises(NotANomenclature, match=said):
            published(data)


def test_a_member_that_unpacks_to_too_much() -> None:
    """An archive of a few octets cannot fill the memory."""
    with pytest.raises(NotANomenclature, match="trop grand"):
        published(zipped(**{"TRE_R01.json": b" " * ((20 << 20) + 1)}))


@given(st.text(alphabet='*# ^=".:[]+\\n\\abSM01', max_size=200))
def test_any_source(text: str) -> None:
    """Whatever stands in an FSH file, it is a table or a refusal."""
    with contextlib.suppress(NotANomenclature):
        found = published(f"CodeSystem: TRE_R01\n{text}".encode())
        assert all(isinstance(one, Table) and one.codes for one in found.values())


def test_an_update_is_told_and_used(tmp_path: Path) -> None:
    """What changed is told; with --dry-run nothing is written; a file of one's own is used through the environment."""
    source, target = tmp_path / "tre.fsh", tmp_path / "own.json"
    source.write_text(FSH, encoding="utf-8")
    trial = dcc("nomenclature", "update", source, "--to", target, "--dry-run", "--json")
    assert (trial.code, trial.json["written"], target.exists()) == (0, None, False)
    done = dcc("nomenclature", "update", source, "--to", target, "--json")
    assert done.code == 0, done.err
    (row,) = done.json["tables"]
    assert row["relabelled"] == [f"SM0{number}" for number in range(1, 6)]
    assert row["added"] == []
    assert {"SM02", "SM04", "SM36"} <= set(row["withdrawn"])
    assert (row["version"], row["licence"]) == ("20260601120000", "Licence d'essai")
    now = load(target)["R01"]
    assert now.complete
    assert now.codes["SM36"] == "Oncologie, option médicale (SM)"
    assert now.licence == "Licence d'essai"
    assert shown(target)[0] == [{"code": "SM05", "label": "Sous le premier", "withdrawn": False}]


def shown(own: Path) -> tuple[Any, str]:
    """What another process says with this file for its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dcc.gateway.cli", "nomenclature", "show", "R01", "SM05", "--json"],
        env={**os.environ, "DCC_NOMENCLATURES": str(own)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return (json.loads(done.stdout)["codes"] if done.returncode == 0 else None), done.stderr


def test_a_damaged_file_of_ones_own_stops_nothing(tmp_path: Path) -> None:
    """Then the shipped tables count, and `dcc nomenclature list` says why."""
    own = tmp_path / "own.json"
    own.write_text("{", encoding="utf-8")
    assert shown(own)[0] == [{"code": "SM05", "label": "Chirurgie générale (SM)", "withdrawn": False}]
    done = subprocess.run(
        [sys.executable, "-m", "dcc.gateway.cli", "nomenclature", "list", "--json"],
        env={**os.environ, "DCC_NOMENCLATURES": str(own)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "n'est pas lisible" in done.stderr
    assert {one["table"] for one in json.loads(done.stdout)} >= {"G15", "R01"}
