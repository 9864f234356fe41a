"""The nomenclatures that the gateway speaks of, with their French labels and where each comes from.

Codes are those of the tables that ANS publishes (TRE_G15, TRE_R01, …); `dcc nomenclature update` brings them up to date.
A code that is no longer published stays, withdrawn: old cards carry it (facts/cards §4). R01 and R02 are as published, their
source and date beside them (Code des relations entre le public et l'administration, L322-1; decision 0011).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

DATA = Path(__file__).with_name("nomenclatures.json")
CARD_TYPES = {0: "CPS", 1: "CPF", 2: "CPE", 3: "CPA"}
TEST_BIT = 0x80
EXTENSION_PRODUCT = "1.2.250.1.71.1.2.5"
EXTENSION_CARD_TYPE = "1.2.250.1.71.1.2.2"
EXTENSION_CARD_NUMBER = "1.2.250.1.71.1.2.3"
EXTENSION_PROFESSION = "1.2.250.1.71.1.2.7"
EXTENSION_SPECIALTIES = "1.2.250.1.71.4.2.5"
OWN_DATA = "DCC_NOMENCLATURES"  # a file written by `dcc nomenclature update --to`, used instead of what is shipped


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
    oid: str | None = None
    published: str | None = None  # the day of the publication that it was taken from or compared with
    licence: str | None = None  # as the publication states it; None: it states none


def load(path: Path = DATA) -> dict[str, Table]:
    """Every table, by its name. Raises OSError, NotANomenclature."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Table(
                name, one["label"], one["source"], one["version"], one["complete"], one["codes"],
                frozenset(one["withdrawn"]), one.get("oid"), one.get("published"), one.get("licence"),
            )
            for name, one in told.items()
        }  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotANomenclature(f"{path.name} n'est pas un fichier de nomenclatures") from error


def text_of(tables: Mapping[str, Table]) -> str:
    """What `load` reads."""
    told = {
        name: {
            "label": one.label, "oid": one.oid, "source": one.source, "version": one.version,
            "published": one.published, "licence": one.licence, "complete": one.complete,
            "codes": dict(one.codes), "withdrawn": sorted(one.withdrawn),
        }
        for name, one in sorted(tables.items())
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def updated(held: Table | None, new: Table) -> Table:
    """The new table under the label held, with the codes that it no longer has kept as withdrawn when it is complete."""
    if held is None:
        return new
    gone = {code: label for code, label in held.codes.items() if code not in new.codes}
    if not new.complete:
        ended = (held.withdrawn - set(new.codes)) | new.withdrawn
        return replace(held, codes={**held.codes, **new.codes}, withdrawn=ended, source=new.source, version=new.version)
    return replace(new, label=held.label, codes={**new.codes, **gone}, withdrawn=frozenset(gone) | new.withdrawn)


def place() -> Path:
    """The file whose tables count: the operator's own, or what is shipped."""
    return Path(os.environ.get(OWN_DATA) or DATA)


def _in_force() -> tuple[dict[str, Table], str | None]:
    """(the tables, why the operator's own are not used). A damaged file must not stop the gateway: labels only."""
    own = place()
    if own == DATA:
        return load(), None
    try:
        return {**load(), **load(own)}, None
    except FileNotFoundError:
        return load(), f"{OWN_DATA} : {own} n'existe pas encore"
    except (OSError, NotANomenclature) as error:
        return load(), f"{OWN_DATA} : {own} n'est pas lisible ({type(error).__name__})"


TABLES, PROBLEM = _in_force()
PROFESSIONS = TABLES["G15"].codes


def label(table: str, code: str) -> str | None:
    """The French label of a code; None for a code that the table does not have."""
    found = TABLES.get(table)
    return None if found is None else found.codes.get(code)
