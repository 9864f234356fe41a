"""HL7 v2 messages as segments and fields, read in bounded memory: large base64 values stay where they are (I8).

Separators come from the header; segments end with CR on the wire and with LF in files, both are read
(facts/clinical.md §5). What the fields mean is in router/hl7_fields.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dcc.router.request import Attachment
from dcc.smime.errors import LimitPassed, Malformed

HEAD = 16 << 10  # bytes that are looked at for the header
BLOCK = 1 << 18
WHOLE = 64 << 10  # a segment up to this size is held whole; a longer one must be an OBX with an encoded value
TAIL = 4 << 10  # of a longer one, the bytes behind its value
SEGMENTS = 5_000
MARKS = b"\x0b\x1c\xef\xbb\xbf \t"  # MLLP frame and byte order mark, when a file was cut out of a connection
_ENDS = re.compile(rb"[\r\n]+")


@dataclass(frozen=True, slots=True)
class Hl7Header:
    """The MSH segment: what kind of message, and its number."""

    message_type: str  # `MDM^T02`
    control_id: str | None
    version: str | None


def hl7_header(data: bytes) -> Hl7Header | None:
    """The header of an HL7 v2 message (pipes), or None; separators are read from the header itself."""
    text = data[:HEAD].lstrip(b"\x0b\xef\xbb\xbf \r\n")
    if not text.startswith(b"MSH") or len(text) < 9:
        return None
    line = re.split(r"[\r\n]", text.decode("utf-8", "replace"), maxsplit=1)[0]
    if len(line) < 9 or line[3].isalnum():
        return None
    fields = line.split(line[3])  # fields[n] is MSH-(n+1): the separator itself is MSH-1
    component = fields[1][:1] or "^"
    kind = fields[8].split(component)[:2] if len(fields) > 8 else []
    if not kind or not kind[0].isalnum():
        return None
    return Hl7Header(
        message_type="^".join(part[:10] for part in kind if part.isalnum()),
        control_id=_short(fields, 9),
        version=_short(fields, 11),
    )


def _short(fields: list[str], place: int) -> str | None:
    found = fields[place].strip()[:64] if len(fields) > place else ""
    return found or None


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: `fields[n]` is field n as written; `value` is where the encoded OBX-5.5 lies in the file."""

    name: str
    fields: tuple[str, ...]
    value: tuple[int, int] | None = None  # (start, size)

    def field(self, number: int) -> str:
        """One field, empty when it is absent."""
        return self.fields[number] if number < len(self.fields) else ""


@dataclass(frozen=True, slots=True)
class Separators:
    """The signs of one message (MSH-1, MSH-2)."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    def parts(self, text: str) -> list[str]:
        """The components of a field."""
        return text.split(self.component)

    def part(self, text: str, number: int) -> str:
        """One component (from 1), its escapes resolved, empty when it is absent."""
        found = text.split(self.component)
        return self.plain(found[number - 1]) if number <= len(found) else ""

    def plain(self, text: str) -> str:
        """Escapes resolved (HL7 v2.5 §2.7.1); other sequences are left as written."""
        if self.escape not in text:
            return text.strip()
        sign = re.escape(self.escape)
        signs = {"F": self.field, "S": self.component, "T": self.subcomponent, "R": self.repetition, "E": self.escape}
        return re.sub(f"{sign}([FSTRE]){sign}", lambda one: signs[one[1]], text).strip()


@dataclass(frozen=True, slots=True)
class Message:
    """One HL7 v2 message."""

    separators: Separators
    segments: tuple[Segment, ...]

    def first(self, name: str) -> Segment:
        """The first segment of this name; an empty one when there is none."""
        return next((one for one in self.segments if one.name == name), Segment(name, ()))

    def all(self, name: str) -> list[Segment]:
        """Every segment of this name, in order."""
        return [one for one in self.segments if one.name == name]


@dataclass(slots=True)
class _Line:
    """One segment while it is read: its place, its beginning, its end."""

    start: int
    size: int = 0
    head: bytes = b""
    tail: bytes = b""

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(self.head) < WHOLE:
            self.head += piece[: WHOLE - len(self.head)]
        self.tail = (self.tail + piece)[-TAIL:]


def read_message(source: Attachment) -> Message:
    """Every segment of a message. Raises Malformed, LimitPassed."""
    lines = _lines(source)
    first = next(lines, None)
    separators = None if first is None else _separators(first)
    if first is None or separators is None:
        raise Malformed("no MSH")
    segments = [_header(first, separators)]
    for line in lines:
        if len(segments) >= SEGMENTS:
            raise LimitPassed("hl7_segments")
        segments.append(_segment(line, separators))
    return Message(separators, tuple(segments))


def _lines(source: Attachment) -> Iterator[_Line]:
    line = _Line(0)
    place = 0
    with source.open() as reader:
        while block := reader.read(BLOCK):
            at = 0
            for end in _ENDS.finditer(block):
                line.add(block[at : end.start()])
                if line.head.strip(MARKS):
                    yield line
                at = end.end()
                line = _Line(place + at)
            line.add(block[at:])
            place += len(block)
    if line.head.strip(MARKS):
        yield line


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _separators(line: _Line) -> Separators | None:
    head = _text(line.head.lstrip(MARKS)[:9])
    if len(head) < 9 or not head.startswith("MSH"):
        return None
    signs = head[3:8]
    if len(set(signs)) != len(signs) or any(sign.isalnum() or sign.isspace() for sign in signs):
        return None
    return Separators(*signs)


def _header(line: _Line, separators: Separators) -> Segment:
    """MSH: the separator itself is MSH-1, so that numbers agree with those of the other segments."""
    if line.size > WHOLE:
        raise LimitPassed("hl7_segment")
    fields = _text(line.head.lstrip(MARKS)).split(separators.field)
    return Segment("MSH", ("MSH", separators.field, *fields[1:]))


def _segment(line: _Line, separators: Separators) -> Segment:
    if line.size <= WHOLE:
        text = _text(line.head)
        fields = tuple(text.split(separators.field))
        name = fields[0].strip()
        return Segment(name, fields, _value(line.start, line.head, line.size, separators) if name == "OBX" else None)
    if not line.head.startswith(b"OBX"):
        raise LimitPassed("hl7_segment")
    sign = separators.field.encode()
    end = line.tail.find(sign)
    after = b"" if end < 0 else line.tail[end:]
    found = _value(line.start, line.head, line.size - len(after), separators)
    if found is None:
        raise LimitPassed("hl7_segment")
    before = line.head[: found[0] - line.start]
    return Segment("OBX", tuple(_text(before + after).split(separators.field)), found)


def _value(start: int, head: bytes, end: int, separators: Separators) -> tuple[int, int] | None:
    """Where OBX-5, component 5 lies: the data of an encapsulated value (ED, HL7 v2.5 §2.A.24)."""
    place = 0
    for _ in range(5):
        place = head.find(separators.field.encode(), place) + 1
        if not place:
            return None
    close = head.find(separators.field.encode(), place)
    limit = len(head) if close < 0 else close
    for _ in range(4):
        place = head.find(separators.component.encode(), place, limit) + 1
        if not place:
            return None
    if close >= 0:
        return start + place, close - place
    return start + place, end - place
