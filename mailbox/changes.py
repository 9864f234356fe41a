"""What people decide about accounts, folders and rights, as values; each is written in the transaction that records it.

A change says what must be, and what it rests on. `changewriting` writes it; what the audit says of each is in
`changerecords`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dcc.mailbox.factors import Factor
from dcc.mailbox.records import (
    Account,
    AccountState,
    ConsentForm,
    ConsentState,
    Delegation,
    DocumentRules,
    Folder,
    Mandate,
    Network,
    Patient,
    Token,
)


@dataclass(frozen=True, slots=True)
class NetworkAdded:
    """A network joins the platform (mission S1)."""

    network: Network


@dataclass(frozen=True, slots=True)
class FormPublished:
    """A network publishes a version of its consent form (mission S15)."""

    form: ConsentForm


@dataclass(frozen=True, slots=True)
class RulesSet:
    """A network sets its own document rules in the place of those that were in force (None: the gateway's)."""

    rules: DocumentRules
    before: str | None


@dataclass(frozen=True, slots=True)
class RulesLeft:
    """A network gives up its own document rules: the gateway's table holds again."""

    network: str
    before: str


@dataclass(frozen=True, slots=True)
class AccountRequested:
    """Somebody asks to take part; the identity is the card's (mission S11)."""

    account: Account


@dataclass(frozen=True, slots=True)
class AccountMoved:
    """An account goes from one of some states to another."""

    account: str
    before: tuple[AccountState, ...]
    after: AccountState


@dataclass(frozen=True, slots=True)
class LanguageChosen:
    """In which language a person is written to."""

    account: str
    language: str


@dataclass(frozen=True, slots=True)
class CardSeen:
    """Another certificate of the same holder was used: a renewed card keeps the account."""

    account: str
    certificate: bytes


@dataclass(frozen=True, slots=True)
class EncryptionCertificateSeen:
    """The holder's own encryption certificate, taken from a verified signed mail (facts/cards.md §10)."""

    account: str
    certificate: bytes
    before: bytes | None  # the one that it takes the place of


@dataclass(frozen=True, slots=True)
class CapabilitiesSeen:
    """What the holder's mail client says it can read, in a verified signature made at `signed_at` (RFC 8551 §2.7.2)."""

    account: str
    algorithms: tuple[str, ...]
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class FolderOpened:
    """A folder with its consent and the mandate of its creator (mission S15, S16); `patient` only when new."""

    folder: Folder
    patient: Patient | None
    mandate: Mandate
    form_version: str
    collected_by: str
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class FolderClosed:
    """A folder is closed for good: nothing is filed or read any more, the trace stays."""

    folder: str


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    """Consent given or withdrawn, with its form, who collected it, and the proof (a document or a message)."""

    folder: str
    state: ConsentState
    form_version: str | None
    collected_by: str
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class MandateGranted:
    """A mandate, to an account or a structure."""

    mandate: Mandate


@dataclass(frozen=True, slots=True)
class MandateRevoked:
    """A mandate ends at once."""

    mandate: str
    folder: str


@dataclass(frozen=True, slots=True)
class DelegationGiven:
    """A mandated professional lets a secretary act."""

    delegation: Delegation


@dataclass(frozen=True, slots=True)
class DelegationRevoked:
    """A delegation ends at once."""

    delegation: str


@dataclass(frozen=True, slots=True)
class Opposed:
    """The patient is opposed to a person or to a document type."""

    folder: str
    account: str | None
    type_code: str | None


@dataclass(frozen=True, slots=True)
class OppositionLifted:
    """The patient takes an opposition back."""

    opposition: str
    folder: str


@dataclass(frozen=True, slots=True)
class FactorEnrolled:
    """A second factor is asked for, with the card present; it counts once it is confirmed (mission S13)."""

    factor: Factor


@dataclass(frozen=True, slots=True)
class FactorConfirmed:
    """A second factor is confirmed by its first proof; a key of codes ends the one before."""

    factor: Factor
    counter: int


@dataclass(frozen=True, slots=True)
class FactorRevoked:
    """A second factor ends at once, and its secret is forgotten."""

    factor: str
    account: str
    because: str


@dataclass(frozen=True, slots=True)
class TokenIssued:
    """A one-time secret is sent to somebody; only its hash is here."""

    token: Token


@dataclass(frozen=True, slots=True)
class TokenUsed:
    """A one-time secret is used up, together with what it allowed."""

    token: Token
    message: str | None


Change = (
    NetworkAdded
    | FormPublished
    | RulesSet
    | RulesLeft
    | AccountRequested
    | AccountMoved
    | LanguageChosen
    | CardSeen
    | EncryptionCertificateSeen
    | CapabilitiesSeen
    | FolderOpened
    | FolderClosed
    | ConsentChanged
    | MandateGranted
    | MandateRevoked
    | DelegationGiven
    | DelegationRevoked
    | Opposed
    | OppositionLifted
    | FactorEnrolled
    | FactorConfirmed
    | FactorRevoked
    | TokenIssued
    | TokenUsed
)
