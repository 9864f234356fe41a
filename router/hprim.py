"""HPRIM Médecin and HPRIM Santé files: recognised and read as far as a person needs (facts/clinical.md §6).

They carry no INS and HPRIM Médecin neither sex nor birth place: what is read is shown, never an identity to file by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEAD = 16 << 10  # bytes that are looked at
PATIENTS = 20  # of one file, that are shown
ENDINGS = (".hpr", ".hpm", ".hprim")
_DATE = re.compile(r"\d{2}/\d{2}/\d{4}")
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")
_NSS = re.compile(r"\d[\dAB ]{11,14}(?:\s?\d{2})?")
_HEADER = re.compile(r"H\|[~^\\&]{4}\|")  # `~^\&`, and `\^&~` in some files
_END = "****FIN****"


@dataclass(frozen=True, slots=True)
class HprimPatient:
    """The patient of an HPRIM file as parsed, to be shown to a person; not an identity to file by."""

    code: str
    family_name: str
    given_name: str
    birth_date: str | None  # DD/MM/YYYY as written
    social_number: str | None
    header_lines: int  # 12 or 13 by the rule of HPRIM Médecin; real files miss an address line
    sex: str | None = None  # HPRIM Santé only


def is_hprim(name: str, data: bytes) -> bool:
    """Whether a file is HPRIM Médecin or HPRIM Santé: by its name's ending or by its marks."""
    if name.lower().endswith(ENDINGS):
        return True
    head = data[:HEAD]
    return b"****FIN" in head or b"****LAB****" in head or _HEADER.match(head[:20].decode("latin-1")) is not None


def hprim_patients(text: str) -> tuple[HprimPatient, ...]:
    """Every patient of a file: one file may hold several (HPRIM Médecin 3.0; P segments of HPRIM Santé 2.x)."""
    found = _sante(text) if _HEADER.match(text[:20]) else _medecin(text)
    return tuple(one for _, one in zip(range(PATIENTS), found, strict=False))


def hprim_patient(data: bytes) -> HprimPatient | None:
    """The first patient of an HPRIM Médecin file."""
    return next(_medecin(data[:HEAD].decode("latin-1")), None)


def _medecin(text: str) -> Iterator[HprimPatient]:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for part in plain.split(_END):
        found = _header_lines(part.lstrip("\n").split("\n", 20)[:20])
        if found is not None:
            yield found


def _header_lines(lines: list[str]) -> HprimPatient | None:
    """The header; the birth date is the first JJ/MM/AAAA between lines 5 and 8 (facts §6)."""
    if len(lines) < 7 or lines[0].startswith("H|"):
        return None
    place = next((at for at in range(4, min(8, len(lines))) if _DATE.fullmatch(lines[at].strip())), None)
    if place is None:
        return None
    number = lines[place + 1].strip() if place + 1 < len(lines) else ""
    return HprimPatient(
        code=lines[0].strip()[:40],
        family_name=lines[1].strip()[:80],
        given_name=lines[2].strip()[:80],
        birth_date=lines[place].strip(),
        social_number=number if _NSS.fullmatch(number) else None,
        header_lines=place + 6,
    )


def _sante(text: str) -> Iterator[HprimPatient]:
    """P segments; separators are swapped against HL7 and are read from the header (facts §6)."""
    component = text[3] if text[2] == "\\" else text[2]
    for line in re.split(r"[\r\n]+", text):
        if not line.startswith("P|"):
            continue
        fields = line.split("|")
        name = (fields[5] if len(fields) > 5 else "").split(component)
        day = _DAY.match(fields[7]) if len(fields) > 7 else None
        yield HprimPatient(
            code=(fields[2] if len(fields) > 2 else "").strip()[:40],
            family_name=name[0].strip()[:80],
            given_name=(name[1] if len(name) > 1 else "").strip()[:80],
            birth_date=None if day is None else f"{day[3]}/{day[2]}/{day[1]}",
            social_number=None,
            header_lines=0,
            sex=(fields[8].strip()[:1] or None) if len(fields) > 8 else None,
        )
