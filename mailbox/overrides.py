"""Overrides of stale opposition lists: who decided it, why, and until when it holds at the latest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from dcc.mailbox.schema_trust import crl_overrides


@dataclass(frozen=True, slots=True)
class Override:
    """One decision; `ended_at`: ended before its time."""

    id: str
    start: datetime
    until: datetime
    ended_at: datetime | None
    operator: str
    because: str

    def holds(self, at: datetime) -> bool:
        """Whether it is in force at this time."""
        return self.start <= at < (self.ended_at or self.until)


def add(conn: Connection, override: Override) -> None:
    """Record one."""
    conn.execute(insert(crl_overrides).values(**asdict(override)))


def in_force(conn: Connection, at: datetime) -> Override | None:
    """The one in force at this time that lasts longest."""
    query = (
        select(crl_overrides)
        .where(crl_overrides.c.start <= at, crl_overrides.c.until > at, crl_overrides.c.ended_at.is_(None))
        .order_by(crl_overrides.c.until.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else Override(**row._mapping)


def every(conn: Connection) -> list[Override]:
    """All of them, the newest first."""
    query = select(crl_overrides).order_by(crl_overrides.c.start.desc(), crl_overrides.c.id)
    return [Override(**row._mapping) for row in conn.execute(query)]


def end(conn: Connection, at: datetime) -> int:
    """End whatever is in force; returns how many."""
    done = conn.execute(
        update(crl_overrides).where(crl_overrides.c.until > at, crl_overrides.c.ended_at.is_(None)).values(ended_at=at)
    )
    return done.rowcount
