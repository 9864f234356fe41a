"""Brings each owed mail to its reader: rights checked again, composed, sealed, sent, and every step committed (I1, I4).

Life of a delivery: queued, sealed (the file is durable, its Message-ID fixed), started (committed before DATA, if
nothing has changed since it was planned; else it is planned again), then sent, queued for later, failed or uncertain;
withheld when the right to receive it has ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby
from pathlib import Path

import structlog

from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.lastlook import LOOKS, LastLook, Moment, basis
from dcc.gateway.leases import Kind
from dcc.gateway.metrics import Metrics
from dcc.gateway.operatorbox import open_box
from dcc.gateway.originals import original_of
from dcc.gateway.outcomes import Done, Outcomes, fix
from dcc.gateway.relaying import Relay, TryLater
from dcc.gateway.sealers import Finish, Job, Sealers
from dcc.gateway.services import Services
from dcc.gateway.writing import own_profile, profile_for
from dcc.mailbox import outbox
from dcc.mailbox.records import Delivery
from dcc.mailbox.snapshot import Snapshot
from dcc.router.compose import Composed, Composer, Composing, NothingToSay
from dcc.router.composeparts import EncodedDeposits
from dcc.router.distribute import CHANGE, sendable, still_allowed
from dcc.router.readercard import CardJudge, partner_mailbox
from dcc.router.reasons import Reason
from dcc.router.undelivered import known_by_now
from dcc.smime.errors import SmimeError
from dcc.smime.seal import Profile

BATCH = 8  # mails claimed at a time: one commit for the claim of a whole deposit's mails
SWEEP = timedelta(seconds=30)  # how often broken sendings are looked for
UNMADE = (SmimeError, NothingToSay, OSError, ValueError, LookupError)  # what keeps one mail from being made
log = structlog.get_logger("dcc.announce")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done with one mail: a reason not to send it as owed, a file sealed before, or words to seal."""

    moment: Moment
    why: Reason | None = None
    path: Path | None = None
    composed: Composed | None = None
    profile: Profile | None = None
    failure: str | None = None
    rests_on: tuple[object, ...] = ()  # the decisions and the rows that the words were made of


@dataclass(frozen=True, slots=True)
class _Overtaken:
    """Sealed, and nothing of it begun: a right may have ended since it was planned."""

    path: Path


class Announcer:
    """Sends what is due; safe to run in several threads or processes at once."""

    def __init__(
        self,
        services: Services,
        relay: Relay,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
        *,
        at_once: int | None = None,
    ) -> None:
        """`at_once`: mails sealed side by side; None: as many as there are cores."""
        self._services = services
        self._relay = relay
        self._clock = clock
        self._outcomes = Outcomes(services, clock, metrics)
        settings = services.settings.gateway
        encoded = EncodedDeposits(services.blobs, services.workdir, services.random_bytes)
        self._composer = Composer(
            settings.address,
            settings.name,
            settings.product,
            encoded,
            services.random_bytes,
            services.unseal_secret,
            partial(original_of, services),
            settings.ask_receipts,
            open_box(services),
        )
        self._sealers = Sealers(services, at_once=at_once)
        self._look = LastLook(services, clock)
        self._profile = own_profile(services.keys, post_quantum=services.settings.smime.post_quantum)
        self._swept: datetime | None = None
        self._lease = timedelta(seconds=services.settings.relay.lease_seconds)
        self._kind = Kind("mails", self._lease, outbox.renew)
        self._finishing = threading.Event()

    def finish(self) -> None:
        """The gateway ends: the mail being sent is finished, those that were only claimed are given back."""
        self._finishing.set()

    def close(self) -> None:
        """This thread sends no more."""
        self._relay.close()

    def run_once(self, limit: int = BATCH) -> int:
        """Claim due mails and bring each as far as it goes; returns how many were claimed."""
        self._outcomes.write_late()
        now = self._clock()
        if self._swept is None or now - self._swept >= SWEEP:
            self._swept = now
            with self._services.database.begin() as conn:
                self._outcomes.interrupted(conn, now)
        with self._services.database.passing() as conn:  # a lease is worth nothing after a power failure
            claimed = outbox.claim_due(
                conn, now=now, lease=self._lease, limit=limit, owner=self._services.owner
            )  # fmt: skip
        if not claimed:
            self._relay.rest()
        self._services.leases.hold(self._kind, claimed)
        waiting = deque(claimed)
        settled: list[Done] = []
        try:
            for _, mails in groupby(claimed, key=lambda one: one.message):
                plans = self._plans(list(mails))
                files = self._sealers.in_turn(self._job(one, plan) for one, plan in plans)
                for (delivery, plan), sealed in zip(plans, files, strict=True):
                    if self._finishing.is_set():
                        break
                    done = self._guarded(delivery, plan, sealed)
                    if done is not None:
                        settled.append(done)
                    waiting.popleft()
        finally:
            self._services.leases.drop(self._kind, claimed)
            owed = [partial(self._outcomes.settle, settled)] if settled else []
            self._outcomes.write_down(*owed, *(partial(self._outcomes.give_back, one) for one in waiting))
        return len(claimed)

    def _plans(self, mails: Sequence[Delivery], before: _Plan | None = None) -> list[tuple[Delivery, _Plan]]:
        """Rights and content of the mails of one message, read in one moment of the store (I4)."""
        judge = cache(self._services.judge_stored(self._clock))
        with self._services.database.read() as conn:
            moment = self._look.moment(conn)
            store = Snapshot(conn)
            store.expect([one.account for one in mails if one.account is not None])
            composing = self._composer.begin(store)
            return [(one, self._plan(one, composing, judge, moment, before)) for one in mails]

    def _plan(
        self, delivery: Delivery, composing: Composing, judge: CardJudge, moment: Moment, before: _Plan | None
    ) -> _Plan:
        """`before`: what was planned and sealed already; it stands where everything that it rests on is the same."""
        now = self._clock()
        try:
            why = known_by_now(delivery, composing.store.conn) or still_allowed(
                delivery, store=composing.store, now=now, judge=judge, rules=self._services.rules
            )
            if why is not None and why.outcome != "notice":
                return _Plan(moment, why)
            kind = "notice" if why is not None and delivery.kind != CHANGE else delivery.kind
            encrypt = why is None and _may_encrypt(delivery, kind, composing.store, judge)
            rests_on = (why, encrypt, *basis(delivery, composing.store))
            if before is not None and before.rests_on == rests_on:
                return replace(before, moment=moment)
            path = self._sealed_before(delivery, composing.store) if why is None else None
            if path is not None:
                return _Plan(moment, why, path, rests_on=rests_on)
            composed = composing.compose(
                delivery, kind=kind, why=None if why is None else why.code,
                encrypt=encrypt,
                now=now.replace(microsecond=0),  # Date and signingTime are one reading of the clock
            )  # fmt: skip
        except UNMADE as error:
            return _Plan(moment, failure=type(error).__name__)
        profile = self._profile_for(delivery, composed, composing.store)
        return _Plan(moment, why, composed=composed, profile=profile, rests_on=rests_on)

    def _profile_for(self, delivery: Delivery, composed: Composed, store: Snapshot) -> Profile:
        """How this reader's mail is sealed."""
        if composed.encrypt_to is None:
            return self._profile
        announced = () if delivery.account is None else store.capabilities(delivery.account)
        return profile_for(
            delivery.mailbox, composed.encrypt_to, announced, base=self._profile,
            correspondents=self._services.settings.correspondents,
        )  # fmt: skip

    def _job(self, delivery: Delivery, plan: _Plan) -> Job | None:
        """The mail to seal, where words were found for it and no file yet."""
        if plan.composed is None or plan.path is not None:
            return None
        return Job(delivery, plan.composed, plan.profile or self._profile)

    def _guarded(self, delivery: Delivery, plan: _Plan, sealed: Finish | None) -> Done | None:
        """A mail that cannot be made is tried again, then failed, visible to the operator (I2)."""
        owed, failure, looks = delivery, plan.failure, 0
        while failure is None:
            try:
                done = self._carry_out(delivery, plan, sealed)
            except UNMADE as error:
                failure = type(error).__name__
                break
            if not isinstance(done, _Overtaken):
                return done
            ((_, plan),) = self._plans([owed], replace(plan, path=done.path))
            (sealed,) = self._sealers.in_turn([self._job(owed, plan)])
            # No row names the file yet: it goes if the mail is kept back
            delivery = replace(owed, sealed_file=done.path.name)
            looks += 1
            failure = plan.failure if looks < LOOKS else "overtaken"
        log.error("announce_failed", delivery=delivery.id, error=failure)
        self._outcomes.later(delivery, failure)
        return None

    def _carry_out(self, delivery: Delivery, plan: _Plan, sealed: Finish | None) -> Done | _Overtaken | None:
        """Send one mail, or keep it back; what came of it, unless that is recorded already."""
        message_id = None if plan.composed is None else plan.composed.headers.message_id
        if plan.path is not None:
            return self._send(delivery, plan.path, message_id, plan.moment)
        if plan.composed is not None and sealed is not None:
            path = sealed()
            checkpoint("after-sealed")
            return self._send(delivery, path, message_id, plan.moment)
        if plan.why is not None and plan.why.outcome == "deferred":
            self._outcomes.defer(delivery, self._clock())
        elif plan.why is not None:
            self._outcomes.withhold(delivery, plan.why, self._clock())
        return None

    def _sealed_before(self, delivery: Delivery, store: Snapshot) -> Path | None:
        """A mail sealed before a crash is sent as it is, if it still may be: with a document that is gone, it is not."""
        if delivery.sealed_file is None:
            return None
        account = None if delivery.account is None else store.account(delivery.account)
        if delivery.kind == "report" and account is not None:
            found = store.documents(delivery.documents)
            if len(sendable(found, account)) < len(delivery.documents):
                return None
        path = self._services.outbox_directory / delivery.sealed_file
        return path if path.exists() else None

    def _send(self, delivery: Delivery, path: Path, message_id: str | None, moment: Moment) -> Done | _Overtaken | None:
        """Before DATA the Message-ID and the beginning are committed, and its outcome at once.

        A relay that may be asked twice needs neither: the mails of a batch are recorded together. Under either no mail
        goes whose plan may stand no more (I4).
        """
        if self._look.is_dated(moment) or (self._relay.idempotent and not self._look.stands(moment)):
            return _Overtaken(path)
        if not self._relay.idempotent:
            with self._services.database.begin() as conn:
                begun = outbox.mark_started(
                    conn, delivery.id, now=self._clock(), lease=self._lease, attempt=delivery.attempts,
                    rights=moment.rights,
                )  # fmt: skip
                if begun:
                    fix(conn, delivery, path, message_id)
            if not begun:  # else we were slower than our lease: it is another worker's now
                return _Overtaken(path) if self._look.has_moved(moment) else None
            delivery, message_id = replace(delivery, message_id=message_id or delivery.message_id), None
            checkpoint("after-started")
        outcome = self._relay.send(
            path, sender=self._services.settings.gateway.address, recipient=delivery.mailbox, delivery_id=delivery.id
        )
        checkpoint("after-relay")
        if isinstance(outcome, TryLater):
            self._outcomes.write_down(partial(self._outcomes.later, delivery, outcome.code))
            return None
        done = Done(delivery, path, message_id, outcome)
        if self._relay.idempotent:
            return done
        self._outcomes.write_down(partial(self._outcomes.settle, [done]))
        return None


def _may_encrypt(delivery: Delivery, kind: str, store: Snapshot, judge: CardJudge) -> bool:
    """Whether the account's certificate can be used now (R-USAGE); a report was checked by `still_allowed`."""
    if kind in {"report", "notice"} or delivery.account is None:
        return kind == "report"
    account = store.account(delivery.account)
    if account is None or account.encryption_certificate is None:
        return False
    return judge(account.encryption_certificate, "encrypt", partner_mailbox(account)) in {"VALID", "REVOCATION_UNKNOWN"}
