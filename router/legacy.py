"""HL7 v2 and HPRIM files: recognised and read as far as a person needs, never filed automatically (facts §5, §6)."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD = 16 << 10  # bytes that are looked at
_DATE = re.compile(r"\d{2}/\d{2}/\d{4}")
_NSS = re.compile(r"\d[\dAB ]{11,14}(?:\s?\d{2})?")


@dataclass(frozen=True, slots=True)
class Hl7Header:
    """The MSH segment: what kind of message, and its number."""

    message_type: str  # `MDM^T02`
    control_id: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class HprimPatient:
    """The patient of an HPRIM Médecin file as parsed, to be shown to a person; not an identity to file by."""

    code: str
    family_name: str
    given_name: str
    birth_date: str | None  # DD/MM/YYYY as written
    social_number: str | None
    header_lines: int  # 12 or 13 by the rule; real files miss an address line


def hl7_header(data: bytes) -> Hl7Header | None:
    """The header of an HL7 v2 message (pipes), or None; separators are read from the header itself."""
    text = data[:HEAD].lstrip(b"\x0b\xef\xbb\xbf \r\n")
    if not text.startswith(b"MSH") or len(text) < 9:
        return None
    line = re.split(r"[\r\n]", text.decode("utf-8", "replace"), maxsplit=1)[0]
    if len(line) < 9 or line[3].isalnum():
        return None
    fields = line.split(line[3])  # fields[n] is MSH-(n+1): the separator itself is MSH-1
    component = fields[1][:1] or "^"
    kind = fields[8].split(component)[:2] if len(fields) > 8 else []
    if not kind or not kind[0].isalnum():
        return None
    return Hl7Header(
        message_type="^".join(part[:10] for part in kind if part.isalnum()),
        control_id=_short(fields, 9),
        version=_short(fields, 11),
    )


def _short(fields: list[str], place: int) -> str | None:
    found = fields[place].strip()[:64] if len(fields) > place else ""
    return found or None


def is_hprim(name: str, data: bytes) -> bool:
    """Whether a file is HPRIM Médecin or HPRIM Santé: by its name's ending or by its marks."""
    if name.lower().endswith((".hpr", ".hpm", ".hprim")):
        return True
    head = data[:HEAD]
    return b"****FIN" in head or b"****LAB****" in head or re.match(rb"H\|[~^][\\^]\\?&", head) is not None


def hprim_patient(data: bytes) -> HprimPatient | None:
    """The header of an HPRIM Médecin file; the birth date is the first JJ/MM/AAAA between lines 5 and 8."""
    lines = data[:HEAD].decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
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
