"""Leases of work that lasts are renewed while it lasts, so that no second worker takes it up, within a bound (I1, I8)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Connection

from dcc.mailbox.database import Database, DatabaseFull, DatabaseGone

BEATS = 4  # renewals within the life of a lease: two may fail
MOST_LEASES = 6  # as long as this many leases work is believed to live; then another worker may try, and it is counted
LONGEST_PAUSE = 30.0  # seconds
log = structlog.get_logger("dcc.leases")


class Claimed(Protocol):
    """A row under a lease, and the attempt under which it was claimed."""

    @property
    def id(self) -> str: ...
    @property
    def attempts(self) -> int: ...


# Holds the leases of rows that are still ours: id -> attempt
Renew = Callable[[Connection, Mapping[str, int], datetime], int]


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one table, for how long a lease of theirs is, and how it is renewed."""

    name: str
    lease: timedelta
    renew: Renew


@dataclass(frozen=True, slots=True)
class _Held:
    kind: Kind
    attempt: int
    since: float


class Leases:
    """What the threads of this process work on just now."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._held: dict[tuple[str, str], _Held] = {}
        self._lock = threading.Lock()
        self._monotonic = monotonic

    def hold(self, kind: Kind, rows: Iterable[Claimed]) -> None:
        """These were claimed and are being worked on."""
        now = self._monotonic()
        with self._lock:
            for row in rows:
                self._held[kind.name, row.id] = _Held(kind, row.attempts, now)

    def drop(self, kind: Kind, rows: Iterable[Claimed]) -> None:
        """They are not worked on any more, whatever came of them; one that was claimed again since stays held."""
        with self._lock:
            for row in rows:
                held = self._held.get((kind.name, row.id))
                if held is not None and held.attempt == row.attempts:
                    del self._held[kind.name, row.id]

    def renew(self, database: Database, now: datetime) -> int:
        """Hold everything that is still ours for one lease more; how many rows. Raises DatabaseGone, DatabaseFull.

        Work that has lasted too long is not held any more: it hangs, and must not keep the row for ever (I8).
        """
        work: dict[str, tuple[Kind, dict[str, int]]] = {}
        with self._lock:
            for (name, row_id), held in list(self._held.items()):
                if self._monotonic() - held.since > MOST_LEASES * held.kind.lease.total_seconds():
                    del self._held[name, row_id]
                    log.error("work_too_long", kind=name, id=row_id)
                else:
                    work.setdefault(name, (held.kind, {}))[1][row_id] = held.attempt
        if not work:
            return 0
        with database.passing() as conn:
            return sum(kind.renew(conn, rows, now + kind.lease) for kind, rows in work.values())

    async def run(self, database: Database, clock: Callable[[], datetime], shortest: timedelta) -> None:
        """Until cancelled; `shortest` is the shortest lease of this process."""
        pause = min(shortest.total_seconds() / BEATS, LONGEST_PAUSE)
        while True:
            await asyncio.sleep(pause)
            try:
                await asyncio.to_thread(self.renew, database, clock())
            except (DatabaseGone, DatabaseFull) as error:
                log.error("not_renewed", error=type(error).__name__)  # noqa: TRY400  the next beat tries again
