"""The table of reasons."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from dcc.router.reasons import UnknownReasonError, reason, table

OUTCOMES = {"refused", "held", "deferred", "withheld", "filed", "done"}
FACTS = {
    *("ENC01", "SIG01", "SIG02", "SIG03", "CRL01", "CRL02", "CRL03", "ACC01", "ACC02", "ACC03"),
    *("XDM01", "XDM02", "XDM03", "XDM04", "XDM05", "XDM06", "XDM07", "CNS01", "CNS02"),
    *("MAN01", "MAN02", "TYP01", "TYP02", "TYP03", "DUP01"),
}


def test_table_holds_every_code_of_the_facts() -> None:
    """Every D2R code of the specification and 900 to 906 have a row."""
    assert {f"D2R-{one}" for one in FACTS} | {str(code) for code in range(900, 907)} <= set(table())


@pytest.mark.parametrize("code", sorted(table()))
def test_row_is_complete(code: str) -> None:
    """Each row has an outcome, three sentences without a stray brace, a source and an ANS code."""
    entry = table()[code]
    assert entry.outcome in OUTCOMES
    assert 900 <= int(entry.ans) <= 906
    assert entry.source
    names = {name for _, name, _, _ in string.Formatter().parse(entry.fr + entry.en + entry.operator) if name}
    made = reason(code, **dict.fromkeys(names, "x"))
    for text in (made.sender_fr, made.sender_en, made.operator):
        assert text
        assert not re.search(r"[{}]", text)


def test_missing_parameter_never_fails() -> None:
    """A sentence is made although a detail is missing."""
    assert "?" in reason("905").sender_fr


def test_details_are_words_of_the_reader() -> None:
    """Names of traits are said in French to a French reader, in English to an English one."""
    made = reason("905", detail="birth_place,first_given")
    assert "lieu de naissance, premier prénom de naissance" in made.sender_fr
    assert "place of birth, first given name" in made.sender_en
    assert made.parameter("detail") == "birth_place,first_given"


def test_unknown_code_is_a_fault_of_the_program() -> None:
    """A code outside the table is an exception."""
    with pytest.raises(UnknownReasonError):
        reason("D2R-NONE")


def test_codes_used_in_the_router_are_in_the_table() -> None:
    """Every code written in the router's source has a row."""
    folder = Path(__file__).resolve().parents[2] / "router"
    used = {
        code
        for file in folder.glob("*.py")
        for code in re.findall(r'"(D2R-[A-Z]{3}\d\d|90[0-6])"', file.read_text(encoding="utf-8"))
    }
    assert used
    assert used <= set(table())
