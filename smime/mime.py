"""MIME structure as raw byte offsets: nothing is decoded, copied or written anew (R-ROOT, R-PARTIAL, I8)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from dcc.smime import transfer
from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.headers import Headers, read_headers, structured, unfold
from dcc.smime.headers import decoded as header_text
from dcc.smime.limits import Limits

CHUNK = 1 << 18
LONGEST_DELIMITER = 256  # RFC 2046 §5.1.1: boundaries have at most 70 characters; padding is tolerated
_TAIL = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")  # what may follow a boundary on its line
_DEVICE = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
NAME_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Entity:
    """One MIME entity inside a file: `[start, body_start)` its headers, `[body_start, end)` its body."""

    headers: Headers
    media_type: str
    parameters: Mapping[str, str]
    disposition: str | None
    filename: str | None
    encoding: str
    start: int
    body_start: int
    end: int
    children: tuple[Entity, ...] = ()

    def walk(self) -> Iterator[Entity]:
        """This entity and everything below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(slots=True)
class _Open:
    """An entity whose end is not known yet."""

    headers: Headers
    start: int
    body_start: int
    end: int = -1
    boundary: bytes | None = None
    children: list[_Open] = field(default_factory=list)
    closed: bool = False


def content_type(headers: Headers) -> tuple[str, Mapping[str, str]]:
    """Media type in lower case and parameters; text/plain when absent or unreadable (RFC 2045 §5.2)."""
    found = headers.unfolded("Content-Type")
    if found is None:
        return "text/plain", {}
    value = structured(found)
    return (value.value if "/" in value.value else "text/plain"), value.parameters


def transfer_encoding(headers: Headers) -> str:
    """Content-Transfer-Encoding in lower case, without its comments; 7bit when absent (RFC 2045 §6.1)."""
    found = headers.unfolded("Content-Transfer-Encoding")
    return "7bit" if found is None else structured(found).value or "7bit"


def _boundary(media_type: str, parameters: Mapping[str, str]) -> bytes | None:
    if media_type.startswith("multipart/") and parameters.get("boundary"):
        return parameters["boundary"].encode("utf-8", "replace")[:LONGEST_DELIMITER]
    return None


def scan(file: BinaryIO, start: int, size: int, limits: Limits) -> Entity:
    """The structure of the entity at `[start, start + size)`. Raises Malformed, LimitPassed."""
    scanner = _Scanner(file, start + size, limits, descend=True)
    root = scanner.open(start)
    scanner.run(root)
    return _closed(root)


def direct_parts(
    file: BinaryIO, kind: tuple[str, Mapping[str, str]], body: int, end: int, limits: Limits
) -> list[tuple[int, int]]:
    """(start, end) of each direct part of a multipart at `[body, end)` whose headers were read, and nothing below.

    `kind` is what `content_type` says of it. Raises Malformed, LimitPassed.
    """
    scanner = _Scanner(file, end, limits, descend=False)
    scanner.count()
    root = _Open(Headers(), body, body, boundary=_boundary(*kind))
    scanner.run(root)
    return [(part.start, part.end) for part in root.children]


class _Scanner:
    def __init__(self, file: BinaryIO, end: int, limits: Limits, *, descend: bool) -> None:
        self._file = file
        self._end = end
        self._limits = limits
        self._descend = descend
        self._parts = 0
        self._stack: list[_Open] = []
        self._rfc822: list[int] = []
        self._base = 0
        self._block = b""

    def open(self, start: int) -> _Open:
        """Read the headers of an entity and, when it is a multipart, expect its delimiters."""
        self.count()
        self._file.seek(start)
        headers, body = read_headers(self._file, self._limits, self._end)
        entity = _Open(headers, start, body)
        media_type, parameters = content_type(headers)
        entity.boundary = _boundary(media_type, parameters)
        if media_type == "message/rfc822" and self._descend and body < self._end:
            if len(self._stack) + len(self._rfc822) >= self._limits.mime_depth:
                raise LimitPassed("mime_depth")
            self._rfc822.append(start)
            entity.children.append(self.open(body))
            self._rfc822.pop()
        return entity

    def count(self) -> None:
        """One part more. Raises LimitPassed."""
        self._parts += 1
        if self._parts > self._limits.mime_parts:
            raise LimitPassed("mime_parts")

    def run(self, root: _Open) -> None:
        """Find every delimiter below the root, and the ends of all."""
        self._push_all(root)
        position = root.body_start
        while self._stack:
            found = self._next_delimiter(position)
            if found is None:
                break
            position = self._delimiter(*found)
        _finish(root, self._end)

    def _push_all(self, entity: _Open) -> None:
        while True:
            if entity.boundary is not None:
                if len(self._stack) >= self._limits.mime_depth:
                    raise LimitPassed("mime_depth")
                self._stack.append(entity)
                return
            if not entity.children:
                return
            entity = entity.children[0]

    def _delimiter(self, line_start: int, line_end: int, owner: int, closing: bool) -> int:
        entity = self._stack[owner]
        before = self._line_break_before(line_start)
        del self._stack[owner + 1 :]
        if entity.children:
            _finish(entity.children[-1], max(before, entity.children[-1].start))
        if closing:
            entity.closed = True
            self._stack.pop()
            return line_end
        if self._descend:
            child = self.open(line_end)
            entity.children.append(child)
            self._push_all(child)
            return min(child.body_start, self._end)
        self.count()
        entity.children.append(_Open(Headers(), line_end, line_end))
        return line_end

    def _line_break_before(self, line_start: int) -> int:
        held = line_start - self._base
        if 2 <= held <= len(self._block):
            tail = self._block[held - 2 : held]
        else:
            self._file.seek(max(0, line_start - 2))
            tail = self._file.read(min(2, line_start))
        if tail == b"\r\n":
            return line_start - 2
        return line_start - 1 if tail.endswith((b"\n", b"\r")) else line_start

    def _next_delimiter(self, position: int) -> tuple[int, int, int, bool] | None:
        """(line start, line end, place in the stack, closing) of the next delimiter of an open multipart."""
        owners: dict[bytes, int] = {}
        for place, entity in enumerate(self._stack):
            owners.setdefault(entity.boundary or b"", place)
        begin = max(0, position - 1)
        while begin < self._end:
            base, block = self._window(begin)
            last = base + len(block) >= self._end
            found = _delimiter_in(block, begin - base, list(owners))
            # A delimiter that touches the block's end may go on behind it, unless its line end was seen.
            if found is not None and (last or found[1] < len(block) or block.endswith(b"\n")):
                at, after, name, closing = found
                return base + at + 1, base + after, owners[name], closing
            if last:
                return None
            begin = max(begin + 1, base + len(block) - LONGEST_DELIMITER - 8)
            self._block = b""
        return None

    def _window(self, begin: int) -> tuple[int, bytes]:
        """(offset, octets) of a block that holds `begin`; read once for all the delimiters inside it."""
        if not self._base <= begin < self._base + len(self._block):
            self._file.seek(begin)
            self._base, self._block = begin, self._file.read(min(CHUNK, self._end - begin))
            if not self._block:
                raise Malformed("truncated body")
        return self._base, self._block


def _delimiter_in(block: bytes, at: int, names: list[bytes]) -> tuple[int, int, bytes, bool] | None:
    """(line end before it, end, boundary, closing) of the first delimiter from `at`; time linear whatever stands there."""
    if len(names) == 1:  # the usual case needs no pattern of its own
        at = block.find(b"\n--" + names[0], at)
        if at < 0:
            return None
        tail = _TAIL.match(block, at + 3 + len(names[0]))
        if tail is not None:
            return at, tail.end(), names[0], tail[1] is not None
    either = b"|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    # A literal first octet lets the engine skip at memory speed; a line end always stands before a delimiter.
    found = re.compile(rb"\n--(" + either + rb")(--)?[ \t]*(?:\r?\n|\Z)").search(block, at)
    return None if found is None else (found.start(), found.end(), found[1], found[2] is not None)


def _finish(entity: _Open, end: int) -> None:
    """Give ends to an entity and to whatever is still open below it."""
    if entity.end >= 0:
        return
    entity.end = max(end, entity.start)
    if entity.children:
        last = entity.children[-1]
        if last.end < 0:
            _finish(last, end)


def _closed(entity: _Open) -> Entity:
    media_type, parameters = content_type(entity.headers)
    disposition = entity.headers.unfolded("Content-Disposition")
    shown = None if disposition is None else structured(disposition)
    name = None if shown is None else shown.parameters.get("filename")
    name = name or parameters.get("name")
    return Entity(
        headers=entity.headers,
        media_type=media_type,
        parameters=parameters,
        disposition=None if shown is None else shown.value,
        filename=None if name is None else clean_name(header_text(name.encode())),
        encoding=transfer_encoding(entity.headers),
        start=entity.start,
        body_start=min(entity.body_start, entity.end),
        end=entity.end,
        children=tuple(_closed(child) for child in entity.children),
    )


def decode(file: BinaryIO, entity: Entity) -> Iterator[bytes]:
    """The decoded octets of a leaf entity, as a stream. Raises Malformed."""
    return transfer.decode(file, entity.body_start, entity.end, entity.encoding)


def clean_name(name: str) -> str | None:
    """An attachment's name without path, control characters, overrides of direction or device names (R-NAME)."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(sign for sign in last if unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Co", "Cn"})
    kept = kept.strip(" .")
    if not kept or kept in {".", ".."}:
        return None
    if _DEVICE.match(kept):
        kept = "_" + kept
    if len(kept) > NAME_LENGTH:
        stem, dot, suffix = kept.rpartition(".")
        kept = stem[: NAME_LENGTH - len(suffix) - 1] + dot + suffix if dot and len(suffix) < 10 else kept[:NAME_LENGTH]
    return kept


__all__ = ["Entity", "Malformed", "clean_name", "content_type", "decode", "scan", "unfold"]
