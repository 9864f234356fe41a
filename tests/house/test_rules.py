"""The rules of reading and sending S/MIME: each is cited beside the line that applies it, and tested by its name."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("make_rules", ROOT / "docs" / "make_rules.py")
assert spec is not None
assert spec.loader is not None
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
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
