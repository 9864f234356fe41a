"""Small structures of definite lengths, sliced into TLVs in linear time (X.690); `berstream` makes them so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits

SEQUENCE, SET, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER = 0x30, 0x31, 0x02, 0x04, 0x06
CONSTRUCTED = 0x20
DEEPEST = 8  # segments of segments: nobody writes them
MOST_ELEMENTS = 10_000  # a million empty elements in 2 MB take seconds to slice (I8)


class Slice(NamedTuple):
    """One TLV inside a definite-length encoding: `data[start:end]`, its value from `value`."""

    tag: int
    start: int
    value: int
    end: int


def slices(
    data: bytes, start: int = 0, end: int | None = None, most: int = MOST_ELEMENTS, limit: str = "small_structure"
) -> list[Slice]:
    """The TLVs that follow each other in `data[start:end]`; definite lengths only. Raises Malformed, LimitPassed."""
    end = len(data) if end is None else end
    found: list[Slice] = []
    while start < end:
        if len(found) >= most:
            raise LimitPassed(limit)
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


def children(data: bytes, of: Slice, most: int = MOST_ELEMENTS, limit: str = "small_structure") -> list[Slice]:
    """The TLVs inside a constructed one, `most` of them at most; `limit` is the name of that."""
    if not of.tag & CONSTRUCTED:
        raise Malformed("not constructed")
    return slices(data, of.value, of.end, most, limit)


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


def settled(data: bytes, room: int, used: list[int]) -> bytes:
    """TLVs, those of indefinite length inside them made definite; the others octet by octet as they are: they may be signed.

    `room`: levels that may come, `used[1]`: elements counted so far. Raises Malformed, LimitPassed.
    """
    pieces, at = [], 0
    while at < len(data):
        changed, end = _settled(data, at, len(data), room, used)
        pieces.append(memoryview(data)[at:end] if changed is None else changed)
        at = end
    return b"".join(pieces)


def _settled(data: bytes, at: int, stop: int, room: int, used: list[int]) -> tuple[bytes | None, int]:
    """(the TLV at `at` written anew, or None when it is as it must be; its end)."""
    used[1] += 1
    if used[1] > MOST_ELEMENTS or room < 0:
        raise LimitPassed("asn1_depth" if room < 0 else "small_structure")
    indefinite = data[at + 1 : at + 2] == b"\x80"
    tag = data[at]
    if indefinite and not (tag & CONSTRUCTED and tag & 0x1F != 0x1F):
        raise Malformed("indefinite length of a primitive value")
    one = Slice(tag, at, at + 2, stop) if indefinite else first_slice(data, at, stop)
    if not tag & CONSTRUCTED or (not indefinite and data.find(b"\0\0", one.value, one.end) < 0):
        return None, one.end
    pieces: list[bytes | memoryview] = []
    changed, at = indefinite, one.value
    while at < one.end and not (indefinite and data.startswith(b"\0\0", at)):
        inner, end = _settled(data, at, one.end, room - 1, used)
        pieces.append(memoryview(data)[at:end] if inner is None else inner)
        changed, at = changed or inner is not None, end
    if indefinite and at >= one.end:
        raise Malformed("truncated TLV")
    return joined(tag, pieces) if changed else None, at + 2 if indefinite else at


def joined(tag: int, pieces: Sequence[bytes | memoryview]) -> bytes:
    """A constructed value from what is inside it; a string of octets in one piece."""
    content = b"".join(pieces)
    made = header(tag, len(content)) + content
    if tag != OCTET_STRING | CONSTRUCTED:
        return made
    content = octets(made, first_slice(made, 0, len(made)))
    return header(OCTET_STRING, len(content)) + content


def octets(data: bytes, of: Slice, depth: int = 0) -> bytes:
    """What an OCTET STRING holds, primitive or in segments (X.690 §8.7.3); its tag, perhaps implicit, is the caller's."""
    if not of.tag & CONSTRUCTED:
        return data[of.value : of.end]
    segments = children(data, of)
    if depth > DEEPEST or any(one.tag & ~CONSTRUCTED != OCTET_STRING for one in segments):
        raise Malformed("not an octet string")
    return b"".join(octets(data, one, depth + 1) for one in segments)


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
