"""The rules of reading and sending S/MIME: each is cited beside the line that applies it, and tested by its name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from rulebook import NUMBERS, made

ROOT = Path(__file__).resolve().parents[2]
RULES: tuple[str, ...] = tuple(rule.name for rule in made.RULES)
# Nothing in the code fetches for a mail: what is not there can be cited by its test alone
ABSENT = frozenset({"R-NOFETCH"})


@cache
def _text(*rooms: str) -> str:
    files = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py")) if path != Path(__file__)]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def _cited(rule: str, text: str) -> bool:
    return re.search(rf"{rule}(?![A-Z-])", text) is not None


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_applied_and_tested(rule: str) -> None:
    """A rule without a line that applies it, or without a test that names it, is no rule."""
    assert rule in ABSENT or _cited(rule, _text("gateway", "router", "smime", "cards", "mailbox"))
    assert _cited(rule, _text("tests"))


def test_there_are_25() -> None:
    """Every rule of the specification is there, each with the place where it is written."""
    assert len(set(RULES)) == 25
    assert all(rule.asks and rule.reference for rule in made.RULES)


@pytest.mark.parametrize("number", range(1, 26))
def test_rule_has_tests_of_its_own(number: int) -> None:
    """Each rule has at least two tests that carry its name or number: what it allows, and what it forbids."""
    tests = made.tests_of(number, made.RULES[number - 1])
    assert tests.number >= 2, tests


def test_numbers_in_the_names_of_tests() -> None:
    """A test that carries a rule's name carries its number too, the right one; every rule has one that carries it."""
    named = {name: number for number, name in enumerate((one.lower().replace("-", "_") for one in RULES), 1)}
    carried = {number for one, number in NUMBERS.items() if f'Refused("{one}",' in _text("tests")}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for found in re.finditer(r"def test_(?:rule_(\d+)_?)?(r_\w+)?\w*\(", path.read_text(encoding="utf-8")):
            number, told = found.groups()
            rule = max((one for one in named if f"{told}_".startswith(f"{one}_")), key=len, default=None)
            assert rule is None or number == str(named[rule]), f"{path.name}: {found.group()}"
            carried |= set() if number is None else {int(number)}
    assert carried == set(range(1, 26))
