"""The DER writer, against an independent reader."""

from __future__ import annotations

from datetime import UTC, datetime

from asn1crypto import algos, core
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime import der


@given(st.integers(min_value=-(1 << 300), max_value=1 << 300))
def test_integers(value: int) -> None:
    """Every INTEGER reads back, in the fewest octets."""
    written = der.integer(value)
    assert core.Integer.load(written, strict=True).native == value
    assert written == core.Integer(value).dump()


@given(st.lists(st.integers(0, 1 << 70), min_size=1, max_size=12), st.integers(0, 39), st.integers(0, 2))
def test_identifiers(arcs: list[int], second: int, first: int) -> None:
    """Every OBJECT IDENTIFIER reads back."""
    dotted = ".".join(str(arc) for arc in (first, second, *arcs))
    assert core.ObjectIdentifier.load(der.oid(dotted), strict=True).dotted == dotted


@given(st.binary(max_size=70_000))
def test_octets_and_lengths(value: bytes) -> None:
    """Lengths are definite and minimal."""
    assert der.octets(value) == core.OctetString(value).dump()


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_set_of_is_sorted(values: list[bytes]) -> None:
    """Members of a SET OF stand in DER order (X.690 §11.6)."""
    written = der.set_of(*(der.octets(value) for value in values))
    assert written == core.SetOf([core.OctetString(v) for v in values], spec=core.OctetString).dump()


@given(st.integers(-631_152_000, 5_680_281_600))  # 1950 to 2149
def test_times(seconds: int) -> None:
    """UTCTime to 2049, GeneralizedTime from 2050 (RFC 5652 §11.3)."""
    at = datetime.fromtimestamp(seconds, UTC)
    kind = core.UTCTime if at.year < 2050 else core.GeneralizedTime
    assert kind.load(der.time(at), strict=True).native == at


def test_algorithm() -> None:
    """AlgorithmIdentifier with and without parameters."""
    read = algos.DigestAlgorithm.load(der.algorithm("2.16.840.1.101.3.4.2.1"), strict=True)
    assert read["algorithm"].native == "sha256"
    assert der.algorithm("1.2.840.113549.1.1.1", der.NULL).endswith(b"\x05\x00")
