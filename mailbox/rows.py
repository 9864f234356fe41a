"""Small conversions between rows and records: JSON columns, identifiers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, no i l o u


def new_id(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A random identifier of 26 characters (130 bits), safe in file names and mail headers."""
    number = int.from_bytes(random_bytes(17), "big")
    return "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(26))


def pack(value: Any) -> str:
    """Compact JSON."""
    return storable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def storable(text: str) -> str:
    """Text that both engines take: PostgreSQL refuses NUL, and neither takes half a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def insert_new(conn: Connection, table: Table, rows: Sequence[dict[str, Any]], returning: Column[Any]) -> set[Any]:
    """Insert the rows that break no unique key, whoever else writes; returns `returning` of those."""
    if not rows:
        return set()
    return set(conn.execute(_insert_new(conn.dialect.name, table, returning), list(rows)).scalars())


@cache
def _insert_new(dialect: str, table: Table, returning: Column[Any]) -> Any:
    build: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return build(table).on_conflict_do_nothing().returning(returning)


def strings(text: str) -> tuple[str, ...]:
    """A JSON list of strings as a tuple."""
    return tuple(json.loads(text))


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """A JSON list of pairs of strings as a tuple of pairs."""
    return tuple((str(name), str(value)) for name, value in json.loads(text))


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, `2025-06-15T12:00:00Z`, with microseconds where there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
