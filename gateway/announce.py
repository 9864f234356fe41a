"""Brings each owed mail to its reader: rights checked again, composed, sealed, sent, and every step committed (I1, I4).

Life of a delivery: queued, sealed (the file is durable, its Message-ID fixed), started (committed before DATA), then
sent, queued for later, failed or uncertain; withheld when the right to receive it has ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection

from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.metrics import Metrics
from dcc.gateway.relaying import Outcome, Rejected, Relay, Sent, TryLater, Uncertain
from dcc.gateway.services import Services
from dcc.mailbox import outbox, people
from dcc.mailbox.records import AuditRecord, Delivery, DeliveryState
from dcc.mailbox.spool import fsync_directory
from dcc.router.compose import Composed, Composer, NothingToSay
from dcc.router.composeparts import EncodedDeposits
from dcc.router.distribute import still_allowed
from dcc.router.reasons import Reason
from dcc.smime.errors import SmimeError
from dcc.smime.seal import Profile, seal
from dcc.smime.signer import key_signer

LEASE = timedelta(minutes=15)
BATCH = 8  # mails claimed at a time: one commit for the claim of a whole deposit's mails
SWEEP = timedelta(seconds=30)  # how often broken sendings are looked for
LONGEST_DELAY = timedelta(hours=4)
log = structlog.get_logger("dcc.announce")


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
        self._composer = Composer(settings.address, settings.name, settings.product, encoded, services.random_bytes)
        self._signer = key_signer(services.keys.signing)
        self._profile = Profile(extra_certificates=(services.keys.decryption[0].certificate,))
        self._swept: datetime | None = None

    def run_once(self, limit: int = BATCH) -> int:
        """Claim due mails and bring each as far as it goes; returns how many were claimed."""
        now = self._clock()
        with self._services.database.begin() as conn:
            if self._swept is None or now - self._swept >= SWEEP:
                self._swept = now
                for lost in outbox.interrupted(conn, now=now):
                    self._audit(conn, lost, "uncertain", "interrupted", now)
            claimed = outbox.claim_due(conn, now=now, lease=LEASE, limit=limit)
        for delivery in claimed:
            self._guarded(delivery)
        return len(claimed)

    def _guarded(self, delivery: Delivery) -> None:
        """A mail that cannot be made is tried again, then failed, visible to the operator (I2)."""
        try:
            self._announce(delivery)
        except (SmimeError, NothingToSay, OSError, ValueError, LookupError) as error:
            log.error("announce_failed", delivery=delivery.id, error=type(error).__name__)  # noqa: TRY400
            self._later(delivery, type(error).__name__)

    def _announce(self, delivery: Delivery) -> None:
        now = self._clock()
        with self._services.database.read() as conn:
            why = still_allowed(delivery, conn=conn, now=now, judge=self._services.judge_stored(self._clock))
        if why is not None and why.outcome == "deferred":
            self._defer(delivery, now)
            return
        if why is not None and why.outcome != "notice":
            self._withhold(delivery, why, now)
            return
        path, message_id = self._sealed(delivery, why, now)
        self._send(delivery, path, message_id)

    def _sealed(self, delivery: Delivery, why: Reason | None, now: datetime) -> tuple[Path, str | None]:
        """The finished mail, and its Message-ID when it is new: it is committed with the next step.

        A mail sealed before a crash is sent as it is, if it still may be.
        """
        kind = "notice" if why is not None and why.outcome == "notice" else delivery.kind
        if delivery.sealed_file is not None and kind == delivery.kind:
            path = self._services.outbox_directory / delivery.sealed_file
            if path.exists():
                return path, None
        date = now.replace(microsecond=0)  # Date and signingTime are one reading of the clock
        with self._services.database.read() as conn:
            composed = self._composer.compose(
                delivery, conn=conn, kind=kind, why=None if why is None else why.code,
                encrypt=self._may_encrypt(conn, delivery, kind), now=date,
            )  # fmt: skip
        path = self._write(delivery, composed)
        checkpoint("after-sealed")
        return path, composed.headers.message_id

    def _may_encrypt(self, conn, delivery: Delivery, kind: str) -> bool:  # type: ignore[no-untyped-def]
        """Whether the account's certificate can be used now (R-USAGE); a report was checked by `still_allowed`."""
        if kind in {"report", "notice"} or delivery.account is None:
            return kind == "report"
        account = people.get_account(conn, delivery.account)
        if account is None or account.encryption_certificate is None:
            return False
        verdict = self._services.judge(account.encryption_certificate, at=self._clock(), purpose="encrypt").verdict
        return verdict.value in {"VALID", "REVOCATION_UNKNOWN"}

    def _write(self, delivery: Delivery, composed: Composed) -> Path:
        """Seal into the outbox folder, durably; the file holds ciphertext or a neutral text only."""
        directory = self._services.outbox_directory
        aside, path = directory / f"{delivery.id}.part", directory / f"{delivery.id}.eml"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb", 1 << 18) as out:
            seal(
                composed.headers, composed.content, composed.content_headers, signer=self._signer,
                recipient=composed.encrypt_to, profile=self._profile, out=out, random_bytes=self._services.random_bytes,
            )  # fmt: skip
            out.flush()
            os.fsync(out.fileno())
        aside.rename(path)
        if not self._relay.idempotent:
            fsync_directory(directory)  # elsewhere a lost name is harmless: the mail is sealed again
        return path

    def _send(self, delivery: Delivery, path: Path, message_id: str | None) -> None:
        """Before DATA the Message-ID and the beginning are committed; a relay that may be asked twice needs neither."""
        if not self._relay.idempotent:
            with self._services.database.begin() as conn:
                _fix(conn, delivery, path, message_id)
                outbox.mark_started(conn, delivery.id, now=self._clock())
            message_id = None
            checkpoint("after-started")
        outcome = self._relay.send(
            path, sender=self._services.settings.gateway.address, recipient=delivery.mailbox, delivery_id=delivery.id
        )
        checkpoint("after-relay")
        self._record(delivery, outcome, path, message_id)
        if not isinstance(outcome, TryLater | Uncertain):
            path.unlink(missing_ok=True)

    def _record(self, delivery: Delivery, outcome: Outcome, path: Path, message_id: str | None) -> None:
        now = self._clock()
        match outcome:
            case TryLater(code):
                self._later(delivery, code)
                return
            case Sent():
                state, code = "sent", ""
            case Rejected(code):
                state = "failed"
            case Uncertain():
                state, code = "uncertain", ""
        with self._services.database.begin() as conn:
            _fix(conn, delivery, path, message_id)
            if state == "sent":
                outbox.mark_sent(conn, delivery.id, now=now)
            elif state == "failed":
                outbox.mark_failed(conn, delivery.id, reason=code)
            else:
                outbox.mark_uncertain(conn, delivery.id)
            told = delivery if message_id is None else replace(delivery, message_id=message_id)
            self._audit(conn, told, state, code, now)
        self._count(DeliveryState(state))

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
            outbox.retry_later(conn, delivery.id, due=now + min(delay, LONGEST_DELAY))

    def _defer(self, delivery: Delivery, now: datetime) -> None:
        """Could not be found out whether the reader's card is good: not sent, looked at again (I10)."""
        delay = timedelta(seconds=self._services.settings.worker.revocation_retry_seconds)
        with self._services.database.begin() as conn:
            outbox.retry_later(conn, delivery.id, due=now + delay)

    def _withhold(self, delivery: Delivery, why: Reason, now: datetime) -> None:
        with self._services.database.begin() as conn:
            outbox.mark_withheld(conn, delivery.id, reason=why.code)
            self._audit(conn, delivery, "withheld", why.code, now)
        if delivery.sealed_file is not None:
            (self._services.outbox_directory / delivery.sealed_file).unlink(missing_ok=True)
        self._count(DeliveryState.WITHHELD)

    def _audit(self, conn, delivery: Delivery, state: str, code: str, now: datetime) -> None:  # type: ignore[no-untyped-def]
        self._services.audit.append(
            conn,
            AuditRecord(
                at=now, tag=f"gateway:delivery:{state}", actor="gateway", certificate=None, message=delivery.message,
                mail_message_id=delivery.message_id, folder=delivery.folder,
                document=",".join(delivery.documents) or None, decision=state, code=code[:20] or None,
                detail=json.dumps({"delivery": delivery.id, "account": delivery.account, "kind": delivery.kind}),
            ),
        )  # fmt: skip

    def _count(self, state: DeliveryState) -> None:
        if self._metrics is not None:
            self._metrics.deliveries.labels(state=state.value).inc()


def _fix(conn: Connection, delivery: Delivery, path: Path, message_id: str | None) -> None:
    """The sealed file and its Message-ID, once and for ever; None: they are known already."""
    if message_id is not None:
        outbox.mark_sealed(conn, delivery.id, message_id=message_id, sealed_file=path.name)
