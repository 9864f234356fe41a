"""Small conversions between rows and records: JSON columns, identifiers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, no i l o u


def new_id(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A random identifier of 26 characters (130 bits), safe in file names and mail headers."""
    number = int.from_bytes(random_bytes(17), "big")
    return "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(26))


def pack(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def strings(text: str) -> tuple[str, ...]:
    """A JSON list of strings as a tuple."""
    return tuple(json.loads(text))


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """A JSON list of pairs of strings as a tuple of pairs."""
    return tuple((str(name), str(value)) for name, value in json.loads(text))


def iso(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds."""
    return at.astimezone(UTC).isoformat()
