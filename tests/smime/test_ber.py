"""The BER reader: linear, bounded, and never past what remains (R-ASN1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime import ber, berstream, der
from dcc.smime.errors import LimitPassed, Malformed, SmimeError
from dcc.smime.limits import Limits
from forge import ber as indefinite
from forge import segments
from processor import seconds_of


def reader(data: bytes, step: int = 1 << 16) -> Callable[[int], bytes]:
    """Reads `step` octets at a time, whatever is asked for."""
    pieces = iter([data[at : at + step] for at in range(0, len(data), step)])
    return lambda _: next(pieces, b"")


def stream(data: bytes, step: int = 1 << 16, limits: Limits | None = None) -> berstream.BerStream:
    return berstream.BerStream(reader(data, step), limits or Limits())


@given(st.binary(max_size=5000), st.integers(1, 700), st.integers(1, 300))
def test_octets_in_any_form(value: bytes, segment: int, step: int) -> None:
    """An OCTET STRING is the same in one piece, in segments, in nested segments, whatever the reading step."""
    nested = indefinite(0x24, segments(0x24, value[:100], segment), der.tlv(0x24, der.octets(value[100:])))
    for written in (der.octets(value), segments(0x24, value, segment), nested):
        one = stream(written, step)
        assert b"".join(one.octets(one.next(), ber.OCTET_STRING)) == value
        one.finished()


@given(st.binary(max_size=3000), st.integers(1, 64))
def test_any_bytes(data: bytes, step: int) -> None:
    """Whatever the bytes, reading an element ends in a value or in one of this room's errors."""
    for read in (
        lambda one: one.value(),
        lambda one: list(one.octets(one.next(), 4)),
        lambda one: one.skip(one.next()),
    ):
        try:
            read(stream(data, step))
        except SmimeError:
            continue


TREES = st.recursive(
    st.binary(max_size=20).map(der.octets),
    lambda inner: st.lists(inner, max_size=4).flatmap(
        lambda found: st.sampled_from([der.sequence(*found), indefinite(0x30, *found)])
    ),
    max_leaves=20,
)


@given(TREES, st.integers(1, 50))
def test_value_is_the_whole_element(tree: bytes, step: int) -> None:
    """`value` and `skip` consume exactly one element, definite or not."""
    for read in ("value", "skip"):
        one = stream(tree + b"\x02\x01\x07", step)
        if read == "value":
            one.value()
        else:
            one.skip(one.next())
        assert one.value() == b"\x02\x01\x07"


def test_value_joins_segments() -> None:
    """A small structure of indefinite length comes out with definite lengths and joined strings."""
    written = indefinite(0x30, der.integer(5), segments(0x24, b"hello", 2))
    assert stream(written).value() == der.sequence(der.integer(5), der.octets(b"hello"))


def test_40_megabytes_in_small_segments() -> None:
    """Forty megabytes in segments of a thousand octets take less than a second (asn1crypto: minutes)."""
    segment = der.octets(bytes(1000))
    data = b"\x24\x80" + segment * 40_000 + b"\0\0"

    def read() -> None:
        one = stream(data, 72 << 10)
        assert sum(len(piece) for piece in one.octets(one.next(), 4)) == 40_000_000

    assert seconds_of(read) < 1


def test_empty_segments() -> None:
    """Ten thousand empty segments are passed over; a million of them would cost seconds, and end at the limit (I8)."""
    one = stream(b"\x24\x80" + b"\x04\x00" * 10_000 + b"\0\0")
    assert b"".join(one.octets(one.next(), 4)) == b""
    many = stream(b"\x24\x80" + b"\x04\x00" * 1_000_000 + b"\0\0")
    with pytest.raises(LimitPassed, match="segments"):
        list(many.octets(many.next(), 4))
    assert many.position < 1 << 17


def test_short_segments() -> None:
    """Segments of 64 octets may be as many as they like."""
    one = stream(b"\x24\x80" + der.octets(bytes(64)) * 50_000 + b"\0\0")
    assert sum(len(piece) for piece in one.octets(one.next(), 4)) == 3_200_000


def test_depth() -> None:
    """32 levels are read, a hundred thousand end at the limit without recursion."""
    deep = b"\x24\x80" * 100_000
    for read in (lambda one: list(one.octets(one.next(), 4)), lambda one: one.skip(one.next())):
        with pytest.raises(LimitPassed, match="asn1_depth"):
            read(stream(deep))
    with pytest.raises(LimitPassed, match="asn1_depth"):
        stream(b"\x30\x80" * 100_000).value()
    right = b"\x24\x80" * 32 + b"\0\0" * 32
    one = stream(right)
    assert list(one.octets(one.next(), 4)) == []


def test_object_identifier() -> None:
    """Sixty-four octets are read; 200 kB are refused at once; the encoding must be minimal."""
    limits = Limits()
    assert ber.dotted(b"\x2a" + b"\x81" * 62 + b"\x01", limits).startswith("1.2.")

    def refused() -> None:
        with pytest.raises(LimitPassed, match="object_identifier"):
            ber.dotted(b"\x2a" * 200_000, limits)

    assert seconds_of(refused) < 0.05
    for bad in (b"\x2a\x80\x01", b"\x2a\x81", b""):
        with pytest.raises(Malformed):
            ber.dotted(bad, limits)


@given(st.lists(st.integers(0, 1 << 60), min_size=1, max_size=5), st.integers(0, 39), st.integers(0, 2))
def test_object_identifiers_read_back(arcs: list[int], second: int, first: int) -> None:
    """Every identifier that the writer writes reads back."""
    name = ".".join(str(arc) for arc in (first, second, *arcs))
    written = der.oid(name)
    assert ber.oid(written, ber.whole(written, ber.OBJECT_IDENTIFIER), Limits()) == name


BAD = {
    "length beyond the end": b"\x30\x05\x02\x01\x01",
    "inner length beyond the outer": b"\x30\x03\x02\x05\x01",
    "length of nine octets": b"\x30\x89" + bytes(9),
    "high tag number": b"\x3f\x81\x01\x00",
    "indefinite primitive": b"\x04\x80\x00\x00",
    "nothing": b"",
    "half a header": b"\x30",
}


def whole(one: berstream.BerStream, tag: int) -> None:
    one.enter(tag)
    while not one.at_end():
        one.value()


@pytest.mark.parametrize("name", BAD)
def test_malformed(name: str) -> None:
    """A length never exceeds what remains; each malformed header has the same end in slices and streams."""
    with pytest.raises(Malformed):
        ber.children(BAD[name], ber.first_slice(BAD[name], 0, len(BAD[name])))
    with pytest.raises(Malformed):
        whole(stream(BAD[name]), BAD[name][0] if BAD[name] else 0x30)


def test_inner_length_beyond_the_enclosing() -> None:
    """A length is checked against every enclosing definite length, also through indefinite ones."""
    data = der.tlv(0x30, b"\x30\x80\x04\x7f\x00\x00") + bytes(200)
    one = stream(data)
    one.enter(0x30)
    one.enter(0x30)
    with pytest.raises(Malformed, match="exceeds"):
        one.next()


def test_small_structures_are_bounded() -> None:
    """A structure that would be held in memory whole is bounded, whatever its length says."""
    limits = Limits(small_structure=1000)
    assert stream(der.octets(bytes(1000)), limits=limits).value()
    with pytest.raises(LimitPassed, match="small_structure"):
        stream(b"\x04\x84\x7f\xff\xff\xff" + bytes(2000), limits=limits).value()
    with pytest.raises(LimitPassed, match="small_structure"):
        stream(indefinite(0x30, *[der.octets(bytes(100))] * 11), limits=limits).value()


@pytest.mark.parametrize("tail", [b"\0", b"x", b"\0\0", der.integer(1)])
def test_trailing_bytes(tail: bytes) -> None:
    """R-ASN1: nothing may follow the encoding but the line end that a transfer added."""
    for end, good in ((b"\r\n", True), (tail, False)):
        one = stream(der.integer(1) + end)
        one.value()
        if good:
            one.finished()
        else:
            with pytest.raises(Malformed, match="trailing"):
                one.finished()
