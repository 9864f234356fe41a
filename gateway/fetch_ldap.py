"""One LDAP search, as a URL names it: the little of RFC 4511 that fetching a published list needs.

Anonymous, no referral is followed, nothing is written. Every length is bounded before it is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from asn1crypto import core, parser

SCOPES = {"": 0, "base": 0, "one": 1, "sub": 2}  # RFC 4516 §2
ANY = b"objectClass"
UNIVERSAL, APPLICATION, CONTEXT = 0, 1, 2
PRIMITIVE, CONSTRUCTED = 0, 1
SEARCH, ENTRY, DONE = 3, 4, 5  # RFC 4511 §4.5: the application tags
PRESENT, EQUALS = 7, 3  # RFC 4511 §4.5.1.7: the filters
NO_SUCH_OBJECT = 32
MOST_ENTRIES = 10


@dataclass(frozen=True, slots=True)
class Search:
    """The request to send, and the attribute whose values are wanted."""

    request: bytes
    attribute: str


def search_of(url: str) -> Search:
    """The search that an LDAP URL names (RFC 4516). Raises ValueError."""
    _, _, rest = url.strip().partition("://")
    name, *more = rest.partition("/")[2].split("?")
    attribute, scope, wanted = ([unquote(one) for one in more] + ["", "", ""])[:3]
    if not attribute or "," in attribute or scope not in SCOPES:
        raise ValueError("an LDAP URL must name one attribute")
    fields = (
        core.OctetString(unquote(name).encode()).dump()
        + _enumerated(SCOPES[scope])
        + _enumerated(0)  # aliases are not followed
        + core.Integer(MOST_ENTRIES).dump()
        + core.Integer(0).dump()
        + core.Boolean(False).dump()
        + _filter(wanted)
        + _constructed(UNIVERSAL, 16, core.OctetString(attribute.encode()).dump())
    )
    message = core.Integer(1).dump() + _constructed(APPLICATION, SEARCH, fields)
    return Search(_constructed(UNIVERSAL, 16, message), attribute.partition(";")[0].casefold())


def _filter(text: str) -> bytes:
    plain = text.strip().removeprefix("(").removesuffix(")")
    name, equals, value = plain.partition("=")
    if plain and (not equals or not name or set(plain) & set("&|!()~<>")):
        raise ValueError("only the filter attribute=value is understood")
    if not plain or value == "*":
        return bytes(parser.emit(CONTEXT, PRIMITIVE, PRESENT, (name or "objectClass").encode()))
    pair = core.OctetString(name.encode()).dump() + core.OctetString(value.encode()).dump()
    return _constructed(CONTEXT, EQUALS, pair)


def _enumerated(value: int) -> bytes:
    return bytes(parser.emit(UNIVERSAL, PRIMITIVE, 10, bytes([value])))


def _constructed(kind: int, tag: int, contents: bytes) -> bytes:
    return bytes(parser.emit(kind, CONSTRUCTED, tag, contents))


async def values(reader: asyncio.StreamReader, search: Search, most: int) -> tuple[bytes, ...]:
    """Every value of the attribute in the answer; none: no such entry. Raises ValueError, EOFError."""
    found: list[bytes] = []
    left = most
    while True:
        message = await _message(reader, left)
        left -= len(message)
        _, operation, *_ = _parts(_contents(message))
        if operation[0] == APPLICATION and operation[2] == DONE:
            code, *_ = _parts(operation[4])
            if code[4] not in {b"\0", bytes([NO_SUCH_OBJECT])}:
                raise ValueError("the directory refuses")
            return tuple(found)
        if operation[0] == APPLICATION and operation[2] == ENTRY:
            found += _of_entry(operation[4], search.attribute)


def _of_entry(entry: bytes, wanted: str) -> list[bytes]:
    _, attributes = _parts(entry)[:2]
    found = []
    for attribute in _parts(attributes[4]):
        kind, held = _parts(attribute[4])[:2]
        if kind[4].decode("utf-8").partition(";")[0].casefold() == wanted:
            found += [one[4] for one in _parts(held[4])]
    return found


async def _message(reader: asyncio.StreamReader, most: int) -> bytes:
    head = await reader.readexactly(2)
    size = head[1]
    if head[0] != 0x30 or size == 0x80:  # RFC 4511 §5.1: definite lengths only
        raise ValueError("not an LDAP message")
    if size > 0x80:
        octets = await reader.readexactly(size & 0x7F)
        head, size = head + octets, int.from_bytes(octets, "big")
    if size > most:
        raise ValueError("a longer answer than is taken")
    pieces = [head]
    while size:
        piece = await reader.readexactly(min(size, 1 << 16))
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _contents(whole: bytes) -> bytes:
    return bytes(parser.parse(whole)[4])


def _parts(contents: bytes) -> list[tuple[Any, ...]]:
    """The values one after another: (class, method, tag, header, contents, trailer)."""
    found = []
    place = 0
    while place < len(contents):
        size = parser.peek(contents[place:])
        found.append(parser.parse(contents[place : place + size]))
        place += size
    return found
