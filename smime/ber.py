"""BER and DER, read in linear time: TLV slices of small structures, streams of large ones (X.690).

asn1crypto is quadratic on constructed octet strings; nothing large ever reaches it (decision 0004).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits

SEQUENCE, SET, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER = 0x30, 0x31, 0x02, 0x04, 0x06
CONSTRUCTED = 0x20
GATHER = 48 << 10
SEGMENT = 64  # octets; clients write a thousand or more
MOST_ELEMENTS = 10_000  # a million empty elements in 2 MB take seconds to slice (I8)
Read = Callable[[int], bytes]


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


class Header(NamedTuple):
    """A tag and a length (None: indefinite) met in a stream."""

    tag: int
    length: int | None

    @property
    def end_of_contents(self) -> bool:
        return self.tag == 0 and self.length == 0


class BerStream:
    """Walks a BER encoding that comes from a reader, holding one block at a time.

    `read(n)` returns at most n bytes, b"" at the end. Every definite length is checked against the enclosing one.
    """

    def __init__(self, read: Read, limits: Limits, block: int = 1 << 16) -> None:
        self._read = read
        self._limits = limits
        self._block = block
        self._data = b""
        self._at = 0
        self._base = 0
        self._ends: list[int | None] = []  # of the values that stand open; None: indefinite
        self._bounds: list[int | None] = []  # beside each, the end of the innermost definite one

    @property
    def position(self) -> int:
        """Octets consumed so far."""
        return self._base + self._at

    def _fill(self) -> bool:
        more = self._read(self._block)
        if not more:
            return False
        self._base += self._at
        self._data = self._data[self._at :] + more
        self._at = 0
        return True

    def exactly(self, count: int) -> bytes:
        """`count` octets (small structures only). Raises Malformed, LimitPassed."""
        if count > self._limits.small_structure:
            raise LimitPassed("small_structure")
        self._have(count)
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece

    def _have(self, count: int) -> None:
        while len(self._data) - self._at < count:
            if not self._fill():
                raise Malformed("truncated")

    def pieces(self, count: int) -> Iterator[memoryview]:
        """`count` octets in blocks, without copying."""
        while count:
            if self._at == len(self._data) and not self._fill():
                raise Malformed("truncated")
            piece = memoryview(self._data)[self._at : self._at + count]
            self._at += len(piece)
            count -= len(piece)
            yield piece

    def at_end(self) -> bool:
        """Whether the current constructed value has no more elements (consumes end-of-contents octets)."""
        end = self._ends[-1]
        if end is not None:
            return self.position >= end
        self._have(2)
        return self._data[self._at] == 0 and self._data[self._at + 1] == 0

    def peek_tag(self) -> int | None:
        """The next tag inside the current value, None at its end."""
        if self.at_end():
            return None
        self._have(1)
        return self._data[self._at]

    def next(self) -> Header:
        """The next header. Raises Malformed when its length exceeds the enclosing value."""
        self._have(2)
        tag = self._data[self._at]
        length: int | None = self._data[self._at + 1]
        self._at += 2
        if tag & 0x1F == 0x1F:
            raise Malformed("high tag number")
        if length == 0x80:
            if not tag & CONSTRUCTED:
                raise Malformed("indefinite length of a primitive value")
            length = None
        elif length is not None and length & 0x80:
            count = length & 0x7F
            if count > 8:
                raise Malformed("length of length")
            length = int.from_bytes(self.exactly(count), "big")
        bound = self._bounds[-1] if self._bounds else None
        if bound is not None and length is not None and self.position + length > bound:
            raise Malformed("length exceeds what remains")
        return Header(tag, length)

    def expect(self, tag: int) -> Header:
        """The next header, of this tag."""
        found = self.next()
        if found.tag != tag:
            raise Malformed(f"expected tag {tag:#x}")
        return found

    def enter(self, tag: int) -> Header:
        """Go inside the next constructed value, of this tag."""
        found = self.expect(tag)
        self.push(found)
        return found

    def push(self, found: Header) -> None:
        """Go inside a value whose header was read."""
        if len(self._ends) >= self._limits.asn1_depth:
            raise LimitPassed("asn1_depth")
        if found.length is None:
            self._ends.append(None)
            self._bounds.append(self._bounds[-1] if self._bounds else None)
            return
        end = self.position + found.length
        self._ends.append(end)
        self._bounds.append(end)

    def leave(self) -> None:
        """Come out of the current value, which must be at its end."""
        if not self.at_end():
            raise Malformed("unexpected element")
        self._bounds.pop()
        if self._ends.pop() is None:
            self.exactly(2)

    def value(self) -> bytes:
        """The next element whole, as definite-length DER-shaped bytes (small structures only)."""
        return self._definite(self.next(), 0, [0, 0])

    def _definite(self, found: Header, depth: int, used: list[int]) -> bytes:
        if depth > self._limits.asn1_depth:
            raise LimitPassed("asn1_depth")
        used[1] += 1
        if used[1] > MOST_ELEMENTS:
            raise LimitPassed("small_structure")
        if found.length is not None:
            used[0] += found.length
            if used[0] > self._limits.small_structure:
                raise LimitPassed("small_structure")
            content = self.exactly(found.length)
            return header(found.tag, len(content)) + content
        parts = []
        while True:
            inner = self.next()
            if inner.end_of_contents:
                break
            parts.append(self._definite(inner, depth + 1, used))
        if found.tag == OCTET_STRING | CONSTRUCTED:
            content = b"".join(part[first_slice(part, 0, len(part)).value :] for part in parts)
            return header(OCTET_STRING, len(content)) + content
        content = b"".join(parts)
        return header(found.tag, len(content)) + content

    def octets(self, found: Header, primitive: int) -> Iterator[memoryview]:
        """The octets of an OCTET STRING whose header was read, primitive or in segments (X.690 §8.7).

        Short segments are joined, so that whoever hashes or decrypts is not called for each.
        """
        if not found.tag & CONSTRUCTED:
            if found.tag != primitive:
                raise Malformed("not an octet string")
            yield from self.pieces(found.length or 0)
            return
        gathered: list[memoryview] = []
        size = before = 0
        allowed = self._limits.segments
        for count, segment in enumerate(self._segments(found), 1):
            if count > allowed:
                # Each segment costs a little, however short: many are only for long strings (I8)
                allowed = self._limits.segments + (before + size) // SEGMENT
                if count > allowed:
                    raise LimitPassed("segments")
            gathered.append(segment)
            size += len(segment)
            if size >= GATHER:
                yield gathered[0] if len(gathered) == 1 else memoryview(b"".join(gathered))
                before += size
                gathered, size = [], 0
        if gathered:
            yield memoryview(b"".join(gathered))

    def _segments(self, found: Header) -> Iterator[memoryview]:
        depth = len(self._ends)
        self.push(found)
        while len(self._ends) > depth:
            yield from self._segments_at_hand()
            if self.at_end():
                self.leave()
                continue
            inner = self.next()
            if inner.tag == OCTET_STRING:
                yield from self.pieces(inner.length or 0)
            elif inner.tag == OCTET_STRING | CONSTRUCTED:
                self.push(inner)
            else:
                raise Malformed("not an octet string")

    def _segments_at_hand(self) -> Iterator[memoryview]:
        """The primitive segments that lie whole in the block held: no other code runs for each of them."""
        data, at = self._data, self._at
        bound = self._bounds[-1]
        stop = len(data) if bound is None else min(len(data), bound - self._base)
        view = memoryview(data)
        while at + 6 <= stop and data[at] == OCTET_STRING:
            length, value = data[at + 1], at + 2
            if length & 0x80:
                count = length & 0x7F
                if not 1 <= count <= 4:
                    return
                value += count
                length = int.from_bytes(data[at + 2 : value], "big")
            if value + length > stop:
                return
            at = value + length
            self._at = at
            yield view[value:at]

    def skip(self, found: Header) -> None:
        """Pass over an element whose header was read, of any size."""
        if found.length is not None:
            for _ in self.pieces(found.length):
                pass
            return
        depth = len(self._ends)
        self.push(found)
        elements = 0
        while len(self._ends) > depth:
            if self.at_end():
                self.leave()
            else:
                elements += 1
                if elements > MOST_ELEMENTS:
                    raise LimitPassed("small_structure")
                inner = self.next()
                if inner.length is None:
                    self.push(inner)
                else:
                    for _ in self.pieces(inner.length):
                        pass

    def finished(self) -> None:
        """Nothing may follow but line ends, which transfer as "binary" may add. Raises Malformed (R-ASN1)."""
        while True:
            rest = self._data[self._at :]
            if rest.strip(b"\r\n"):
                raise Malformed("trailing bytes")
            self._at = len(self._data)
            if not self._fill():
                return


def content_type(stream: BerStream, limits: Limits) -> str:
    """Go inside a ContentInfo and read its contentType (RFC 5652 §3)."""
    stream.enter(SEQUENCE)
    raw = stream.value()
    return oid(raw, whole(raw, OBJECT_IDENTIFIER), limits)
