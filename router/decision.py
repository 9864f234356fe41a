"""The decision on one message, as values: filed, done, held, refused or deferred, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dcc.mailbox.changes import FolderOpened
from dcc.mailbox.records import Account, Document, Folder, Patient
from dcc.router.networkrules import RulesInForce
from dcc.router.reasons import Reason
from dcc.router.request import Deposit, DepositedDocument


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """One new document to write, and the current document that it replaces."""

    deposited: DepositedDocument
    supersedes: Document | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """The deposit is filed: the new documents, and those that were there already (déjà intégré)."""

    folder: Folder
    patient: Patient
    depositor: Account
    deposit: Deposit
    new: tuple[PlannedDocument, ...]
    rules: RulesInForce  # of the folder's network, as they were when it was decided
    known: tuple[Document, ...] = ()
    masked: tuple[Document, ...] = ()  # known ones as they are from now on: the author hides them from more people
    reason: Reason | None = None  # D2R-DUP00 when nothing is new
    evidence: tuple[tuple[str, str], ...] = ()  # what each check rested on (I9)
    opening: FolderOpened | None = None  # an attestation of consent: the folder is opened with it
    misnamed: str | None = None  # a reference of the mail that named no folder, to be told: "unknown" | "mistyped"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a person of the reconciliation queue decided of a held message (facts/clinical.md §7)."""

    folder: str  # Folder.id
    kind: tuple[str, str] | None  # (type code, system) for files without a clinical document
    by: str  # Account.id of the person


@dataclass(frozen=True, slots=True)
class Done:
    """Carried out and nothing filed: a report matched to one of our mails, or a document deleted by its author."""

    reason: Reason
    delivery: str | None = None  # Delivery.id
    receipt: str | None = None  # the state to record: delivered | read | failed
    authenticated: bool = False
    deleted: Document | None = None
    account: Account | None = None  # to be told
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """Visible to a person, with the reason and the folder that might be meant."""

    reason: Reason
    account: Account | None = None  # to be told
    candidate: str | None = None  # Folder.id, for the identity queue
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Not carried out, with the reason; told to the account."""

    reason: Reason
    account: Account | None = None
    folder: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """Could not be found out yet: held, and tried again at this time (I10)."""

    reason: Reason
    until: datetime
    account: Account | None = None


Decision = Filed | Done | Held | Refused | Deferred
