"""What came of each mail: written with its audit record as soon as the store takes it, and counted (I1, I2)."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from dcc.gateway.metrics import Metrics
from dcc.gateway.relaying import Rejected, Sent, Uncertain
from dcc.gateway.services import Services
from dcc.gateway.undelivered import tell, tell_uncertain
from dcc.mailbox import outbox
from dcc.mailbox.database import DatabaseFull, DatabaseGone
from dcc.mailbox.records import AuditRecord, Delivery, DeliveryState
from dcc.router.reasons import Reason

LONGEST_DELAY = timedelta(hours=4)
FEWEST_ATTEMPTS = 8  # nine hours of them with the default delay


@dataclass(frozen=True, slots=True)
class Done:
    """A mail that has been handed over; `message_id` None: it was committed before."""

    delivery: Delivery
    path: Path
    message_id: str | None
    outcome: Sent | Rejected | Uncertain

    def state(self) -> tuple[str, str]:
        """The state and the reply's code."""
        match self.outcome:
            case Sent():
                return "sent", ""
            case Rejected(code):
                return "failed", code
        return "uncertain", ""

    def told(self) -> Delivery:
        """The delivery with its Message-ID, for the audit."""
        return self.delivery if self.message_id is None else replace(self.delivery, message_id=self.message_id)


class Outcomes:
    """Writes them; shared by the threads that send."""

    def __init__(self, services: Services, clock: Callable[[], datetime], metrics: Metrics | None) -> None:
        self._services = services
        self._clock = clock
        self._metrics = metrics
        self._unwritten: deque[Callable[[], None]] = deque()

    def interrupted(self, conn: Connection, now: datetime) -> None:
        """Sendings that began and whose worker died: uncertain from now on, never sent again by themselves (I1)."""
        for lost in outbox.interrupted(conn, now=now):
            self.audit(conn, lost, "uncertain", "interrupted", now)
            tell_uncertain(self._services, conn, lost, now)
            self.count(DeliveryState.UNCERTAIN)

    def write_down(self, *records: Callable[[], None]) -> None:
        """What came of a mail is known to us alone: what the store does not take now, it is given later (I1).

        Raises DatabaseGone, DatabaseFull, once everything was tried.
        """
        failure: Exception | None = None
        for record in records:
            try:
                record()
            except (DatabaseGone, DatabaseFull) as error:
                self._unwritten.append(record)
                failure = error
        if failure is not None:
            raise failure

    def write_late(self) -> None:
        """Write what could not be written before. Raises DatabaseGone, DatabaseFull."""
        while self._unwritten:
            try:
                record = self._unwritten.popleft()
            except IndexError:
                return  # another thread was quicker
            self.write_down(record)

    def give_back(self, delivery: Delivery) -> None:
        """Claimed, and nothing of it begun: free for the next worker."""
        with self._services.database.begin() as conn:
            outbox.give_back(conn, delivery.id, attempt=delivery.attempts)

    def settle(self, mails: Sequence[Done]) -> None:
        """What came of these mails, with its audit records, in one transaction; what was sent needs no file."""
        now = self._clock()
        sent = [(one.delivery.id, one.message_id) for one in mails if isinstance(one.outcome, Sent)]
        with self._services.database.begin() as conn:
            outbox.mark_all_sent(conn, sent, now=now)
            for one in mails:
                match one.outcome:
                    case Sent():
                        continue
                    case Rejected(code):
                        fix(conn, one.delivery, one.path, one.message_id)
                        if outbox.mark_failed(conn, one.delivery.id, reason=code):
                            tell(self._services, conn, one.told(), "rejected", now)
                    case _:
                        if outbox.mark_uncertain(conn, one.delivery.id):
                            tell_uncertain(self._services, conn, one.told(), now)
            self._services.audit.append(conn, *(self._audit_of(one.told(), *one.state(), now) for one in mails))
        for one in mails:
            state, _ = one.state()
            self.count(DeliveryState(state))
            if state == "sent":  # a failed one keeps its file, for a person's second try
                one.path.unlink(missing_ok=True)

    def later(self, delivery: Delivery, code: str) -> None:
        """Exponential delay with jitter, until the mail expires (RFC 5321 §4.5.4.1)."""
        relay = self._services.settings.relay
        now = self._clock()
        # One that a person sends again, or that a gateway at rest had kept, is old at once: it is tried some times first
        if self._is_old(delivery, now) and delivery.attempts >= FEWEST_ATTEMPTS:
            with self._services.database.begin() as conn:
                failed = outbox.mark_failed(conn, delivery.id, reason=code[:20], attempt=delivery.attempts)
                if failed:
                    self.audit(conn, delivery, "failed", code, now)
                    tell(self._services, conn, delivery, "expired", now)
            if failed:
                self.count(DeliveryState.FAILED)
            return
        jitter = 0.75 + self._services.random_bytes(1)[0] / 512
        delay = timedelta(seconds=relay.retry_seconds * 2 ** min(max(delivery.attempts, 1) - 1, 10) * jitter)
        with self._services.database.begin() as conn:
            outbox.retry_later(
                conn, delivery.id, due=now + min(delay, LONGEST_DELAY), attempt=delivery.attempts
            )  # fmt: skip

    def defer(self, delivery: Delivery, now: datetime) -> None:
        """Could not be found out whether the reader's card is good: not sent, looked at again (I10).

        It waits for as long as that lasts; from the time on when another mail would be failed, it is told.
        """
        delay = timedelta(seconds=self._services.settings.worker.revocation_retry_seconds)
        with self._services.database.begin() as conn:
            outbox.retry_later(conn, delivery.id, due=now + delay, attempt=delivery.attempts)
            if self._is_old(delivery, now):
                tell(self._services, conn, delivery, "waiting", now)

    def _is_old(self, delivery: Delivery, now: datetime) -> bool:
        return (now - delivery.created_at).total_seconds() > self._services.settings.relay.expire_seconds

    def withhold(self, delivery: Delivery, why: Reason, now: datetime) -> None:
        """The right to receive it has ended: it does not leave, and its file goes (I4).

        Not where we were slower than our lease: the mail, and the file of its name, is another worker's now.
        """
        with self._services.database.begin() as conn:
            withheld = outbox.mark_withheld(conn, delivery.id, reason=why.code, attempt=delivery.attempts)
            if withheld:
                self.audit(conn, delivery, "withheld", why.code, now)
        if not withheld:
            return
        if delivery.sealed_file is not None:
            (self._services.outbox_directory / delivery.sealed_file).unlink(missing_ok=True)
        self.count(DeliveryState.WITHHELD)

    def audit(self, conn: Connection, delivery: Delivery, state: str, code: str, now: datetime) -> None:
        """Write what became of one mail."""
        self._services.audit.append(conn, self._audit_of(delivery, state, code, now))

    def _audit_of(self, delivery: Delivery, state: str, code: str, now: datetime) -> AuditRecord:
        return AuditRecord(
            at=now, tag=f"gateway:delivery:{state}", actor="gateway", certificate=None, message=delivery.message,
            mail_message_id=delivery.message_id, folder=delivery.folder, document=",".join(delivery.documents) or None,
            decision=state, code=code[:20] or None,
            detail=json.dumps({"delivery": delivery.id, "account": delivery.account, "kind": delivery.kind}),
        )  # fmt: skip

    def count(self, state: DeliveryState) -> None:
        """One more mail has come to this state."""
        if self._metrics is not None:
            self._metrics.deliveries.labels(state=state.value).inc()


def fix(conn: Connection, delivery: Delivery, path: Path, message_id: str | None) -> None:
    """The sealed file and its Message-ID, once and for ever; None: they are known already."""
    if message_id is not None:
        outbox.mark_sealed(conn, delivery.id, message_id=message_id, sealed_file=path.name)
