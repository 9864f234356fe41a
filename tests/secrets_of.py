"""What must not be readable where a story passed: the names, numbers and dates of its people, in every spelling."""

from __future__ import annotations

import base64
import re
from datetime import date
from typing import Any

from dcc.gateway.cast_reader import Cast

LONG = 8  # characters: a shorter word stands in random octets by chance


class Words:
    """Some words, looked for in texts (whole words, any case) and in octets (long ones, plain and in base64)."""

    def __init__(self, words: set[str]) -> None:
        either = "|".join(re.escape(one) for one in sorted(words))
        self._text = re.compile(rf"(?<![A-Za-zÀ-ÿ0-9])(?:{either})(?![A-Za-zÀ-ÿ0-9])", re.IGNORECASE)
        long = [one.encode() for one in words if len(one) >= LONG]
        self._octets = [*long, *(form for one in long for form in _in_base64(one))]

    def in_text(self, text: str) -> list[str]:
        """Those that stand in a text."""
        return self._text.findall(text)

    def in_octets(self, octets: bytes) -> list[bytes]:
        """Those that stand in octets."""
        flat = octets.replace(b"\r\n", b"").replace(b"\n", b"")
        return [one for one in self._octets if one in octets or one in flat]


def _in_base64(word: bytes) -> list[bytes]:
    """The characters that a word always has in base64, wherever it begins."""
    found = []
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + word)
        # All of them: a part of a birth date is the time of day of a certificate, once a day
        found.append(text[(0, 2, 3)[shift] : (shift + len(word)) * 8 // 6])
    return [one for one in found if len(one) >= LONG]


def of_patients(cast: Cast) -> Words:
    """Identity of every patient: names, INS, birth date."""
    return Words({word for one in cast.told["patients"] for word in _of_patient(one)})


def _of_patient(one: dict[str, Any]) -> set[str]:
    born = date.fromisoformat(one["birth_date"])
    dates = {f"{born:%Y%m%d}", f"{born:%d/%m/%Y}", f"{born:%Y-%m-%d}", f"{born:%d-%m-%Y}", f"{born:%d%m%Y}"}
    return {one["birth_name"], *one["given_names"], one["ins"], one["ins"][:13], *dates}


def of_people(cast: Cast) -> Words:
    """Names and mailboxes of everybody who takes part."""
    persons = [one for one in cast.told["people"] if one["card_type"] is not None]
    names = {word for one in persons for word in one["name"].split()}
    return Words(names | {one["mailbox"] for one in cast.told["people"]})
