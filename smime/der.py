"""DER, written: definite lengths known in advance, so that bulk content can be streamed (X.690 §10)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from dcc.smime import ber

header = ber.header
NULL = b"\x05\x00"


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element."""
    body = b"".join(parts)
    return header(tag, len(body)) + body


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE."""
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF, its members in DER order (X.690 §11.6)."""
    return tlv(0x31, *sorted(parts))


def integer(value: int) -> bytes:
    """INTEGER, minimal."""
    octets = max(value, ~value).bit_length() // 8 + 1  # -128 is one octet, 128 is two (X.690 §8.3.2)
    return tlv(0x02, value.to_bytes(octets, "big", signed=True))


def octets(value: bytes) -> bytes:
    """OCTET STRING."""
    return tlv(0x04, value)


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    arcs = [int(arc) for arc in dotted.split(".")]
    body = bytearray()
    for number in (40 * arcs[0] + arcs[1], *arcs[2:]):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return tlv(0x06, bytes(body))


def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    """AlgorithmIdentifier; no parameters unless given."""
    return sequence(oid(dotted), parameters)


@lru_cache(maxsize=16)
def time(at: datetime) -> bytes:
    """UTCTime to 2049, GeneralizedTime from 2050 (RFC 5652 §11.3)."""
    at = at.astimezone(UTC)
    if at.year < 2050:
        return tlv(0x17, at.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, at.strftime("%Y%m%d%H%M%SZ").encode())


def attribute(dotted: str, *values: bytes) -> bytes:
    """Attribute: type and SET OF values (RFC 5652 §5.3)."""
    return sequence(oid(dotted), set_of(*values))


def length_of(content: int) -> int:
    """Octets that tag and length of a value of `content` octets take."""
    return len(header(0x30, content))
