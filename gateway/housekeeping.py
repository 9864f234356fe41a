"""What a running gateway does beside mail: leases of the dead, what has fallen due, new opposition lists, files nobody needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dcc.gateway.alive import Alive
from dcc.gateway.crlupdate import left_indexes
from dcc.gateway.crlwatch import ListWatch
from dcc.gateway.factors import forget_overdue
from dcc.gateway.held import recheck_due
from dcc.gateway.metrics import Metrics
from dcc.gateway.outcomes import LONGEST_DELAY
from dcc.gateway.ownkeys import SOON, days_left
from dcc.gateway.services import Services, load_crls
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.unopenable import WINDOW
from dcc.mailbox import messages, outbox, upkeep, wrongclock
from dcc.mailbox.spool import written_before

ROUND_SECONDS = 5.0
TIDY_SECONDS = 3600.0  # it looks at every file
ANNOUNCE_SECONDS = 86400.0
ORPHAN_AGE = timedelta(hours=24)
log = structlog.get_logger("dcc.housekeeping")


class Housekeeper:
    """Goes round every few seconds for as long as the gateway runs."""

    def __init__(
        self, services: Services, metrics: Metrics, roles: frozenset[str], alive: Alive, clock: Callable[[], datetime]
    ) -> None:
        self._services = services
        self._metrics = metrics
        self._roles = roles
        self._alive = alive
        self._clock = clock
        self._lists = ListWatch(services, metrics)
        self._tidied: float | None = None
        self._announced: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for task in (
                self.take_over, self.set_right, self.reload, self.recheck, self.forget, self.measure, self.watch_keys, self.tidy
            ):  # fmt: skip
                try:
                    await asyncio.to_thread(task)
                except Exception as error:  # noqa: BLE001
                    # Housekeeping must outlive a database that is gone for a while; the next round tries again.
                    log.error("housekeeping_failed", task=task.__name__, error=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(ROUND_SECONDS)

    def take_over(self) -> int:
        """Give back the leases of processes that have died, so that their work goes on at once; how many (I1)."""
        released = 0
        for owner in self._alive.dead():
            with self._services.database.begin() as conn:
                released += messages.release(conn, owner) + outbox.release(conn, owner)
            self._alive.forget(owner)
        if released:
            log.warning("taken_over", leases=released)
            self._services.wake.set()
            self._services.wake_relay.set()
        return released

    def set_right(self) -> int:
        """What was put off by a clock that has been put right since is due; how many rows (I1)."""
        if not self._roles & {"worker", "relay"}:
            return 0
        now, longest = self._clock(), longest_wait(self._services.settings)
        with self._services.database.read() as conn:
            if not wrongclock.misset(conn, now=now, longest=longest):
                return 0
        with self._services.database.begin() as conn:
            count = wrongclock.set_right(conn, now=now, longest=longest)
        log.warning("clock_was_wrong", due_now=count)
        self._services.wake.set()
        self._services.wake_relay.set()
        return count

    def reload(self) -> None:
        """Opposition lists that are new."""
        try:
            load_crls(self._services.settings, self._services.judge.crls)
        except ConfigurationError as error:
            log.error("crl_unreadable", count=len(error.problems))  # noqa: TRY400  the other lists and timers go on

    def recheck(self) -> None:
        """Held messages whose time to be judged again has come."""
        if "worker" in self._roles:
            recheck_due(self._services, self._clock())

    def forget(self) -> None:
        """Keys of second factors that were sent and never confirmed."""
        if "worker" in self._roles:
            forget_overdue(self._services, self._clock())

    def measure(self) -> None:
        """The gauges."""
        now, metrics, services = self._clock(), self._metrics, self._services
        with services.database.read() as conn:
            by_state = messages.depth_by_state(conn)
            owed, oldest = outbox.queued(conn)
        for state, (count, since) in by_state.items():
            metrics.queue.labels(state=state.value).set(count)
            metrics.queue_age.labels(state=state.value).set(0 if since is None else (now - since).total_seconds())
        metrics.outbox.set(owed)
        metrics.outbox_age.set(0 if oldest is None else (now - oldest).total_seconds())
        metrics.free_disk.set(services.spool.free_bytes())
        self._lists.measure(now)

    def watch_keys(self) -> None:
        """How long the gateway's own certificates last; once a day the log names those that end soon."""
        now = self._clock()
        left = days_left(self._services.keys, now)
        for use, days in left.items():
            self._metrics.own_certificate.labels(use=use).set(days)
        if self._announced is not None and time.monotonic() - self._announced < ANNOUNCE_SECONDS:
            return
        self._announced = time.monotonic()
        for use, days in left.items():
            if days < SOON.days:
                log.warning("own_certificate_ends", use=use, days=int(days))

    def tidy(self) -> None:
        """Once an hour: files that a crash or a full disk left behind."""
        if "worker" not in self._roles or (self._tidied is not None and time.monotonic() - self._tidied < TIDY_SECONDS):
            return
        self._tidied = time.monotonic()
        clear_leftovers(self._services, self._clock() - ORPHAN_AGE)


def longest_wait(settings: Settings) -> timedelta:
    """How far ahead a timer of a message or of a mail is ever set."""
    worker, relay = settings.worker, settings.relay
    seconds = max(worker.retry_seconds * 2**worker.attempts, worker.revocation_retry_seconds, relay.uncertain_seconds)
    return max(timedelta(seconds=seconds), LONGEST_DELAY, WINDOW)


def clear_leftovers(services: Services, older_than: datetime) -> int:
    """Remove files last written before this time that nothing needs; returns how many.

    Spool files without a row: nobody was told that we have them, their senders send again (I1). Spool files of mails
    that came in clear and now lie under a key (I3), whatever their age. Sealed mails that have left. Documents whose
    filing did not come to pass. Indexes of opposition lists that are not held any more.
    """
    removed = 0
    names = list(services.spool.orphans(older_than))
    with services.database.read() as conn:
        known = messages.known_ids(conn, [Path(name).stem for name in names])
        protected = upkeep.protected_messages(conn)
        sealed = outbox.sealed_files(conn)
        blobs = upkeep.orphan_blobs(conn, services.blobs, older_than)
    for name in names:
        if Path(name).stem not in known or name.endswith(".part"):
            services.spool.discard_file(name)
            removed += 1
    for message_id in protected:
        if services.spool.path(message_id).exists():
            services.spool.remove(message_id)
            removed += 1
    mails = [
        path for path in services.outbox_directory.iterdir()
        if path.suffix in {".eml", ".part"} and path.name not in sealed and written_before(path, older_than)
    ]  # fmt: skip
    indexes = left_indexes(services.settings, services.judge.crls, older_than)
    for path in (*mails, *blobs, *indexes):
        path.unlink(missing_ok=True)
        removed += 1
    if removed:
        log.info("tidied", files=removed)
    return removed
