"""Folder references that people type, with a check character, and opaque folder addresses."""

from __future__ import annotations

import re
from collections.abc import Callable

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 signs; no 0 O 1 I
_VALUE = {sign: value for value, sign in enumerate(ALPHABET)}
_PATTERN = re.compile(r"\bD-([2-9A-HJ-NP-Z]{4})-([2-9A-HJ-NP-Z]{4})\b")
_BRACKETED = re.compile(r"\[\s*(D-[0-9A-Z]{4}-[0-9A-Z]{4})\s*\]")
ADDRESS_SIGNS = "abcdefghjkmnpqrstuvwxyz023456789"  # 32 signs; no i l o 1
PRIME = 31  # every weight has an inverse modulo a prime: a single wrong sign is seen


def _check(signs: str) -> str:
    """The check character of seven signs."""
    # Weights 2..8 for the signs and -1 for the check: neighbours differ, so that a swap is seen as well.
    total = sum((place + 2) * _VALUE[sign] for place, sign in enumerate(signs))
    return ALPHABET[total % PRIME]


def new_reference(random_bytes: Callable[[int], bytes]) -> str:
    """A reference such as `D-7F3K-9QXA`: seven random signs (34 bits) and a check character."""
    number = int.from_bytes(random_bytes(8), "big")
    # Only values 0..30 are used, so that a check modulo 31 sees every single error.
    signs = "".join(ALPHABET[(number // PRIME**place) % PRIME] for place in range(7))
    whole = signs + _check(signs)
    return f"D-{whole[:4]}-{whole[4:]}"


def is_valid(text: str) -> bool:
    """Whether this is a reference with the right check character."""
    found = _PATTERN.fullmatch(text.strip().upper())
    if found is None:
        return False
    signs = found[1] + found[2]
    return all(_VALUE[sign] < PRIME for sign in signs) and _check(signs[:7]) == signs[7]


def find_reference(subject: str) -> str | None:
    """The first valid reference in a subject, `[D-7F3K-9QXA]` or bare; None when there is none."""
    for found in _PATTERN.finditer(subject.upper()):
        if is_valid(found[0]):
            return found[0]
    return None


def find_references(text: str) -> tuple[str, ...]:
    """Every valid reference in a text, each once, in order."""
    found = (one[0] for one in _PATTERN.finditer(text.upper()))
    return tuple(dict.fromkeys(one for one in found if is_valid(one)))


def has_mistyped(text: str) -> bool:
    """Whether something in a text was meant as a reference and is none: in brackets, or in the signs of references."""
    meant = (
        *(one[1] for one in _BRACKETED.finditer(text.upper())),
        *(one[0] for one in _PATTERN.finditer(text.upper())),
    )
    return any(not is_valid(one) for one in meant)


def new_folder_address(random_bytes: Callable[[int], bytes], domain: str) -> str:
    """An opaque address `dossier+TOKEN@domain` (100 random bits)."""
    number = int.from_bytes(random_bytes(13), "big")
    token = "".join(ADDRESS_SIGNS[(number >> (5 * place)) & 31] for place in range(20))
    return f"dossier+{token}@{domain}"
