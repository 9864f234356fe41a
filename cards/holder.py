"""Who holds a certificate: a person or an organisation, from the subject and the proprietary extensions.

The OID of a proprietary extension is the OID of its nomenclature (facts: cards §1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asn1crypto import core

from dcc.cards import nomenclature
from dcc.cards.identifiers import TEST_ONLY, Identifier, idnps, idnst
from dcc.cards.names import string_of


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a certificate; None where it does not say."""

    kind: str  # "person" | "organisation"
    idnps: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    profession: str | None = None  # G15 code
    profession_label: str | None = None
    specialties: tuple[str, ...] = ()
    card_type: str | None = None
    card_number: str | None = None
    structure_id: str | None = None
    structure_name: str | None = None
    common_name: str | None = None


def holder_of(subject: list[tuple[str, str]], extensions: Mapping[str, bytes], *, test: bool) -> Holder:
    """Read the holder; `extensions`: DER of each by OID; `test`: identifiers of the test world count."""
    first = dict(reversed(subject))  # the first of each attribute
    common = first.get("CN")
    card = _integer(extensions, nomenclature.EXTENSION_CARD_TYPE)
    profession = _integer(extensions, nomenclature.EXTENSION_PROFESSION)
    number = extensions.get(nomenclature.EXTENSION_CARD_NUMBER)
    person = "SN" in first or card is not None
    units = [value for name, value in subject if name == "OU" and counts(idnst(value), test=test)]
    structure = units[0] if units else None
    code = None if profession is None else str(profession)
    label = first.get("title") if person else None  # staff have no code, only a title (facts: cards §3)
    if code is not None:
        label = nomenclature.PROFESSIONS.get(code) or label
    known = person and common is not None and counts(idnps(common), test=test)
    return Holder(
        kind="person" if person else "organisation",
        idnps=common if known else None,
        family_name=first.get("SN"),
        given_name=first.get("GN"),
        profession=code,
        profession_label=label,
        specialties=_strings(extensions, nomenclature.EXTENSION_SPECIALTIES),
        card_type=None if card is None else nomenclature.CARD_TYPES.get(card, str(card)),
        card_number=None if number is None else string_of(core.load(number)),
        structure_id=structure,
        structure_name=first.get("O") if structure is not None or not person else None,
        common_name=common,
    )


def specialty_labels(holder: Holder) -> tuple[str, ...]:
    """Specialties in words; the code itself where the table does not have it."""
    return tuple(nomenclature.label("R01", code) or code for code in holder.specialties)


def counts(found: Identifier, *, test: bool) -> bool:
    """A false check digit in a certificate is an error; letters stand for digits in test only (facts: cards §5)."""
    return found.valid and (test or found.reason != TEST_ONLY)


def octet(extensions: Mapping[str, bytes], oid: str) -> int | None:
    """The last octet of an extension's value, whatever its type; None when absent or empty."""
    if oid not in extensions:
        return None
    contents = bytes(core.load(extensions[oid]).contents)
    return contents[-1] if contents else None


def _integer(extensions: Mapping[str, bytes], oid: str) -> int | None:
    return int(core.Integer.load(extensions[oid]).native) if oid in extensions else None


class _Many(core.SequenceOf):
    _child_spec = core.Any


def _strings(extensions: Mapping[str, bytes], oid: str) -> tuple[str, ...]:
    if oid not in extensions:
        return ()
    return tuple(string_of(one) for one in _Many.load(extensions[oid]))  # type: ignore[no-untyped-call]
