"""A message's life from `received` to its end: each stage computes, then commits by compare-and-set.

The plaintext exists in memory (or under an ephemeral key) only: after a crash a message is opened again from
its received bytes, and stages already committed are passed over. Settling is one transaction: document rows,
outgoing mails, audit record and end (I1, I2).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError

from dcc.gateway import stages
from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.leases import Kind
from dcc.gateway.originals import says_it_is_sealed
from dcc.gateway.progress import Ended, Progress
from dcc.gateway.services import Services
from dcc.gateway.settle import LostRaceError, settle
from dcc.mailbox import messages
from dcc.mailbox.records import Message, MessageState, StageTiming
from dcc.router.reasons import reason

Stage = Callable[[Services, Progress], Ended | None]
STAGES: tuple[tuple[str, MessageState, Stage], ...] = (
    ("opened", MessageState.OPENED, stages.open_stage),
    ("identified", MessageState.IDENTIFIED, stages.identify_stage),
    ("read", MessageState.READ, stages.read_stage),
    ("decided", MessageState.DECIDED, stages.decide_stage),
)
RANK = {state: rank for rank, state in enumerate((MessageState.RECEIVED, *(state for _, state, _ in STAGES)))}
QUICK_MS = 50.0  # stages that took less together are committed with what follows (decision 0010)
log = structlog.get_logger("dcc.pipeline")


class Pipeline:
    """Brings claimed messages to their end; safe to run in several threads or processes at once."""

    def __init__(self, services: Services, clock: Callable[[], datetime]) -> None:
        self._services = services
        self._clock = clock
        self._kind = Kind("messages", timedelta(seconds=services.settings.worker.lease_seconds), messages.renew)
        # id -> attempt: claimed, and the store failed: given back as soon as it answers
        self._stranded: dict[str, int] = {}

    def run_once(self, limit: int = 1) -> int:
        """Claim up to `limit` due messages and bring each to its end; returns how many were claimed."""
        services = self._services
        now = self._clock()
        stranded = self._stranded.copy()
        with services.database.passing() as conn:  # a lease is worth nothing after a power failure
            for one, attempt in stranded.items():
                messages.defer(conn, one, until=now, attempt=attempt)
            claimed = messages.claim(
                conn, now=now, lease=self._kind.lease, limit=limit, owner=services.owner
            )  # fmt: skip
        for one in stranded:
            self._stranded.pop(one, None)
        services.leases.hold(self._kind, claimed)
        try:
            for place, message in enumerate(claimed):
                try:
                    self.process(message)
                except BaseException:
                    self._stranded.update({one.id: one.attempts for one in claimed[place:]})
                    raise
        finally:
            services.leases.drop(self._kind, claimed)
        return len(claimed)

    def process(self, message: Message) -> MessageState:
        """The whole life of one claimed message; an unexpected failure puts it back, then holds it (I2)."""
        try:
            return self._process(message)
        except (LostRaceError, IntegrityError):
            return self._again(message)
        except Exception as error:
            # The last resort of I2: whatever happens, the message keeps an end, and the operator a line.
            log.exception("stage_failed", message=message.id, error=type(error).__name__)
            return self._set_aside(message, type(error).__name__)

    def _process(self, message: Message) -> MessageState:
        if message.attempts > self._services.settings.worker.attempts:  # it ended the process each time
            return self._hold(message, "crash", self._clock())
        with Progress.start(message, self._clock()) as progress:
            for name, state, stage in STAGES:
                begun = time.perf_counter()
                ended = stage(self._services, progress)
                spent = (time.perf_counter() - begun) * 1000
                if ended is not None:
                    break
                self._advance(progress, state, name, spent)
            else:
                raise RuntimeError("the last stage ends every message")
            # The decision is not committed by itself: it is written with what follows from it, in one transaction.
            progress.stages.append(StageTiming(name, self._clock(), round(spent, 3)))
            end = settle(self._services, progress, ended, self._clock())
            checkpoint("after-settled")
            self._services.count_end(end, ended.code)
            self._services.wake_relay.set()
            return end

    def _advance(self, progress: Progress, state: MessageState, name: str, ms: float) -> None:
        """Commit a stage, a quick one with the next; one that was committed before a crash is passed over."""
        if RANK[progress.state] >= RANK[state]:
            return
        progress.stages.append(StageTiming(name, self._clock(), round(ms, 3)))
        progress.uncommitted_ms += ms
        if progress.uncommitted_ms >= QUICK_MS:
            self._commit(progress, state)
        checkpoint(f"after-{name}")

    def _commit(self, progress: Progress, state: MessageState) -> None:
        """Write how far the message has come, by compare-and-set; after a power failure it is found again."""
        with self._services.database.passing() as conn:
            moved = messages.advance(
                conn,
                progress.message.id,
                expected=progress.state,
                to=state,
                stages=progress.stages,
                signer=progress.signer_account_id,
                signer_certificate=progress.signer_sha256,
                evidence=json.dumps(progress.evidence),
            )
        if not moved:
            raise LostRaceError("another worker moved this message")
        progress.state = state
        progress.uncommitted_ms = 0.0

    def _again(self, message: Message) -> MessageState:
        """Somebody else was quicker: look again at once, with what they wrote."""
        now = self._clock()
        with self._services.database.begin() as conn:
            current = messages.get(conn, message.id)
            if current is None or current.state not in RANK:
                return MessageState.HELD if current is None else current.state
            messages.defer(conn, message.id, until=now, attempt=message.attempts)
        self._services.wake.set()
        return current.state

    def _set_aside(self, message: Message, kind: str) -> MessageState:
        """Retry later, with bounded attempts; then held, visible to a person, with its reason (I2)."""
        settings = self._services.settings.worker
        now = self._clock()
        with self._services.database.begin() as conn:
            current = messages.get(conn, message.id)
            if current is None or current.state not in RANK:
                return MessageState.HELD if current is None else current.state
            if current.attempts < settings.attempts:
                delay = timedelta(seconds=settings.retry_seconds * 2 ** max(0, current.attempts - 1))
                messages.defer(conn, message.id, until=now + delay, attempt=message.attempts)
                return current.state
        return self._hold(current, kind, now)

    def _hold(self, message: Message, kind: str, now: datetime) -> MessageState:
        with Progress.start(message, now) as progress:
            if kind != stages.OriginalDamagedError.__name__:  # whole bytes are put back where the damaged ones are
                self._put_under_key(progress)
            ended = Ended.held(reason("D2R-SYS01", kind=kind))
            state = settle(self._services, progress, ended, now)
        self._services.count_end(state, ended.code)
        return state

    def _put_under_key(self, progress: Progress) -> None:
        """A mail in clear does not lie about for as long as it is held (I3), if there is room for a copy under a key."""
        services = self._services
        try:
            if "original" not in progress.evidence and not says_it_is_sealed(services, progress.message):
                progress.evidence["original"] = services.protect_original(progress.message)
                progress.clear = True
        except OSError as error:
            log.warning("original_not_protected", message=progress.message.id, error=type(error).__name__)
