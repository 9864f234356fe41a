"""Distinguished names as they stand in a certificate, in their order, whatever the string type (facts: cards §1.2).

`cryptography` refuses the T61String of IGC-CPS2ter cards: names are read with asn1crypto and a Latin-1 fallback.
"""

from __future__ import annotations

from typing import Any

from asn1crypto import core
from asn1crypto import x509 as asn1

OIDS = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.42": "GN", "2.5.4.6": "C", "2.5.4.10": "O", "2.5.4.11": "OU",
    "2.5.4.12": "title", "2.5.4.8": "ST", "2.5.4.7": "L", "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip


def rdns(name: asn1.Name) -> list[tuple[str, str]]:
    """(attribute, text) of every attribute, in DER order; multi-valued RDNs are flattened, in no order."""
    found = []
    for rdn in name.chosen:
        for pair in rdn:
            found.append((OIDS.get(pair["type"].dotted, pair["type"].dotted), string_of(pair["value"])))
    return found


def string_of(value: Any) -> str:
    """The text of any ASN.1 string type. Raises ValueError when it is none."""
    chosen = value.chosen if isinstance(value, core.Choice) else value
    if isinstance(chosen, core.Any):
        chosen = chosen.parse()
    raw = bytes(chosen.contents)
    if isinstance(chosen, core.BMPString):
        return raw.decode("utf-16-be", "replace")
    if isinstance(chosen, core.UniversalString):
        return raw.decode("utf-32-be", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # T61String of IGC-CPS2ter


def text(pairs: list[tuple[str, str]]) -> str:
    """A DN for people; never split it again: values may hold commas, slashes, semicolons."""
    return ", ".join(f"{name}={value}" for name, value in pairs)
