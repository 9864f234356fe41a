"""Small structures of definite lengths, sliced into TLVs in linear time (X.690); `berstream` makes them so."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits

SEQUENCE, SET, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER = 0x30, 0x31, 0x02, 0x04, 0x06
CONSTRUCTED = 0x20
MOST_ELEMENTS = 10_000  # a million empty elements in 2 MB take seconds to slice (I8)


class Slice(NamedTuple):
    """One TLV inside a definite-length encoding: `data[start:end]`, its value from `value`."""

    tag: int
    start: int
    value: int
    end: int


def slices(data: bytes, start: int = 0, end: int | None = None) -> list[Slice]:
    """The TLVs that follow each other in `data[start:end]`; definite lengths only. Raises Malformed, LimitPassed."""
    end = len(data) if end is None else end
    found: list[Slice] = []
    while start < end:
        if len(found) >= MOST_ELEMENTS:
            raise LimitPassed("small_structure")
        one = first_slice(data, start, end)
        found.append(one)
        start = one.end
    return found


def first_slice(data: bytes, start: int, end: int) -> Slice:
    """The TLV at `start`. Raises Malformed: a length never exceeds what remains (R-ASN1)."""
    if end - start < 2:
        raise Malformed("truncated TLV")
    tag, length, value = data[start], data[start + 1], start + 2
    if tag & 0x1F == 0x1F:
        raise Malformed("high tag number")
    if length & 0x80:
        if length == 0x80:
            raise Malformed("indefinite length in a definite structure")
        count = length & 0x7F
        if count > 8 or value + count > end:
            raise Malformed("length of length")
        length = int.from_bytes(data[value : value + count], "big")
        value += count
    if length > end - value:
        raise Malformed("length exceeds what remains")
    return Slice(tag, start, value, value + length)


def children(data: bytes, of: Slice) -> list[Slice]:
    """The TLVs inside a constructed one."""
    if not of.tag & CONSTRUCTED:
        raise Malformed("not constructed")
    return slices(data, of.value, of.end)


def whole(data: bytes, tag: int) -> Slice:
    """The single TLV that `data` is, of this tag; trailing bytes are refused (R-ASN1)."""
    one = first_slice(data, 0, len(data))
    if one.tag != tag or one.end != len(data):
        raise Malformed("unexpected tag or trailing bytes")
    return one


def integer(data: bytes, of: Slice) -> int:
    """An INTEGER in as few octets as it needs (R-ASN1, X.690 §8.3.2). Raises Malformed."""
    raw = data[of.value : of.end]
    if of.tag != INTEGER or not raw:
        raise Malformed("not an integer")
    if len(raw) > 1 and raw[0] in (0x00, 0xFF) and (raw[0] ^ raw[1]) < 0x80:
        raise Malformed("integer not minimal")
    return int.from_bytes(raw, "big", signed=True)


def only(data: bytes, of: Slice) -> Slice:
    """The one TLV inside a constructed one. Raises Malformed when there are none or several."""
    found = children(data, of)
    if len(found) != 1:
        raise Malformed("one element expected")
    return found[0]


def algorithm(data: bytes, of: Slice, limits: Limits) -> tuple[str, list[Slice]]:
    """The identifier of an AlgorithmIdentifier, and what follows it (RFC 5280 §4.1.1.2). Raises Malformed."""
    found = children(data, of)
    if of.tag != SEQUENCE or not found:
        raise Malformed("AlgorithmIdentifier")
    return oid(data, found[0], limits), found[1:]


def oid(data: bytes, of: Slice, limits: Limits) -> str:
    """A dotted object identifier, of bounded length."""
    raw = data[of.value : of.end]
    if of.tag != OBJECT_IDENTIFIER or not raw:
        raise Malformed("not an object identifier")
    return dotted(raw, limits)


def dotted(raw: bytes, limits: Limits) -> str:
    """The text form of an object identifier's content octets."""
    if len(raw) > limits.object_identifier:
        raise LimitPassed("object_identifier")
    return _dotted(raw)


@lru_cache(maxsize=512)  # the same few in every mail
def _dotted(raw: bytes) -> str:
    arcs: list[int] = []
    number, open_arc = 0, False
    for octet in raw:
        if not open_arc and octet == 0x80:
            raise Malformed("object identifier not minimal")
        number = number << 7 | octet & 0x7F
        open_arc = bool(octet & 0x80)
        if not open_arc:
            arcs.append(number)
            number = 0
    if open_arc or not arcs:
        raise Malformed("object identifier truncated")
    top = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (top, arcs[0] - 40 * top, *arcs[1:]))


def is_shortest(one: Slice) -> bool:
    """Whether a TLV's length is written as DER has it (X.690 §10.1)."""
    length = one.end - one.value
    octets = 1 if length < 0x80 else 1 + (length.bit_length() + 7) // 8
    return one.value - one.start == 1 + octets


def header(tag: int, length: int) -> bytes:
    """Tag and definite length in DER."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets
