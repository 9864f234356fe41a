"""BER of any legal form, read as a stream in linear time and constant memory (X.690 §8).

asn1crypto is quadratic on constructed octet strings; nothing large ever reaches it (decision 0004).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from dcc.smime import ber
from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits

GATHER = 48 << 10
SEGMENT = 64  # octets; clients write a thousand or more
Read = Callable[[int], bytes]


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
            if self.position > end:
                raise Malformed("length exceeds what remains")  # of an indefinite value inside a definite one
            return self.position == end
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
            if not tag & ber.CONSTRUCTED:
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
        if used[1] > ber.MOST_ELEMENTS:
            raise LimitPassed("small_structure")
        if found.length is not None:
            used[0] += found.length
            if used[0] > self._limits.small_structure:
                raise LimitPassed("small_structure")
            content = self.exactly(found.length)
            if found.tag & ber.CONSTRUCTED and b"\0\0" in content:
                content = ber.settled(content, self._limits.asn1_depth - depth, used)
            return ber.header(found.tag, len(content)) + content
        parts = []
        while True:
            inner = self.next()
            if inner.end_of_contents:
                break
            parts.append(self._definite(inner, depth + 1, used))
        return ber.joined(found.tag, parts)

    def octets(self, found: Header, primitive: int) -> Iterator[memoryview]:
        """The octets of an OCTET STRING whose header was read, primitive or in segments (X.690 §8.7).

        Short segments are joined, so that whoever hashes or decrypts is not called for each.
        """
        if not found.tag & ber.CONSTRUCTED:
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
            if inner.tag == ber.OCTET_STRING:
                yield from self.pieces(inner.length or 0)
            elif inner.tag == ber.OCTET_STRING | ber.CONSTRUCTED:
                self.push(inner)
            else:
                raise Malformed("not an octet string")

    def _segments_at_hand(self) -> Iterator[memoryview]:
        """The primitive segments that lie whole in the block held: no other code runs for each of them."""
        data, at = self._data, self._at
        bound = self._bounds[-1]
        stop = len(data) if bound is None else min(len(data), bound - self._base)
        view = memoryview(data)
        while at + 6 <= stop and data[at] == ber.OCTET_STRING:
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
                if elements > ber.MOST_ELEMENTS:
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
    stream.enter(ber.SEQUENCE)
    raw = stream.value()
    return ber.oid(raw, ber.whole(raw, ber.OBJECT_IDENTIFIER), limits)
