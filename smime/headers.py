"""Header blocks as raw fields: read within limits, decoded without ever raising (RFC 5322 §2.2, RFC 2047)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from functools import cached_property
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits

FIRST_BLOCK = 2048
# One field with its folds; a line ends with CRLF, LF or CR alone, as `bytes.splitlines` has it. Never looks back.
# The repeated group is not possessive: before 3.11.5 Python matched such a group wrongly (gh-106052). It never gives back.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\r\n]*+(?:(?:\r\n?+|\n)[ \t][^\r\n]*+)*)(?:\r\n?+|\n|\Z)")
_MBOX = re.compile(rb"From [^\r\n]*+(?:\r\n|\n|\r|\Z)")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
# `name=value` up to the next semicolon; a quoted string that does not end goes to the end; what follows it is ignored.
_PARAMETER = re.compile(
    r"""([^=;]*+)(?:=[ \t\r\n]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+\\?)(?:"[^;]*+)?|([^";][^;]*+|(?=;)|\Z)))?(?:;|\Z)""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Headers:
    """The fields of one header block, in order: (name as written, raw value octets with folds)."""

    fields: tuple[tuple[str, bytes], ...] = ()

    def raw_all(self, name: str) -> list[bytes]:
        """Every raw value of a field."""
        return list(self._values.get(name.lower(), ()))

    def get_all(self, name: str) -> list[str]:
        """Every value of a field, unfolded and decoded."""
        return [decoded(value) for value in self.raw_all(name)]

    def get(self, name: str) -> str | None:
        """The first value of a field, unfolded and decoded; None when it is absent."""
        found = self.raw_all(name)
        return decoded(found[0]) if found else None

    def unfolded(self, name: str) -> str | None:
        """The first value, unfolded but not RFC 2047 decoded: for structured fields."""
        found = self.raw_all(name)
        return unfold(found[0]) if found else None

    def count(self, name: str) -> int:
        """How often a field occurs."""
        return len(self._values.get(name.lower(), ()))

    @cached_property
    def _values(self) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for name, value in self.fields:
            found.setdefault(name.lower(), []).append(value)
        return found


def read_headers(file: BinaryIO, limits: Limits, end: int | None = None) -> tuple[Headers, int]:
    """The header block at the file's position, and the offset of the body behind the blank line.

    Raises LimitPassed, Malformed. A block that ends at `end` (or the end of the file) has an empty body.
    """
    start = file.tell()
    most = limits.header_block + 4
    block = b""
    while True:
        # Most blocks are short: a kilobyte first, then each time twice as much.
        wanted = min(most, max(FIRST_BLOCK, 2 * len(block)))
        if end is not None:
            wanted = min(wanted, end - start)
        more = file.read(wanted - len(block)) if wanted > len(block) else b""
        block += more
        found = _blank_line(block)
        if found is not None:
            stop, after = found
            break
        if not more:
            stop = after = len(block)
            break
    if stop > limits.header_block:
        raise LimitPassed("header_block")
    return parse(block[:stop], limits), start + after


def _blank_line(block: bytes) -> tuple[int, int] | None:
    """(end of the last field, start of the body)."""
    if block.startswith(b"\r\n"):
        return 0, 2
    if block.startswith(b"\n"):
        return 0, 1
    bare = block.find(b"\n\n")
    crlf = block.find(b"\n\r\n", 0, len(block) if bare < 0 else bare + 2)
    if crlf >= 0:
        return crlf + 1, crlf + 3
    return (bare + 1, bare + 2) if bare >= 0 else None


def parse(block: bytes, limits: Limits) -> Headers:
    """The fields of a block. A line that is neither a field nor a continuation is Malformed (mbox "From " aside)."""
    at = longest = 0
    fields: list[tuple[str, bytes]] = []
    while at < len(block):
        found = _FIELD.match(block, at)
        if found is None:
            mbox = _MBOX.match(block) if at == 0 else None
            if mbox is None:
                raise Malformed("not a header field")
            at = mbox.end()
            continue
        if len(fields) >= limits.header_fields:
            raise LimitPassed("header_fields")
        name, value = found.groups()
        fields.append((name.decode("ascii"), value))
        longest = max(longest, len(value))
        at = found.end()
    if longest > limits.header_field:
        raise LimitPassed("header_field")
    return Headers(tuple(fields))


def unfold(raw: bytes) -> str:
    """One line of text; octets beyond ASCII as UTF-8 where they are, else Latin-1."""
    return _FOLD.sub("", text_of(raw)).strip()


def text_of(raw: bytes) -> str:
    """Octets as text, never raising."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decoded(raw: bytes) -> str:
    """Unfolded and RFC 2047 decoded; a false charset label never raises (R-NAME)."""
    text = unfold(raw)
    if "=?" not in text:
        return text
    try:
        pieces = decode_header(text)
    except (HeaderParseError, ValueError):
        return text
    return "".join(piece if isinstance(piece, str) else _charset(piece, name) for piece, name in pieces)


def _charset(octets: bytes, name: str | None) -> str:
    try:
        return octets.decode(name or "ascii")
    except (LookupError, UnicodeDecodeError, ValueError):
        return text_of(octets)


@dataclass(frozen=True, slots=True)
class Structured:
    """A value with parameters: Content-Type or Content-Disposition; names in lower case."""

    value: str
    parameters: Mapping[str, str]


def structured(text: str) -> Structured:
    """`value; name=value; …` with quoted strings, comments and RFC 2231 continuations; never raises."""
    value, _, rest = _without_comments(text).partition(";")
    raw: dict[str, str] = {}
    at = 0
    while found := _PARAMETER.match(rest, at):
        name, quoted, plain = found.groups()
        if plain is not None:
            raw.setdefault(name.strip().lower(), plain.strip())
        elif quoted is not None:
            raw.setdefault(name.strip().lower(), _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted)
        at = found.end()
        if at >= len(rest):
            break
    return Structured(value.strip().lower(), _continuations(raw) if "*" in rest else raw)


def _without_comments(text: str) -> str:
    if "(" not in text:
        return text
    out, depth, quoted = [], 0, False
    for sign in text:
        if sign == '"' and not depth:
            quoted = not quoted
        if not quoted and sign == "(":
            depth += 1
        elif not quoted and sign == ")" and depth:
            depth -= 1
            continue
        if not depth:
            out.append(sign)
    return "".join(out)


def _continuations(raw: Mapping[str, str]) -> dict[str, str]:
    """RFC 2231 §3 and §4: `name*0*=`, `name*1=`, `name*=charset'language'text`."""
    done: dict[str, str] = {}
    split: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, value in raw.items():
        base, star, rest = name.partition("*")
        if not star:
            done.setdefault(name, value)
            continue
        encoded = rest.endswith("*") or not rest
        digits = rest.rstrip("*")
        number = int(digits) if digits.isdigit() and len(digits) < 4 else 0
        split.setdefault(base, {})[number] = (encoded, value)
    for base, numbered in split.items():
        charset, octets = "utf-8", b""
        for number in sorted(numbered):
            encoded, value = numbered[number]
            if encoded and number == 0 and value.count("'") >= 2:
                charset, _, value = value.split("'", 2)
            octets += unquote_to_bytes(value) if encoded else value.encode("utf-8", "surrogateescape")
        done[base] = _charset(octets, charset or "utf-8")
    return done
