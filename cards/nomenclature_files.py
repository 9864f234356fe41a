"""Published nomenclatures read: FHIR CodeSystems as ANS gives them out, in JSON or FSH, alone or in an archive.

FHIR R4 §4.8 (CodeSystem). A concept is withdrawn when its status says so, or when its end (`dateFin` of ANS) is not after
the date of the publication itself: no clock is needed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dcc.cards.nomenclature import NotANomenclature, Table
from dcc.cards.nomenclature_archive import is_archive, members
from dcc.cards.nomenclature_fsh import code_systems

# What cards, certificates and the directory speak of; an archive of ANS holds hundreds of other tables
CARD_TABLES = frozenset({*(f"G{number:02}" for number in range(21)), "R01", "R02", "R03"})
_TABLE = re.compile(r"(?:TRE[_-])?([GR][0-9]{2,3})(?![0-9])")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,20}")
_OID = re.compile(r"urn:oid:([0-9.]{3,80})")
LABEL = 300  # characters; more is not a label
DEPTH = 20  # of concepts below concepts
ENDED = {"retired", "deprecated", "inactive"}
END_DATES = {"dateFin", "retirementDate", "deprecationDate"}


@dataclass
class _Concepts:
    codes: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)


def published(data: bytes) -> dict[str, Table]:
    """The tables of a published file. Raises NotANomenclature.

    A CodeSystem TRE_… or a Bundle of them in JSON, FSH source, a ZIP or a .tgz of such files (of which the tables of the
    card world are taken), or a dictionary of tables.
    """
    if is_archive(data):
        found: dict[str, Table] = {}
        for name, octets in members(data, _wanted):
            try:
                tables = _one(octets)
            except NotANomenclature as error:
                raise NotANomenclature(f"{name} : {error}") from error
            found.update({one: table for one, table in tables.items() if one in CARD_TABLES})
        if not found:
            raise NotANomenclature("l'archive n'a aucune table des cartes (TRE_G00 à TRE_G20, TRE_R01 à TRE_R03)")
        return found
    return _one(data)


def _wanted(name: str) -> bool:
    """Whether a file of an archive is a code system of the card world, by its name."""
    stem = name.rpartition("/")[2]
    if not stem.endswith((".json", ".fsh")) or stem.startswith((".", "ValueSet", "JDV")):
        return False
    found = re.search(r"TRE[_-]([GR][0-9]{2,3})(?![0-9])", stem)
    return found is not None and found[1] in CARD_TABLES


def _one(data: bytes) -> dict[str, Table]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotANomenclature("le fichier n'est ni du JSON, ni du FSH, ni une archive ZIP ou .tgz") from error
    if text.lstrip()[:1] in {"{", "["}:
        return _json(text)
    systems = list(code_systems(text))
    if not systems:
        raise NotANomenclature("le fichier n'est pas du JSON, et il n'a pas de « CodeSystem: » comme en FSH")
    return {name: table for one in systems for name, table in _code_system(one).items()}


def _json(text: str) -> dict[str, Table]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotANomenclature("le fichier n'est pas du JSON") from error
    if not isinstance(told, dict):
        raise NotANomenclature("le fichier n'est ni un CodeSystem ni un dictionnaire de tables")
    if told.get("resourceType") == "Bundle":
        entries = [one.get("resource") for one in _list(told.get("entry")) if isinstance(one, dict)]
        held = [one for one in entries if isinstance(one, dict) and one.get("resourceType") == "CodeSystem"]
        if not held:
            raise NotANomenclature("le Bundle FHIR n'a pas de CodeSystem")
        return {name: table for one in held for name, table in _code_system(one).items()}
    return _code_system(told) if "resourceType" in told else _dictionary(told)


def _dictionary(told: dict[str, Any]) -> dict[str, Table]:
    tables = {}
    for key, one in told.items():
        named = _TABLE.fullmatch(key)
        if named is None or not isinstance(one, dict) or not isinstance(one.get("rows"), list):
            raise NotANomenclature(f"la table {key[:20]!r} n'a pas la forme attendue")
        name = named[1]
        if name != "G999":  # it describes the dictionary itself
            codes = _concepts(one["rows"], "label", None).codes
            tables[name] = Table(name, str(one.get("label", name)), "ANS, dictionnaire", None, True, codes)
    return tables


def _code_system(told: dict[str, Any]) -> dict[str, Table]:
    if told["resourceType"] != "CodeSystem" or not isinstance(told.get("concept"), list):
        raise NotANomenclature("la ressource FHIR n'est pas un CodeSystem avec ses concepts")
    named = next((one for key in ("id", "name") if (one := _TABLE.match(str(told.get(key, ""))))), None)
    if named is None:
        raise NotANomenclature("le CodeSystem n'est pas une table TRE_G… ou TRE_R…")
    date = _date(told.get("date"))
    found = _concepts(told["concept"], "display", date)
    complete = told.get("content", "complete") == "complete"
    count = told.get("count")
    if complete and isinstance(count, int) and count != len(found.codes):  # FHIR R4 §4.8.9: of all concepts
        raise NotANomenclature(f"le fichier annonce {count} codes et en contient {len(found.codes)}")
    label = told.get("title") or told.get("description") or told.get("name") or named[1]
    return {
        named[1]: Table(
            named[1], str(label)[:LABEL], f"ANS, {told.get('id', named[0])}", _text(told.get("version")), complete,
            found.codes, frozenset(found.withdrawn), oid=_oid(told), published=None if date is None else f"{date:%Y-%m-%d}",
            licence=_text(told.get("copyright")),
        )
    }  # fmt: skip


def _concepts(rows: list[Any], label: str, date: datetime | None) -> _Concepts:
    found = _Concepts()
    _add(found, rows, label, date, 0)
    if not found.codes:
        raise NotANomenclature("la table est vide")
    return found


def _add(found: _Concepts, rows: list[Any], label: str, date: datetime | None, depth: int) -> None:
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("code"), str) or not isinstance(row.get(label), str):
            raise NotANomenclature("un concept n'a pas de code ou pas de libellé")
        code, text = row["code"], " ".join(row[label].split())
        if _CODE.fullmatch(code) is None or not 0 < len(text) <= LABEL:
            raise NotANomenclature(f"le code {code[:20]!r} ou son libellé n'est pas plausible")
        if code in found.codes and label == "display":  # the dictionary gives one for each qualifier
            raise NotANomenclature(f"le code {code} est donné deux fois")
        found.codes[code] = text
        if any(_ends(one, date) for one in _list(row.get("property"))):
            found.withdrawn.add(code)
        if depth < DEPTH and row.get("concept"):
            _add(found, _list(row["concept"]), label, date, depth + 1)


def _ends(told: Any, date: datetime | None) -> bool:
    if not isinstance(told, dict):
        return False
    name = str(told.get("code"))
    if name == "status":
        return str(told.get("valueCode")) in ENDED
    if name == "inactive":
        return told.get("valueBoolean") is True
    end = _date(told.get("valueDateTime")) if name in END_DATES else None
    return end is not None and (date is None or end <= date)


def _date(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _oid(told: dict[str, Any]) -> str | None:
    values = [str(one.get("value")) for one in _list(told.get("identifier")) if isinstance(one, dict)]
    return next((found[1] for one in values if (found := _OID.fullmatch(one))), None)


def _text(value: Any) -> str | None:
    return None if value is None else " ".join(str(value).split())[:LABEL]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
