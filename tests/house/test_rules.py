"""The rules of reading and sending S/MIME: each is cited beside the line that applies it, and tested by its name."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = (
    "R-ROOT", "R-NOFETCH", "R-AUTH", "R-GCM", "R-SIGNERS", "R-ECONTENT", "R-ATTRS", "R-FROM", "R-CT", "R-PARTIAL",
    "R-INTENDED", "R-REPLAY", "R-ORACLE", "R-ALGO", "R-TIME", "R-REVOC", "R-PATH", "R-USAGE", "R-BOMB", "R-ASN1",
    "R-SMTP", "R-HEADER-OUT", "R-LOOP", "R-KEYS", "R-NAME",
)  # fmt: skip
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
