"""Patients, their folders, the rights in them and the documents, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from dcc.mailbox.interval import in_force


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
