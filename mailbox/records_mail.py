"""Mails that came, mails that are owed, and the trace of both, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MessageState(StrEnum):
    """How far a received message has come; the last four are the only ends."""

    RECEIVED = "received"
    OPENED = "opened"
    IDENTIFIED = "identified"
    READ = "read"
    DECIDED = "decided"
    FILED = "filed"
    DONE = "done"
    HELD = "held"
    REFUSED = "refused"


ENDS = frozenset({MessageState.FILED, MessageState.DONE, MessageState.HELD, MessageState.REFUSED})


@dataclass(frozen=True, slots=True)
class StageTiming:
    name: str
    at: datetime
    ms: float


@dataclass(frozen=True, slots=True)
class Message:
    """One received message and how far it has come; its bytes are in the spool, unchanged (I6)."""

    id: str
    received_at: datetime
    size: int
    sha256: str  # of the received bytes, hex
    mail_from: str
    recipients: tuple[str, ...]
    peer: str
    state: MessageState
    due: datetime
    attempts: int = 0
    lease_until: datetime | None = None
    reason_code: str | None = None
    reason_parameters: tuple[tuple[str, str], ...] = ()
    signer: str | None = None  # Account.id once identified
    signer_certificate: str | None = None  # SHA-256 of the certificate
    folder: str | None = None
    documents: tuple[str, ...] = ()
    settled_at: datetime | None = None
    stages: tuple[StageTiming, ...] = ()
    evidence: str = "{}"  # JSON: what each check rested on (I6, I9)


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail that is owed to one mailbox: a row of the outbox, unique by dedupe_key."""

    id: str
    dedupe_key: str
    kind: str  # report | notice | acknowledgement | refusal | ...
    mailbox: str
    account: str | None
    folder: str | None
    message: str | None  # the received message that caused it
    documents: tuple[str, ...]
    reason: str | None  # reason code: of a refusal told, or of a delivery withheld or failed
    state: DeliveryState
    created_at: datetime
    due: datetime
    attempts: int = 0
    message_id: str | None = None  # Message-ID header, fixed when sealed
    sealed_file: str | None = None  # file name in the outbox folder, once sealed
    started_at: datetime | None = None  # committed before the mail's DATA begins
    sent_at: datetime | None = None
    parameters: tuple[tuple[str, str], ...] = ()  # small, never identity nor content


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the audit trail; tag is source:subject:action."""

    at: datetime
    tag: str
    actor: str | None = None
    certificate: str | None = None  # SHA-256 of the actor's certificate
    message: str | None = None
    mail_message_id: str | None = None
    folder: str | None = None
    document: str | None = None
    decision: str | None = None
    code: str | None = None
    detail: str = "{}"  # JSON without identity or clinical content
