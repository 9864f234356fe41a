"""Hostile certificates and opposition lists, judged whole: only a sentence comes out, and nothing changed is believed."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from hashlib import sha256

from asn1crypto import parser

import cardworld as world
from dcc.cards.crl import CrlStore
from dcc.cards.errors import CrlUnreadable
from dcc.cards.judge import judge
from dcc.cards.verdict import Judgement, Verdict

OTHERS = ("EL", "ST", "FO", "EL-PP", "EL-ORG", "ST-PP")
PURPOSES = ("sign", "encrypt", "server")


@cache
def certificates() -> tuple[bytes, ...]:
    """Cards and organisations of every kind, the first of them opposed, an authority and a root."""
    pairs = [world.card(kind) for kind in ("CPS", "CPF", "CPE", "CPA")]
    cards = [one.certificate for pair in pairs for one in (pair.signature, pair.authentication)]
    others = [world.organisation(usage).certificate for usage in ("SIGN", "CONF", "AUTH_CLI")]
    curve = world.leaf(own_key=world.key("p256"))
    return (*cards, *others, curve, world.authority("FO-PP").der, world.authority("FO").der)


@cache
def lists() -> tuple[bytes, ...]:
    """The lists of the authorities: the first one opposes the first certificate, the second is a list of changes."""
    opposed = world.serial_of(certificates()[0])
    return (world.crl("FO-PP", [opposed]), world.crl("FO-PP", [7], number=2, base=1), *world.fresh(OTHERS))


@cache
def _store() -> CrlStore:
    return world.store(*lists())


def signed_part(data: bytes) -> bytes:
    """SHA-256 of what an authority signed (RFC 5280 §4.1.1.1); an empty value when there is no such thing."""
    try:
        *_, inside, _ = parser.parse(data)
        _, _, _, head, value, end = parser.parse(inside)
    except ValueError:
        return b""
    return sha256(head + value + end).digest()


@cache
def genuine() -> frozenset[bytes]:
    """What our authorities have signed."""
    return frozenset(signed_part(one) for one in certificates())


def one_card(data: bytes) -> None:
    """The first octet says whether a certificate comes, or a list beside which two genuine ones are judged."""
    way, octets = ord(data[:1] or b"\0"), data[1:]
    if way & 0x40:
        _list(octets)
        return
    found = _judged(octets, _store(), PURPOSES[way % len(PURPOSES)])
    if found.verdict is Verdict.VALID:
        assert signed_part(octets) in genuine()


def _list(octets: bytes) -> None:
    store = world.store(*lists()[2:])
    with suppress(CrlUnreadable):
        store.add(octets)
    assert _judged(certificates()[0], store, "sign").verdict is not Verdict.VALID
    if signed_part(octets) != signed_part(lists()[0]):
        found = _judged(certificates()[2], store, "sign")
        assert found.verdict is Verdict.REVOCATION_UNKNOWN, found.verdict


def _judged(octets: bytes, store: CrlStore, purpose: str) -> Judgement:
    found = judge(octets, trust=world.trust(), crls=store, at=world.NOW, purpose=purpose)
    assert found.evidence
    assert all(one.verdict is None or one.text for one in found.evidence)
    assert (found.certificate is None) == (found.verdict is Verdict.UNPARSEABLE)
    return found
