"""What a message asks for, as values: a deposit, a report on one of our mails, or something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from dcc.mailbox.records import Account
from dcc.router.hprim import HprimPatient
from dcc.router.reasons import Reason

CHUNK = 1 << 18


class Viewable(Protocol):
    """A file of which any region can be read; `smime.workfile.WorkFile` is one."""

    def view(self, start: int, size: int) -> BinaryIO:
        """An independent, seekable reader of one region."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One decoded part of the mail, or one document inside its archive; never written in clear to a disk."""

    name: str
    media_type: str
    size: int  # of the decoded bytes
    sha256: str  # of the decoded bytes, hex
    role: str  # "attachment" | "archive" | "document" | "inline": a picture of the text, never a document
    file: Viewable = field(repr=False, compare=False)
    start: int = 0

    def open(self) -> BinaryIO:
        """A reader of the decoded bytes."""
        return self.file.view(self.start, self.size)

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The decoded bytes in blocks of `size`."""
        with self.open() as reader:
            while block := reader.read(size):
                yield block


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """The patient as a document names them: traits as read, nothing normalised; None: absent."""

    ins: str | None
    oid: str | None
    birth_name: str | None
    first_given: str | None  # given[@qualifier='BR']
    given_names: tuple[str, ...]  # given without qualifier
    sex: str | None
    birth_date: str | None  # YYYYMMDD as written; an unknown day `00` stays visible (facts §7)
    birth_place: str | None  # COG code


@dataclass(frozen=True, slots=True)
class Professional:
    """An author or a legal authenticator of a document; every field may be absent in practice."""

    id: str | None  # IDNPS, or the identifier of a device
    profession: str | None = None  # `G15_10/SM36`
    structure: str | None = None  # IDNST
    structure_name: str | None = None
    family_name: str | None = None
    given_name: str | None = None

    @property
    def profession_code(self) -> str | None:
        """The G15 code alone (`10`), or None for devices and staff."""
        head = (self.profession or "").split("/", 1)[0]
        return head.removeprefix("G15_") if head.startswith("G15_") else None


@dataclass(frozen=True, slots=True)
class DepositedDocument:
    """One clinical document of a deposit, as read from METADATA.XML and from the CDA."""

    unique_id: str  # `root` or `root^extension`
    set_id: str | None
    version: int | None
    type_code: str
    type_system: str
    class_code: str | None
    format_code: str | None
    templates: tuple[str, ...]
    title: str
    patient: PatientIdentity
    authors: tuple[Professional, ...]
    legal_authenticator: Professional | None
    custodian: str | None  # IDNST
    recipients: tuple[str, ...]  # identifiers of the informationRecipients, IDNPS where known
    replaces: str | None  # id of the document that this one replaces
    confidentiality: tuple[str, ...]  # CDA and METADATA codes together, the CDA's first
    structured: bool
    source: Attachment  # the CDA itself
    findings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the CDA, hex."""
        return self.source.sha256

    @property
    def author(self) -> Professional | None:
        """The first author who is a person, else the first author."""
        people = (one for one in self.authors if one.profession_code is not None)
        return next(people, self.authors[0] if self.authors else None)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt (MDN) a depositor asks for: RFC 8098 §2.1, ECO.2.3.2."""

    to: str
    automatic: bool  # False when Disposition-Notification-To is not the Return-Path (volet LPS/MSS)


@dataclass(frozen=True, slots=True)
class Application:
    """The header of an HL7 v2 message that its acknowledgement answers: names of software, never of a patient."""

    control_id: str  # MSH-10
    event: str  # T02, R01, …
    version: str  # MSH-12
    sender: str  # MSH-3
    facility: str  # MSH-4
    flags: tuple[str, ...] = ()  # MetaDMPMSS flags that are set (facts/clinical.md §5)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The headers of a request that routing uses; the protected ones count (RFC 9788)."""

    message_id: str | None
    subject: str | None  # protected or wrapped subject; read for a reference and a keyword, never for an identity
    receipt: Receipt | None
    findings: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # Message-IDs of In-Reply-To and References (RFC 5322 §3.6.4)
    application: Application | None = None  # the HL7 message inside, to be acknowledged


@dataclass(frozen=True, slots=True)
class Deposit:
    """Clinical documents of one patient, to be filed."""

    envelope: Envelope
    documents: tuple[DepositedDocument, ...]
    attachments: tuple[Attachment, ...]  # every decoded attachment as received, the archive too
    findings: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()  # traits in which an HL7 message and the document inside it differ


@dataclass(frozen=True, slots=True)
class PlainDeposit:
    """Files without a clinical document around them: the folder is named by the mail, the type by a keyword.

    `why` is the reason for which only a person may file them (HPRIM: facts/clinical.md §6).
    """

    envelope: Envelope
    files: tuple[Attachment, ...]
    attachments: tuple[Attachment, ...]
    types: tuple[tuple[str, str], ...] = ()  # (code, system) of the keywords found: one is an answer
    references: tuple[str, ...] = ()  # of folders, in the signed text: they must agree with the subject's
    matricules: tuple[str, ...] = ()  # well-formed matricules in words and names: they must be the folder's
    why: Reason | None = None
    patients: tuple[HprimPatient, ...] = ()  # as a legacy file names them, for a person's eyes only
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deletion:
    """A request to delete one filed document (HL7 ORC CA, T04): marked, no longer served, its trace kept."""

    envelope: Envelope
    patient: PatientIdentity
    targets: tuple[str, ...]  # ids that may be meant, the most explicit first
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """An MDN, a DSN, a bounce or an automatic reply: matched to our mail, never answered (RFC 3834)."""

    kind: str  # "mdn" | "dsn" | "auto"
    original_message_ids: tuple[str, ...]
    final_recipient: str | None
    outcome: str  # "displayed" | "processed" | "delivered" | "delayed" | "failed" | "error" | "none"
    error: str | None = None  # ANS application error code, when the report carries one
    from_address: str | None = None  # the single From of a report in clear; None: none, or several


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A readable mail that this gateway does not carry out, or must refuse: the reason says why."""

    envelope: Envelope
    reason: Reason
    attachments: tuple[Attachment, ...] = ()


Request = Deposit | PlainDeposit | Deletion | Report | NotUnderstood


@dataclass(frozen=True, slots=True)
class Sender:
    """An authenticated signer and the accounts, one a network, that enrolment binds to holder and mailbox."""

    accounts: tuple[Account, ...]  # validated ones, with this From; never empty
    certificate_sha256: str
    structure: str | None  # IDNST named by the certificate, else by the account

    @property
    def account(self) -> Account:
        """The first account; the one that counts for a folder is `account_in`."""
        return self.accounts[0]

    def account_in(self, network: str) -> Account | None:
        """The sender's account in one network, or None."""
        return next((one for one in self.accounts if one.network == network), None)
