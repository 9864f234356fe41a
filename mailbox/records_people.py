"""Who takes part, and what they are sent or signed, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dcc.mailbox.interval import in_force


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
    rules: str | None = None  # SHA-256 of its own document rules; None: the table of the gateway


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
class DocumentRules:
    """Who may feed or read which type of document in one network (mission S1): a table as its administrator gave it."""

    network: str
    sha256: str  # of `content`
    content: str
    set_at: datetime
    set_by: str  # who put it in force last


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """One version of a network's information and consent form (mission S15)."""

    network: str
    version: str
    language: str
    title: str
    text: str
    since: datetime
