"""What waits for the operator, and which of the few mails an hour that tell of it are still free."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from dcc.mailbox.records import MessageState
from dcc.mailbox.schema import messages, outbox


def free(conn: Connection, keys: Sequence[str]) -> str | None:
    """The first of these dedupe keys that no mail has."""
    taken = set(conn.execute(select(outbox.c.dedupe_key).where(outbox.c.dedupe_key.in_(keys))).scalars())
    return next((one for one in keys if one not in taken), None)


def waiting(conn: Connection, code: str) -> int:
    """How many messages are held for this reason."""
    held = (messages.c.state == MessageState.HELD.value, messages.c.reason_code == code)
    return int(conn.execute(select(func.count()).select_from(messages).where(*held)).scalar_one())
