"""What a wrong clock has put off: a machine that starts years ahead and is then put right must not forget mail (I1).

A row that came in the future, by the clock of now, or that waits for longer than anything ever does, is due now; and it
came now: a card judged at a reception that is still to come would have no opposition list to be judged by, for ever.
The clock of another machine may differ a little: within `SKEW` nothing is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, and_, case, or_, select, update

from dcc.mailbox.messages import IN_PROGRESS
from dcc.mailbox.records import DeliveryState, MessageState
from dcc.mailbox.schema import messages, outbox

SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Timed:
    """Rows of one table that wait, with the column that says since when they are there."""

    table: Table
    since: str
    waiting: Sequence[str]

    def wrong(self, now: datetime, longest: timedelta) -> ColumnElement[bool]:
        due, since = self.table.c.due, self.table.c[self.since]
        ahead = or_(due > now + longest + SKEW, and_(due > now + SKEW, since > now + SKEW))
        return and_(self.table.c.state.in_(self.waiting), ahead)


TIMED = (
    _Timed(messages, "received_at", (*IN_PROGRESS, MessageState.HELD.value)),
    _Timed(outbox, "created_at", (DeliveryState.QUEUED.value,)),
)


def misset(conn: Connection, *, now: datetime, longest: timedelta) -> bool:
    """Whether anything is to be set right; `longest`: what the latest timer may still wait."""
    found = (conn.execute(select(one.table.c.id).where(one.wrong(now, longest)).limit(1)).first() for one in TIMED)
    return any(row is not None for row in found)


def set_right(conn: Connection, *, now: datetime, longest: timedelta) -> int:
    """Make due what only a wrong clock can have put off; how many rows.

    A lease is not touched: a worker that lives renews it by the right clock, and that of a dead one is given back.
    """
    changed = 0
    for one in TIMED:
        since = one.table.c[one.since]
        came = case((since > now, now), else_=since)
        changed += conn.execute(
            update(one.table).where(one.wrong(now, longest)).values({"due": now, one.since: came})
        ).rowcount
    return changed
