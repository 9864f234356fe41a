"""The usage of a certificate: the table of facts/cards §2, row by row."""

from __future__ import annotations

import itertools

import pytest

from dcc.cards.usage import CLIENT_AUTH, EMAIL_PROTECTION, SERVER_AUTH, Usage, usage_of

ANY = "2.5.29.37.0"
SMART_CARD = "1.3.6.1.4.1.311.20.2.2"
DS, NR, KE, KA = "digital_signature", "non_repudiation", "key_encipherment", "key_agreement"


@pytest.mark.parametrize(
    ("bits", "extended", "usage"),
    [
        ([NR], [EMAIL_PROTECTION], Usage.SIGNATURE),
        ([DS, NR], [EMAIL_PROTECTION], Usage.SIGNATURE),
        ([DS], [CLIENT_AUTH, SMART_CARD], Usage.AUTHENTICATION),
        ([DS], [CLIENT_AUTH], Usage.AUTHENTICATION),
        ([KE], [EMAIL_PROTECTION, ANY], Usage.CONFIDENTIALITY),
        ([KA], [EMAIL_PROTECTION], Usage.CONFIDENTIALITY),
        ([DS, KE], [SERVER_AUTH, CLIENT_AUTH], Usage.SERVER),
        (["key_cert_sign", "crl_sign"], [], Usage.CA),
        ([DS], [EMAIL_PROTECTION], Usage.UNKNOWN),
        ([DS], [SERVER_AUTH, CLIENT_AUTH], Usage.UNKNOWN),
        ([NR], [CLIENT_AUTH], Usage.UNKNOWN),
        ([NR], [], Usage.UNKNOWN),
        ([NR], [ANY], Usage.UNKNOWN),
        ([DS, NR], [CLIENT_AUTH], Usage.UNKNOWN),
        ([KE], [], Usage.UNKNOWN),
        ([KE], [ANY], Usage.UNKNOWN),
        ([], [EMAIL_PROTECTION], Usage.UNKNOWN),
        (None, [EMAIL_PROTECTION, CLIENT_AUTH, SERVER_AUTH], Usage.UNKNOWN),
    ],
)
def test_usage_from_key_usage_and_extended_key_usage(bits: list[str] | None, extended: list[str], usage: Usage) -> None:
    """Each pair of key usage and extended key usage gives the usage of the table."""
    assert usage_of(None if bits is None else frozenset(bits), frozenset(extended)) is usage


def test_what_enciphers_never_signs() -> None:
    """No certificate that may encipher a key is taken for a signing one, whatever else it may do."""
    extended = [EMAIL_PROTECTION, CLIENT_AUTH, SERVER_AUTH, ANY]
    sets = list(itertools.chain.from_iterable(itertools.combinations(extended, size) for size in range(5)))
    for bits in ([KE], [KE, DS], [KE, NR], [KE, DS, NR], [KA, NR]):
        for purposes in sets:
            assert usage_of(frozenset(bits), frozenset(purposes)) is not Usage.SIGNATURE
