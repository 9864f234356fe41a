"""Brings each owed mail to its reader: rights checked again, composed, sealed, sent, and every step committed (I1, I4).

Life of a delivery: queued, sealed (the file is durable, its Message-ID fixed), started (committed before DATA), then
sent, queued for later, failed or uncertain; withheld when the right to receive it has ended.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby
from pathlib import Path

import structlog
from sqlalchemy import Connection

from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.metrics import Metrics
from dcc.gateway.relaying import Rejected, Relay, Sent, TryLater, Uncertain
from dcc.gateway.services import Services
from dcc.mailbox import outbox
from dcc.mailbox.database import DatabaseFull, DatabaseGone
from dcc.mailbox.records import AuditRecord, Delivery, DeliveryState
from dcc.mailbox.snapshot import Snapshot
from dcc.mailbox.spool import fsync_directory
from dcc.router.compose import Composed, Composer, Composing, NothingToSay
from dcc.router.composeparts import EncodedDeposits
from dcc.router.distribute import CardJudge, still_allowed
from dcc.router.reasons import Reason
from dcc.smime.errors import SmimeError
from dcc.smime.seal import Profile, seal
from dcc.smime.signer import key_signer

BATCH = 8  # mails claimed at a time: one commit for the claim of a whole deposit's mails
SWEEP = timedelta(seconds=30)  # how often broken sendings are looked for
LONGEST_DELAY = timedelta(hours=4)
UNMADE = (SmimeError, NothingToSay, OSError, ValueError, LookupError)  # what keeps one mail from being made
log = structlog.get_logger("dcc.announce")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done with one mail: a reason not to send it as owed, a file sealed before, or words to seal."""

    why: Reason | None = None
    path: Path | None = None
    composed: Composed | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class _Done:
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


class Announcer:
    """Sends what is due; safe to run in several threads or processes at once."""

    def __init__(
        self, services: Services, relay: Relay, clock: Callable[[], datetime], metrics: Metrics | None = None
    ) -> None:
        self._services = services
        self._relay = relay
        self._clock = clock
        self._metrics = metrics
        settings = services.settings.gateway
        encoded = EncodedDeposits(services.blobs, services.workdir, services.random_bytes)
        self._composer = Composer(
            settings.address, settings.name, settings.product, encoded, services.random_bytes, services.unseal_secret
        )
        self._signer = key_signer(services.keys.signing)
        self._profile = Profile(extra_certificates=(services.keys.decryption[0].certificate,))
        self._swept: datetime | None = None
        self._lease = timedelta(seconds=services.settings.relay.lease_seconds)
        self._unwritten: deque[Callable[[], None]] = deque()
        self._finishing = threading.Event()

    def finish(self) -> None:
        """The gateway ends: the mail being sent is finished, those that were only claimed are given back."""
        self._finishing.set()

    def close(self) -> None:
        """This thread sends no more."""
        self._relay.close()

    def run_once(self, limit: int = BATCH) -> int:
        """Claim due mails and bring each as far as it goes; returns how many were claimed."""
        self._write_late()
        now = self._clock()
        with self._services.database.begin() as conn:
            if self._swept is None or now - self._swept >= SWEEP:
                self._swept = now
                for lost in outbox.interrupted(conn, now=now):
                    self._audit(conn, lost, "uncertain", "interrupted", now)
            claimed = outbox.claim_due(
                conn, now=now, lease=self._lease, limit=limit, owner=self._services.owner
            )  # fmt: skip
        if not claimed:
            self._relay.rest()
        waiting = deque(claimed)
        settled: list[_Done] = []
        try:
            for _, mails in groupby(claimed, key=lambda one: one.message):
                for delivery, plan in self._plans(list(mails)):
                    if self._finishing.is_set():
                        break
                    waiting.popleft()
                    done = self._guarded(delivery, plan)
                    if done is not None:
                        settled.append(done)
        finally:
            if settled:
                self._write_down(partial(self._settle, settled))
            for one in waiting:
                self._write_down(partial(self._give_back, one))
        return len(claimed)

    def _write_down(self, record: Callable[[], None]) -> None:
        """What came of a mail is known to us alone: it is written as soon as the store is back (I1)."""
        try:
            record()
        except (DatabaseGone, DatabaseFull):
            self._unwritten.append(record)
            raise

    def _write_late(self) -> None:
        while self._unwritten:
            try:
                record = self._unwritten.popleft()
            except IndexError:
                return  # another thread was quicker
            self._write_down(record)

    def _give_back(self, delivery: Delivery) -> None:
        """Claimed, and nothing of it begun: due again now."""
        with self._services.database.begin() as conn:
            outbox.retry_later(conn, delivery.id, due=delivery.due, attempt=delivery.attempts)

    def _plans(self, mails: Sequence[Delivery]) -> list[tuple[Delivery, _Plan]]:
        """Rights and content of the mails of one message, read in one moment of the store (I4)."""
        judge = cache(self._services.judge_stored(self._clock))
        with self._services.database.read() as conn:
            composing = self._composer.begin(Snapshot(conn))
            return [(one, self._plan(one, composing, judge)) for one in mails]

    def _plan(self, delivery: Delivery, composing: Composing, judge: CardJudge) -> _Plan:
        now = self._clock()
        try:
            why = still_allowed(delivery, store=composing.store, now=now, judge=judge, matrix=self._services.matrix)
            if why is not None and why.outcome != "notice":
                return _Plan(why)
            kind = delivery.kind if why is None else "notice"
            path = self._sealed_before(delivery, kind)
            if path is not None:
                return _Plan(why, path)
            composed = composing.compose(
                delivery, kind=kind, why=None if why is None else why.code,
                encrypt=_may_encrypt(delivery, kind, composing.store, judge),
                now=now.replace(microsecond=0),  # Date and signingTime are one reading of the clock
            )  # fmt: skip
        except UNMADE as error:
            return _Plan(failure=type(error).__name__)
        return _Plan(why, composed=composed)

    def _guarded(self, delivery: Delivery, plan: _Plan) -> _Done | None:
        """A mail that cannot be made is tried again, then failed, visible to the operator (I2)."""
        failure = plan.failure
        if failure is None:
            try:
                return self._carry_out(delivery, plan)
            except UNMADE as error:
                failure = type(error).__name__
        log.error("announce_failed", delivery=delivery.id, error=failure)
        self._later(delivery, failure)
        return None

    def _carry_out(self, delivery: Delivery, plan: _Plan) -> _Done | None:
        """Seal and send one mail, or keep it back; what came of it, unless that is recorded already."""
        if plan.path is not None:
            return self._send(delivery, plan.path, None)
        if plan.composed is not None:
            path = self._write(delivery, plan.composed)
            checkpoint("after-sealed")
            return self._send(delivery, path, plan.composed.headers.message_id)
        if plan.why is not None and plan.why.outcome == "deferred":
            self._defer(delivery, self._clock())
        elif plan.why is not None:
            self._withhold(delivery, plan.why, self._clock())
        return None

    def _sealed_before(self, delivery: Delivery, kind: str) -> Path | None:
        """A mail sealed before a crash is sent as it is, if it still may be."""
        if delivery.sealed_file is None or kind != delivery.kind:
            return None
        path = self._services.outbox_directory / delivery.sealed_file
        return path if path.exists() else None

    def _write(self, delivery: Delivery, composed: Composed) -> Path:
        """Seal into the outbox folder, durably; the file holds ciphertext or a neutral text only."""
        directory = self._services.outbox_directory
        aside, path = directory / f"{delivery.id}.part", directory / f"{delivery.id}.eml"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb", 1 << 18) as out:
                seal(
                    composed.headers, composed.content, composed.content_headers, signer=self._signer,
                    recipient=composed.encrypt_to, profile=self._profile, out=out,
                    random_bytes=self._services.random_bytes,
                )  # fmt: skip
                out.flush()
                os.fsync(out.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)  # on a full disk every octet counts
            raise
        if not self._relay.idempotent:
            fsync_directory(directory)  # elsewhere a lost name is harmless: the mail is sealed again
        return path

    def _send(self, delivery: Delivery, path: Path, message_id: str | None) -> _Done | None:
        """Before DATA the Message-ID and the beginning are committed, and its outcome at once.

        A relay that may be asked twice needs neither: the mails of a batch are recorded together.
        """
        if not self._relay.idempotent:
            with self._services.database.begin() as conn:
                if not outbox.mark_started(
                    conn, delivery.id, now=self._clock(), lease=self._lease, attempt=delivery.attempts
                ):
                    return None  # we were slower than our lease: it is another worker's now
                _fix(conn, delivery, path, message_id)
            delivery, message_id = replace(delivery, message_id=message_id or delivery.message_id), None
            checkpoint("after-started")
        outcome = self._relay.send(
            path, sender=self._services.settings.gateway.address, recipient=delivery.mailbox, delivery_id=delivery.id
        )
        checkpoint("after-relay")
        if isinstance(outcome, TryLater):
            self._write_down(partial(self._later, delivery, outcome.code))
            return None
        done = _Done(delivery, path, message_id, outcome)
        if self._relay.idempotent:
            return done
        self._write_down(partial(self._settle, [done]))
        return None

    def _settle(self, mails: Sequence[_Done]) -> None:
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
                        _fix(conn, one.delivery, one.path, one.message_id)
                        outbox.mark_failed(conn, one.delivery.id, reason=code)
                    case _:
                        outbox.mark_uncertain(conn, one.delivery.id)
            self._services.audit.append(conn, *(self._audit_of(one.told(), *one.state(), now) for one in mails))
        for one in mails:
            state, _ = one.state()
            self._count(DeliveryState(state))
            if state == "sent":  # a failed one keeps its file, for a person's second try
                one.path.unlink(missing_ok=True)

    def _later(self, delivery: Delivery, code: str) -> None:
        """Exponential delay with jitter, until the mail expires (RFC 5321 §4.5.4.1)."""
        relay = self._services.settings.relay
        now = self._clock()
        if (now - delivery.created_at).total_seconds() > relay.expire_seconds:
            with self._services.database.begin() as conn:
                outbox.mark_failed(conn, delivery.id, reason=code[:20])
                self._audit(conn, delivery, "failed", code, now)
            self._count(DeliveryState.FAILED)
            return
        jitter = 0.75 + self._services.random_bytes(1)[0] / 512
        delay = timedelta(seconds=relay.retry_seconds * 2 ** min(max(delivery.attempts, 1) - 1, 10) * jitter)
        with self._services.database.begin() as conn:
            outbox.retry_later(
                conn, delivery.id, due=now + min(delay, LONGEST_DELAY), attempt=delivery.attempts
            )  # fmt: skip

    def _defer(self, delivery: Delivery, now: datetime) -> None:
        """Could not be found out whether the reader's card is good: not sent, looked at again (I10)."""
        delay = timedelta(seconds=self._services.settings.worker.revocation_retry_seconds)
        with self._services.database.begin() as conn:
            outbox.retry_later(conn, delivery.id, due=now + delay, attempt=delivery.attempts)

    def _withhold(self, delivery: Delivery, why: Reason, now: datetime) -> None:
        with self._services.database.begin() as conn:
            outbox.mark_withheld(conn, delivery.id, reason=why.code)
            self._audit(conn, delivery, "withheld", why.code, now)
        if delivery.sealed_file is not None:
            (self._services.outbox_directory / delivery.sealed_file).unlink(missing_ok=True)
        self._count(DeliveryState.WITHHELD)

    def _audit(self, conn: Connection, delivery: Delivery, state: str, code: str, now: datetime) -> None:
        self._services.audit.append(conn, self._audit_of(delivery, state, code, now))

    def _audit_of(self, delivery: Delivery, state: str, code: str, now: datetime) -> AuditRecord:
        return AuditRecord(
            at=now, tag=f"gateway:delivery:{state}", actor="gateway", certificate=None, message=delivery.message,
            mail_message_id=delivery.message_id, folder=delivery.folder, document=",".join(delivery.documents) or None,
            decision=state, code=code[:20] or None,
            detail=json.dumps({"delivery": delivery.id, "account": delivery.account, "kind": delivery.kind}),
        )  # fmt: skip

    def _count(self, state: DeliveryState) -> None:
        if self._metrics is not None:
            self._metrics.deliveries.labels(state=state.value).inc()


def _fix(conn: Connection, delivery: Delivery, path: Path, message_id: str | None) -> None:
    """The sealed file and its Message-ID, once and for ever; None: they are known already."""
    if message_id is not None:
        outbox.mark_sealed(conn, delivery.id, message_id=message_id, sealed_file=path.name)


def _may_encrypt(delivery: Delivery, kind: str, store: Snapshot, judge: CardJudge) -> bool:
    """Whether the account's certificate can be used now (R-USAGE); a report was checked by `still_allowed`."""
    if kind in {"report", "notice"} or delivery.account is None:
        return kind == "report"
    account = store.account(delivery.account)
    if account is None or account.encryption_certificate is None:
        return False
    return judge(account.encryption_certificate, "encrypt") in {"VALID", "REVOCATION_UNKNOWN"}
