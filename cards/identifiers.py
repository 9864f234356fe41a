"""National identifiers: parsed, checked, formatted, explained (facts: cards §5, acceptance J)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PERSON_KINDS = {
    "0": "ADELI", "1": "cabinet ADELI/registre", "2": "DRASS", "3": "FINESS/registre", "4": "SIREN/registre",
    "5": "SIRET/registre", "6": "cabinet RPPS/registre", "8": "RPPS", "9": "étudiant", "10": "adresse MSSanté",
}  # fmt: skip
STRUCTURE_KINDS = {
    "0": "cabinet ADELI", "1": "FINESS", "2": "SIREN", "3": "SIRET", "4": "cabinet RPPS", "40": "structure nationale",
}  # fmt: skip
# The OID is part of the identifier: production and test never mix (facts: cards §5)
INS_DOMAINS = {
    "1.2.250.1.213.1.4.8": ("NIR", "production"), "1.2.250.1.213.1.4.9": ("NIA", "production"),
    "1.2.250.1.213.1.4.10": ("NIR de test", "test"), "1.2.250.1.213.1.4.11": ("NIR de démonstration", "test"),
    "1.2.250.1.213.1.4.2": ("INS-C", "historic"),
}  # fmt: skip
_WITH_OID = re.compile(
    r"([0-9AB ]+?)(?:\^\^\^&([0-9.]+)&ISO(?:\^[A-Z]*)?|(?:[ /]+|\^)(?:urn:oid:)?([0-9]+(?:\.[0-9]+)+))"
)
CHECK = "clé de contrôle fausse"
FORM = "forme incorrecte"
TEST_ONLY = "identifiant de test : forme seule vérifiée"
INS_C = "INS-C, historique : forme seule vérifiée"
CORSICA = "Corse : clé de contrôle non vérifiée"
NOT_AN_ADDRESS = "jamais une adresse électronique"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier, judged. `reason` explains a refusal, or a limit of the check."""

    kind: str
    value: str
    valid: bool
    formatted: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


def luhn(digits: str) -> bool:
    """The Luhn check over a string of digits (ISO/IEC 7812-1)."""
    total = 0
    for place, sign in enumerate(reversed(digits)):
        value = int(sign)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def luhn_digit(digits: str) -> str:
    """The digit that makes `digits` + digit pass the Luhn check."""
    return next(str(last) for last in range(10) if luhn(f"{digits}{last}"))


def parse(kind: str, value: str) -> Identifier:
    """Judge a value of one kind of `PARSERS`. Raises KeyError for another kind."""
    return PARSERS[kind](value.strip())


def rpps(value: str) -> Identifier:
    """RPPS: 11 digits, Luhn; 997… is the test range."""
    compact = value.replace(" ", "")
    if not _digits(compact, 11):
        return Identifier("rpps", value, False, reason=FORM)
    parts = {"range": "test" if compact.startswith("997") else "production"}
    if not luhn(compact):
        return Identifier("rpps", value, False, None, parts, CHECK)
    return Identifier("rpps", value, True, compact, parts)


def adeli(value: str) -> Identifier:
    """ADELI: 9 characters, department first, Luhn on digits; letters occur in test only."""
    compact = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9][0-9AB][0-9A-Z][0-9]{6}|[0-9][A-Z][0-9]{7}", compact):
        return Identifier("adeli", value, False, reason=FORM)
    parts = {"department": compact[:2]}
    if compact[:2] in {"2A", "2B"}:
        return Identifier("adeli", value, True, compact, parts, CORSICA)
    if not compact.isdigit():
        return Identifier("adeli", value, True, compact, {**parts, "range": "test"}, TEST_ONLY)
    if not luhn(compact):
        return Identifier("adeli", value, False, None, parts, CHECK)
    return Identifier("adeli", value, True, compact, parts)


def finess(value: str) -> Identifier:
    """FINESS: 9 characters, Luhn; Corsica by form only; other letters at position 2 occur in test."""
    compact = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9][0-9A-Z][0-9]{7}", compact):
        return Identifier("finess", value, False, reason=FORM)
    parts = {"department": compact[:2]}
    if compact[:2] in {"2A", "2B"}:
        return Identifier("finess", value, True, compact, parts, CORSICA)
    if not compact.isdigit():
        return Identifier("finess", value, True, compact, {**parts, "range": "test"}, TEST_ONLY)
    if not luhn(compact):
        return Identifier("finess", value, False, None, parts, CHECK)
    return Identifier("finess", value, True, compact, parts)


def siren(value: str) -> Identifier:
    """SIREN: 9 digits, Luhn."""
    compact = value.replace(" ", "")
    if not _digits(compact, 9):
        return Identifier("siren", value, False, reason=FORM)
    if not luhn(compact):
        return Identifier("siren", value, False, None, {"siren": compact}, CHECK)
    return Identifier("siren", value, True, f"{compact[:3]} {compact[3:6]} {compact[6:]}", {"siren": compact})


def siret(value: str) -> Identifier:
    """SIRET: 14 digits, Luhn."""
    compact = value.replace(" ", "")
    if not _digits(compact, 14):
        return Identifier("siret", value, False, reason=FORM)
    parts = {"siren": compact[:9], "nic": compact[9:]}
    if not luhn(compact):
        return Identifier("siret", value, False, None, parts, CHECK)
    shown = f"{compact[:3]} {compact[3:6]} {compact[6:9]} {compact[9:]}"
    return Identifier("siret", value, True, shown, parts)


def nir_key(body: str) -> str:
    """The two-digit key of the 13 characters: 97 less the number modulo 97, with 2A as 19 and 2B as 18."""
    number = int(body.replace("2A", "19", 1).replace("2B", "18", 1))
    return f"{97 - number % 97:02d}"


def nir(value: str, kind: str = "nir") -> Identifier:
    """NIR (matricule INS): 13 characters and a key of two digits; Corsica in place of the department."""
    compact = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9]{5}([0-9]{2}|2A|2B)[0-9]{8}", compact):
        return Identifier(kind, value, False, reason=FORM)
    body, key = compact[:13], compact[13:]
    parts = {"sex": body[0], "year": body[1:3], "month": body[3:5], "department": body[5:7], "key": key}
    expected = nir_key(body)
    if key != expected:
        return Identifier(kind, value, False, None, parts, f"{CHECK} : {expected} attendu")
    shown = f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}"
    return Identifier(kind, value, True, shown, parts)


def nia(value: str) -> Identifier:
    """NIA: the form of a NIR, given while the identity is not certified."""
    return nir(value, "nia")


def ins(value: str) -> Identifier:
    """Matricule INS: a NIR or a NIA with its key, and the OID that tells which, where it is given.

    `279035121518989 1.2.250.1.213.1.4.8`, with a slash between them, or the HL7 CX that documents carry.
    """
    found = _WITH_OID.fullmatch(value.upper().replace("URN:OID:", "urn:oid:"))
    if found is None:
        return nir(value, "ins")
    oid = found[2] or found[3]
    if oid not in INS_DOMAINS:
        return Identifier("ins", value, False, None, {"oid": oid}, "OID qui n'est pas celui d'une INS")
    label, world = INS_DOMAINS[oid]
    told = {"oid": oid, "label": label, "range": world}
    if world == "historic":
        compact = found[1].replace(" ", "")
        good = compact.isdigit()
        return Identifier("ins", value, good, compact if good else None, told, INS_C if good else FORM)
    judged = nir(found[1], "ins")
    return Identifier("ins", value, judged.valid, judged.formatted, {**judged.parts, **told}, judged.reason)


def idnps(value: str) -> Identifier:
    """IDNPS: a G08 prefix, then the identifier of that kind; the prefix decides, never the length alone.

    `10` is ambiguous with kind 1: kind 10 holds a mail address, kind 1 a cabinet and a register.
    """
    prefix = "10" if value.startswith("10") and "@" in value else value[:1]
    rest = value[len(prefix) :]
    if prefix not in PERSON_KINDS or not rest:
        return Identifier("idnps", value, False, reason=FORM)
    parts = {"kind": prefix, "label": PERSON_KINDS[prefix]}
    if prefix == "10":
        good = re.fullmatch(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", rest) is not None
        parts = {**parts, "address": rest}
        return Identifier("idnps", value, good, value if good else None, parts, None if good else FORM)
    if prefix in "13456":
        return _registered(value, prefix, rest, parts)
    if prefix in "08":
        return _within("idnps", value, {"0": adeli, "8": rpps}[prefix], rest, parts)
    if not re.fullmatch(r"[0-9A-Za-z]{1,40}", rest):
        return Identifier("idnps", value, False, None, parts, FORM)
    return Identifier("idnps", value, True, value, {**parts, "identifier": rest})


def _registered(value: str, prefix: str, rest: str, parts: dict[str, str]) -> Identifier:
    structure, slash, register = rest.partition("/")
    if not slash or not re.fullmatch(r"[0-9A-Za-z._-]{1,40}", register):
        return Identifier("idnps", value, False, None, parts, "registre absent")
    parser: Callable[[str], Identifier] = {"3": finess, "4": siren, "5": siret}.get(prefix, _cabinet)
    return _within("idnps", value, parser, structure, parts, {"register": register})


def _cabinet(value: str) -> Identifier:
    if not re.fullmatch(r"[0-9A-Z]{9,14}", value):
        return Identifier("cabinet", value, False, reason=FORM)
    return Identifier("cabinet", value, True, value)


def idnst(value: str) -> Identifier:
    """IDNST: a G07 prefix, then the identifier of that kind; kind 4 is an RPPS and a rank of three digits.

    `40` is ambiguous with kind 4: what has the form and the key of a kind 4 is one, the rest is of kind 40.
    """
    prefix, rest = value[:1], value[1:]
    if prefix not in STRUCTURE_KINDS or not rest:
        return Identifier("idnst", value, False, reason=FORM)
    parts = {"kind": prefix, "label": STRUCTURE_KINDS[prefix]}
    if prefix != "4":
        parser = {"0": adeli, "1": finess, "2": siren, "3": siret}[prefix]
        return _within("idnst", value, parser, rest, parts)
    if _digits(rest, 14) and (rpps(rest[:11]).valid or rest[0] != "0"):
        return _within("idnst", value, rpps, rest[:11], parts, {"rank": rest[11:]})
    if re.fullmatch(r"0[0-9A-Za-z]{1,40}", rest):
        parts = {"kind": "40", "label": STRUCTURE_KINDS["40"], "identifier": rest[1:]}
        return Identifier("idnst", value, True, value, parts)
    return Identifier("idnst", value, False, None, parts, FORM)


def _within(
    kind: str,
    value: str,
    parser: Callable[[str], Identifier],
    inner: str,
    parts: dict[str, str],
    more: Mapping[str, str] | None = None,
) -> Identifier:
    """The identifier inside a prefixed one; compared byte by byte, so neither blanks nor small letters (§11)."""
    found = parser(inner)
    parts = {**parts, found.kind: inner, **(more or {})}
    if not (inner.isalnum() and inner == inner.upper()):
        return Identifier(kind, value, False, None, parts, FORM)
    if "range" in found.parts:
        parts["range"] = found.parts["range"]
    return Identifier(kind, value, found.valid, value if found.valid else None, parts, found.reason)


def upn_identifier(upn: str) -> str | None:
    """The IDNPS inside `8.99700041983@carte-cps.fr`; None for anything else. It is never a mail address."""
    local, _, domain = upn.partition("@")
    if domain.lower() != "carte-cps.fr":
        return None
    found = re.fullmatch(r"([0-9])\.([0-9A-Za-z]+)", local)
    if found:
        return found[1] + found[2]
    return local if "/" in local else None


def upn(value: str) -> Identifier:
    """UPN of a card's authentication certificate: it holds an IDNPS, and looks like the mail address it is not."""
    inner = upn_identifier(value)
    if inner is None:
        return Identifier("upn", value, False, reason=FORM)
    found = idnps(inner)
    parts = {"idnps": inner, **found.parts}
    if not found.valid:
        return Identifier("upn", value, False, None, parts, found.reason)
    return Identifier("upn", value, True, inner, parts, NOT_AN_ADDRESS)


def _digits(value: str, count: int) -> bool:
    return len(value) == count and value.isascii() and value.isdigit()


def named(value: str) -> Identifier:
    """An IDNPS, also as the UPN of a card writes it; the certificate's own fields are read by `idnps` alone."""
    if not value.lower().endswith("@carte-cps.fr"):
        return idnps(value)
    found = upn(value)
    return Identifier("idnps", value, found.valid, found.formatted, found.parts, found.reason)


PARSERS: dict[str, Callable[[str], Identifier]] = {
    "rpps": rpps, "adeli": adeli, "finess": finess, "siren": siren, "siret": siret, "nir": nir, "ins": ins,
    "nia": nia, "idnps": named, "idnst": idnst, "upn": upn,
}  # fmt: skip
