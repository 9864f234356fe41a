"""Keywords that name a document's type in a subject or a first line: `RCP`, `ACP`, `CRH`, … (data/keywords.csv)."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dcc.router.doctypes import document_type, type_by_code

_WORD = re.compile(r"[A-Z0-9]+")
LINE_LIMIT = 500  # characters of a line that are looked at


@dataclass(frozen=True, slots=True)
class Keyword:
    """One word and the type that it names."""

    word: str
    type_code: str
    system: str
    label: str  # of the type, in French (JDV_J07)


@cache
def keywords() -> Mapping[str, Keyword]:
    """Every keyword by its word, in the order of the table.

    Raises LookupError when the table names a type that JDV_J07 does not have.
    """
    found: dict[str, Keyword] = {}
    with files(__package__).joinpath("data", "keywords.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            kind = document_type(row["type_code"], row["system"])
            if kind is None:
                raise LookupError(row["keyword"])
            found[row["keyword"]] = Keyword(row["keyword"], kind.code, kind.system, kind.label)
    return found


@cache
def shown_keywords() -> str:
    """The words to offer, one for each type: `RCP, ACP, CRH, …`."""
    first: dict[tuple[str, str], str] = {}
    for one in keywords().values():
        first.setdefault((one.type_code, one.system), one.word)
    return ", ".join(first.values())


def types_named(text: str | None) -> tuple[tuple[str, str], ...]:
    """The types (code, system) that the words of one line name, each once; whole words only, whatever their case."""
    plain = unicodedata.normalize("NFD", (text or "")[:LINE_LIMIT])
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign)).upper()
    words = (keywords().get(word) for word in _WORD.findall(plain))
    return tuple(dict.fromkeys((one.type_code, one.system) for one in words if one is not None))


def type_of(word: str) -> tuple[str, str] | None:
    """The type that one keyword or one type code names."""
    named = types_named(word)
    if len(named) == 1:
        return named[0]
    known = type_by_code(word)
    return None if known is None else (known.code, known.system)
