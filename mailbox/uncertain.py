"""The mail that says "may have arrived": owed again where it was kept back once, and the question has come again."""

from __future__ import annotations

from sqlalchemy import Connection, update

from dcc.mailbox import outbox
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.mailbox.schema import outbox as table


def owe(conn: Connection, delivery: Delivery) -> bool:
    """Owe it, once for each of its dedupe keys until it is sent; False where it is owed, or was sent, already."""
    if outbox.enqueue(conn, delivery):
        return True
    kept_back = update(table).where(
        table.c.dedupe_key == delivery.dedupe_key, table.c.state == DeliveryState.WITHHELD.value
    )
    values = {
        "state": DeliveryState.QUEUED.value, "due": delivery.due, "reason": delivery.reason, "attempts": 0,
        "started_at": None, "sealed_file": None,
    }  # fmt: skip
    return conn.execute(kept_back.values(**values)).rowcount == 1
