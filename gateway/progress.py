"""How far one message has come in memory, and how it may end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from dcc.cards.verdict import Judgement
from dcc.gateway.partners import Partner
from dcc.mailbox.changes import Change
from dcc.mailbox.records import Account, Delivery, DeliveryState, Document, Message, MessageState, StageTiming
from dcc.router.decision import Assignment
from dcc.router.petition import Petition
from dcc.router.reasons import Reason
from dcc.router.registration import Newcomer
from dcc.router.request import Request, Sender
from dcc.smime.verdict import Opened, SignatureCheck

# Parts of the evidence that outlive a new beginning: where the original lies, what a person decided
KEPT = ("original", "assigned")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a message ends: the state, the reason, and what is written with it in one transaction."""

    state: MessageState
    reason: Reason | None = None
    folder: str | None = None
    documents: tuple[str, ...] = ()
    new_documents: tuple[Document, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    receipt: tuple[str, DeliveryState] | None = None  # (delivery, the state that a report tells)
    retry_at: datetime | None = None
    deleted: str | None = None  # Document.id to mark deleted
    masked: tuple[Document, ...] = ()  # documents whose confidentiality changes to what these say
    changes: tuple[Change, ...] = ()  # what a person asked for

    @property
    def code(self) -> str | None:
        """The reason's code, if there is one."""
        return None if self.reason is None else self.reason.code

    @classmethod
    def held(cls, why: Reason, *, retry_at: datetime | None = None, deliveries: Sequence[Delivery] = ()) -> Self:
        """Visible to a person, with the reason."""
        return cls(MessageState.HELD, why, retry_at=retry_at, deliveries=tuple(deliveries))

    @classmethod
    def refused(cls, why: Reason, deliveries: Sequence[Delivery] = ()) -> Self:
        """Refused with the reason; told where that is safe."""
        return cls(MessageState.REFUSED, why, deliveries=tuple(deliveries))


@dataclass(slots=True)
class Progress:
    """What is known of one message while it is worked on; closed with everything it holds open."""

    message: Message
    at: datetime
    state: MessageState
    stack: ExitStack = field(default_factory=ExitStack)
    evidence: dict[str, Any] = field(default_factory=dict)
    opened: Opened | None = None
    signature: SignatureCheck | None = None  # the one that answers for From
    judgement: Judgement | None = None
    partner: Partner | None = None  # in whose domain the sender's address is
    account: Account | None = None
    sender: Sender | None = None
    newcomer: Newcomer | None = None  # a good card at a registration address, without a validated account
    request: Request | Petition | None = None
    changes: list[Change] = field(default_factory=list)  # what was learned on the way: a renewed card
    mail_message_id: str | None = None
    replay_key: str | None = None
    stages: list[StageTiming] = field(default_factory=list)
    uncommitted_ms: float = 0.0  # spent in stages that are not committed yet
    clear: bool = False  # the mail came without encryption: its original must not stay in clear

    @classmethod
    def start(cls, message: Message, at: datetime) -> Self:
        """Begin, or begin again, with a claimed message."""
        kept = json.loads(message.evidence or "{}")
        evidence = {name: kept[name] for name in KEPT if name in kept}
        return cls(message=message, at=at, state=message.state, stages=list(message.stages), evidence=evidence)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stack.close()

    @property
    def assignment(self) -> Assignment | None:
        """What a person of the reconciliation queue decided, if anybody did."""
        kept = self.evidence.get("assigned")
        if kept is None:
            return None
        kind = kept.get("type")
        return Assignment(kept["folder"], None if kind is None else (kind[0], kind[1]), kept["by"])

    @property
    def signer_account_id(self) -> str | None:
        """The account of the signer, once identified."""
        return None if self.account is None else self.account.id

    @property
    def signer_sha256(self) -> str | None:
        """SHA-256 of the signer's certificate, once read."""
        certificate = None if self.judgement is None else self.judgement.certificate
        return None if certificate is None else certificate.sha256
