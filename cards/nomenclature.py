"""The nomenclatures that the gateway speaks of, with their French labels and where each comes from.

Codes are those of the tables that ANS publishes (TRE_G15, TRE_R01, …); `dcc nomenclature update` brings them up to date.
A code that is no longer published stays, withdrawn: old cards carry it (facts/cards §4).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("nomenclatures.json")
CARD_TYPES = {0: "CPS", 1: "CPF", 2: "CPE", 3: "CPA"}
TEST_BIT = 0x80
EXTENSION_PRODUCT = "1.2.250.1.71.1.2.5"
EXTENSION_CARD_TYPE = "1.2.250.1.71.1.2.2"
EXTENSION_CARD_NUMBER = "1.2.250.1.71.1.2.3"
EXTENSION_PROFESSION = "1.2.250.1.71.1.2.7"
EXTENSION_SPECIALTIES = "1.2.250.1.71.4.2.5"
_TABLE = re.compile(r"(?:TRE_)?([GR][0-9]{2,3})(?![0-9])")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
LABEL = 300  # characters; more is not a label


class NotANomenclature(Exception):
    """The file is not one that ANS publishes; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Table:
    """One nomenclature. `complete`: whether every published code is here; `withdrawn`: codes of old cards only."""

    name: str
    label: str
    source: str
    version: str | None
    complete: bool
    codes: Mapping[str, str]
    withdrawn: frozenset[str] = frozenset()


def load(path: Path = DATA) -> dict[str, Table]:
    """Every table, by its name. Raises OSError, NotANomenclature."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Table(
                name, one["label"], one["source"], one["version"], one["complete"], one["codes"],
                frozenset(one["withdrawn"]),
            )
            for name, one in told.items()
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotANomenclature(f"{path.name} n'est pas un fichier de nomenclatures") from error


def text_of(tables: Mapping[str, Table]) -> str:
    """What `load` reads."""
    told = {
        name: {
            "label": one.label, "source": one.source, "version": one.version, "complete": one.complete,
            "codes": dict(one.codes), "withdrawn": sorted(one.withdrawn),
        }
        for name, one in sorted(tables.items())
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def published(data: bytes) -> dict[str, Table]:
    """The tables of a published file: a FHIR CodeSystem TRE_…, or a dictionary of tables. Raises NotANomenclature."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotANomenclature("le fichier n'est pas du JSON") from error
    if not isinstance(told, dict):
        raise NotANomenclature("le fichier n'est ni un CodeSystem ni un dictionnaire de tables")
    if "resourceType" in told:
        return _code_system(told)
    tables = {}
    for key, one in told.items():
        found = _TABLE.fullmatch(key)
        if found is None or not isinstance(one, dict) or not isinstance(one.get("rows"), list):
            raise NotANomenclature(f"la table {key[:20]!r} n'a pas la forme attendue")
        if found[1] != "G999":  # it describes the dictionary itself
            codes = _codes(one["rows"], "label")
            tables[found[1]] = Table(found[1], str(one.get("label", found[1])), "ANS, dictionnaire", None, True, codes)
    return tables


def _code_system(told: dict[str, Any]) -> dict[str, Table]:
    if told["resourceType"] != "CodeSystem" or not isinstance(told.get("concept"), list):
        raise NotANomenclature("la ressource FHIR n'est pas un CodeSystem avec ses concepts")
    named = next((found for key in ("id", "name") if (found := _TABLE.match(str(told.get(key, ""))))), None)
    if named is None:
        raise NotANomenclature("le CodeSystem n'est pas une table TRE_G… ou TRE_R…")
    version = told.get("version")
    complete = told.get("content", "complete") == "complete"
    return {
        named[1]: Table(
            named[1], str(told.get("title") or told.get("name") or named[1])[:LABEL], f"ANS, {told.get('id', named[0])}",
            None if version is None else str(version), complete, _codes(told["concept"], "display"),
        )
    }  # fmt: skip


def _codes(rows: list[Any], label: str) -> dict[str, str]:
    codes = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("code"), str) or not isinstance(row.get(label), str):
            raise NotANomenclature("un concept n'a pas de code ou pas de libellé")
        if _CODE.fullmatch(row["code"]) is None or not 0 < len(row[label]) <= LABEL:
            raise NotANomenclature(f"le code {row['code'][:20]!r} ou son libellé n'est pas plausible")
        codes[row["code"]] = row[label]
    if not codes:
        raise NotANomenclature("la table est vide")
    return codes


def updated(held: Table | None, new: Table) -> Table:
    """The new table, with the codes that it no longer has kept as withdrawn when it claims to be complete."""
    if held is None:
        return new
    gone = {code: label for code, label in held.codes.items() if code not in new.codes}
    if not new.complete:
        return replace(held, codes={**held.codes, **new.codes}, source=new.source, version=new.version)
    return replace(new, codes={**new.codes, **gone}, withdrawn=frozenset(gone))


TABLES = load()
PROFESSIONS = TABLES["G15"].codes
