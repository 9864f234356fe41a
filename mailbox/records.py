"""What is kept, as values: the rows of the database as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


def in_force(start: datetime, until: datetime | None, revoked_at: datetime | None, at: datetime) -> bool:
    """Whether a right with a start, an end and a revocation is in force at this time (ends excluded)."""
    if at < start or (until is not None and at >= until):
        return False
    return revoked_at is None or at < revoked_at


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
class Network:
    """One network folder family (réseau) that the platform carries (mission S1)."""

    id: str  # short slug, e.g. "rca"
    name: str
    domain: str
    address: str  # the network's own gateway address
    support_phone: str
    support_mail: str
    registration: str | None = None  # the address that takes registrations; None: none by mail
    nomad_reads: bool = True  # whether nomad authentication may read (mission S13)


class AccountState(StrEnum):
    REQUESTED = "requested"
    ADDRESS_VERIFIED = "address_verified"
    VALIDATED = "validated"
    REFUSED = "refused"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Account:
    """A professional or an organisation in one network; From is bound to the holder here (enrolment)."""

    id: str
    network: str  # Network.id
    kind: str  # "person" | "organisation"
    national_id: str  # IDNPS of a person, IDNST of an organisation
    family_name: str | None
    given_name: str | None
    profession: str | None  # G15 code, None for staff and organisations
    structure: str | None  # IDNST
    mailbox: str  # lower-case address
    role: str  # contract.md "role"
    state: AccountState
    encryption_certificate: bytes | None = None  # DER
    card_certificate: bytes | None = None  # DER of the last card seen or enrolled
    language: str = "fr"


@dataclass(frozen=True, slots=True)
class Delegation:
    """A mandated professional lets a secretary feed folders for them (délégation), for a time and some types."""

    id: str
    network: str
    secretary: str  # Account.id
    professional: str  # Account.id
    start: datetime
    until: datetime | None
    revoked_at: datetime | None = None
    types: tuple[str, ...] = ()  # type codes; none named: every type that the secretary may feed

    def covers(self, at: datetime) -> bool:
        """Whether the delegation is in force at this time (end excluded)."""
        return in_force(self.start, self.until, self.revoked_at, at)


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that was sent to somebody and is good once: only its hash is kept."""

    hash: str  # SHA-256, hex
    purpose: str  # verify_address | decide_account | presence
    network: str
    account: str | None
    folder: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    used_by: str | None = None  # Message.id


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """One version of a network's information and consent form (mission S15)."""

    network: str
    version: str
    language: str
    title: str
    text: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient's identity (identité nationale de santé) as held locally."""

    id: str
    ins: str  # 13 characters and 2-digit key
    oid: str
    birth_name: str
    given_names: tuple[str, ...]
    sex: str  # "M" | "F"
    birth_date: date
    birth_place: str  # INSEE code (COG)
    status: str  # PROV | RECUP | VALI | QUAL


class ConsentState(StrEnum):
    NONE = "none"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Folder:
    """A patient's folder (dossier) in one network."""

    id: str
    reference: str  # opaque, with a check character: "D-7F3K-9QXA"
    address: str  # opaque, lower case
    network: str
    patient: str  # Patient.id
    created_at: datetime
    consent: ConsentState
    consent_at: datetime | None = None
    closed_at: datetime | None = None  # closed for good: nothing is filed or read any more, the trace stays


class MandateOrigin(StrEnum):
    CREATOR = "creator"
    VITALE = "vitale"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True)
class Mandate:
    """The right to read and feed one folder (mandat); held by an account or by a structure."""

    id: str
    folder: str
    account: str | None  # Account.id, or
    structure: str | None  # IDNST
    origin: MandateOrigin
    start: datetime
    until: datetime | None
    revoked_at: datetime | None = None
    proof_grade: str | None = None

    def covers(self, at: datetime) -> bool:
        """Whether the mandate is in force at this time (end excluded)."""
        return in_force(self.start, self.until, self.revoked_at, at)


@dataclass(frozen=True, slots=True)
class Opposition:
    """The patient's opposition to a person or to a document type in one folder; beats any mandate."""

    id: str
    folder: str
    account: str | None
    type_code: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One encrypted file and the wrapped key that opens it."""

    id: str  # random; also the file's name
    size: int  # of the clear bytes
    sha256: str  # of the clear bytes, hex
    key_version: int
    wrapped_key: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """One decoded attachment as received, or one document inside its archive."""

    name: str
    media_type: str
    size: int
    sha256: str
    blob: BlobRef
    role: str  # "attachment" | "archive" | "document"


class DocumentStatus(StrEnum):
    CURRENT = "current"
    SUPERSEDED = "superseded"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Document:
    """One filed clinical document and its parts."""

    id: str
    folder: str
    unique_id: str  # the CDA id: root or root^extension
    set_id: str | None
    version: int | None
    type_code: str
    type_system: str
    class_code: str | None
    format_code: str | None
    title: str
    author_id: str | None  # IDNPS of the first person author
    author_name: str | None
    author_structure: str | None
    depositor: str  # Account.id
    confidentiality: tuple[str, ...]
    status: DocumentStatus
    supersedes: str | None  # Document.id
    message: str
    digest: str  # SHA-256 of the clinical document itself (the CDA), hex
    received_at: datetime
    parts: tuple[Part, ...]


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


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the audit trail; tag is source:subject:action."""

    at: datetime
    tag: str
    actor: str | None
    certificate: str | None  # SHA-256 of the actor's certificate
    message: str | None
    mail_message_id: str | None
    folder: str | None
    document: str | None
    decision: str | None
    code: str | None
    detail: str = "{}"  # JSON without identity or clinical content
