"""Timers as rows: what must be done at a time survives a restart."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from dcc.mailbox.rows import insert_new, pack
from dcc.mailbox.schema import timers


def set_timer(conn: Connection, key: str, *, due: datetime, payload: dict[str, Any]) -> None:
    """Set or move one timer."""
    row = {"key": key, "due": due, "payload": pack(payload), "attempts": 0}
    if not insert_new(conn, timers, [row], timers.c.key):
        conn.execute(update(timers).where(timers.c.key == key).values(due=due, payload=pack(payload), attempts=0))


def clear_timer(conn: Connection, key: str) -> None:
    """Forget one timer."""
    conn.execute(delete(timers).where(timers.c.key == key))


def due_timers(conn: Connection, *, now: datetime, limit: int = 100) -> list[tuple[str, dict[str, Any]]]:
    """The timers whose time has come: (key, payload)."""
    query = select(timers.c.key, timers.c.payload).where(timers.c.due <= now).order_by(timers.c.due).limit(limit)
    return [(key, json.loads(payload)) for key, payload in conn.execute(query)]
