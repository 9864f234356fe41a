"""The sections of `dcc.toml`: each setting with its default and, behind it, what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MEGA = 1 << 20
SQLITE = "sqlite:///"
MailField = Literal["From", "Date", "To", "Subject", "Content-Type", "MIME-Version"]
MAIL_FIELDS: tuple[MailField, ...] = ("From", "Date", "To", "Subject", "Content-Type", "MIME-Version")
DATABASES = (SQLITE, "postgresql://", "postgresql+psycopg://")


class Section(BaseModel):
    """One section of `dcc.toml`: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _WithPassword(Section):
    password: str | None = Field(default=None, repr=False)
    password_file: Path | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password ou password_file, pas les deux")
        return self


class GatewaySettings(Section):
    """Who this gateway is."""

    environment: Literal["test", "production"] = "production"
    name: str = "Passerelle DCC"
    address: str  # the gateway's own mail address
    language: Literal["fr", "en"] = "fr"
    product: str = "DCC-Gateway 0.1"  # X-MSS-NIL (ECO.2.4.3)
    ask_receipts: bool = False  # whether reports ask their readers for a receipt (MDN, ECO.2.3.2)
    matrix: Path | None = None  # CSV: who may feed and read which types; none: the careful default
    demo: bool = False
    # RFC 5322 §3.6 lets To and Subject be absent; refusing that is this gateway's own policy (R-FROM). MIME-Version is what
    # makes Content-Type mean anything (RFC 2045 §4, decision 0013).
    required_fields: tuple[MailField, ...] = MAIL_FIELDS  # a mail lacks one when it stands neither inside nor outside
    refuse_forwarded: bool = False  # a mail whose signed To and Cc do not name us (R-INTENDED); else only noted

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value.count("@") != 1 or not all(value.split("@")):
            raise ValueError("n'est pas une adresse")
        return value.lower()


class SmtpSettings(Section):
    """The SMTP door. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = Field(default=25, ge=0, le=65535)
    tls_port: int | None = Field(default=None, ge=0, le=65535)  # implicit TLS; none: not offered
    certificate: Path | None = None  # PEM, with its chain; none: no STARTTLS
    private_key: Path | None = None
    require_tls: bool = False
    banner: str = "DCC gateway"
    message_size: int = Field(default=160 * MEGA, gt=0)
    connections: int = Field(default=200, gt=0)
    connections_per_address: int = Field(default=20, gt=0)  # IPv6: per /64
    connections_per_network: int = Field(default=60, gt=0)  # IPv4: per /24; IPv6: per /48
    recipients: int = Field(default=100, gt=0)
    messages_per_minute: int = Field(default=600, gt=0)  # from one address
    greeting_seconds: float = Field(default=0, ge=0)  # who talks before the banner within this time is closed
    session_seconds: float = Field(default=1800, gt=0)
    command_seconds: float = Field(default=300, gt=0)
    chunk_seconds: float = Field(default=180, gt=0)
    message_seconds: float = Field(default=1200, gt=0)
    handshake_seconds: float = Field(default=30, gt=0)
    line_bytes: int = Field(default=64 << 10, ge=1000)
    received_headers: int = Field(default=50, gt=0)
    queue_high_water: int = Field(default=5000, gt=0)
    free_disk_bytes: int = Field(default=200 * MEGA, ge=0)


class DatabaseSettings(Section):
    """Where the state is kept; `sqlite:///var/dcc.sqlite` is relative to the instance."""

    url: str = Field(default="sqlite:///var/dcc.sqlite", repr=False)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value.startswith(DATABASES) or value in DATABASES:
            raise ValueError("doit commencer par sqlite:///FICHIER ou postgresql://")
        return value


class StorageSettings(Section):
    """Folders and the key ring."""

    spool: Path = Path("var/spool")
    documents: Path = Path("var/documents")
    outbox: Path = Path("var/outbox")
    work: Path = Path("var/work")
    proofs: Path = Path("var/proofs")  # what verdicts rested on: certificates, lists, OCSP answers
    key_encryption_keys: Path = Path("keys/key-encryption-keys.json")


class KeysSettings(_WithPassword):
    """The gateway's own keys: PKCS#12 or PEM files, objects of a PKCS#11 token, or both."""

    signing: Path | None = None
    decryption: list[Path] = []  # the first key is announced; the others open old mail
    audit: Path = Path("keys/audit.pem")
    pkcs11_module: Path | None = None  # the library of the token; an absolute path
    token: str | None = None  # its label; none: the only token present
    pin: str | None = Field(default=None, repr=False)
    pin_file: Path | None = None
    signing_label: str | None = None
    decryption_labels: list[str] = []  # before those of files
    raw_oaep: bool = False  # for a token that knows OAEP with SHA-1 only: RSA in the token, OAEP in software

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.pin is not None and self.pin_file is not None:
            raise ValueError("pin ou pin_file, pas les deux")
        if self.signing is not None and self.signing_label is not None:
            raise ValueError("signing ou signing_label, pas les deux")
        if self.pkcs11_module is None and (self.signing_label is not None or self.decryption_labels):
            raise ValueError("signing_label et decryption_labels demandent pkcs11_module")
        return self


class RelaySettings(_WithPassword):
    """Where outgoing mail goes: a smarthost, or (demo) one Maildir per mailbox."""

    kind: Literal["sink", "smtp"] = "smtp"
    sink: Path = Path("sink")
    host: str = "127.0.0.1"
    port: int = Field(default=25, ge=1, le=65535)
    tls: Literal["none", "starttls", "implicit"] = "none"
    verify: bool = True
    authorities: Path | None = None  # PEM, who vouches for the next host; none: the system's
    certificate: Path | None = None  # PEM, with its chain, where the next host asks for ours
    private_key: Path | None = None
    username: str | None = None
    connections: int = Field(default=2, gt=0)
    ask_dsn: bool = False  # whether the next host is asked to report on each mail (ECO.2.3.1, RFC 3461)
    timeout_seconds: float = Field(default=300, gt=0)
    lease_seconds: float = Field(default=900, gt=0)  # the longest that one sending may take
    retry_seconds: float = Field(default=300, gt=0)
    expire_seconds: float = Field(default=5 * 86400, gt=0)
    uncertain_seconds: float = Field(default=900, ge=0)  # a report is waited for; then "may have arrived" is told


class OperatorSettings(Section):
    """Who is told by mail of what is written to postmaster and abuse (RFC 5321 §4.5.1, RFC 2142 §4; decision 0018)."""

    address: str | None = None  # a mailbox outside this gateway; none: nobody is, and `dcc held list` shows it
    # PEM or DER: the mail itself is sent, sealed for it; without it, that one waits, and which
    certificate: Path | None = None

    @field_validator("address")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and (value.count("@") != 1 or not all(value.split("@")) or not value.isascii()):
            raise ValueError("n'est pas une adresse")
        return value

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.certificate is not None and self.address is None:
            raise ValueError("certificate ne va pas sans address")
        return self


class WorkerSettings(Section):
    """Threads, and how a failed stage is tried again."""

    threads: int = Field(default=2, gt=0)
    lease_seconds: float = Field(default=600, gt=0)
    attempts: int = Field(default=5, gt=0)
    retry_seconds: float = Field(default=10, gt=0)
    revocation_retry_seconds: float = Field(default=900, gt=0)
    unopenable_per_hour: int = Field(default=100, gt=0)  # of one sender; more are held unopened for the hour (R-ORACLE)


class SmimeSettings(Section):
    """What the S/MIME reader and writer may use beyond the algorithms of today."""

    post_quantum: bool = False  # ML-KEM recipients and ML-DSA signatures (RFC 9936, RFC 9882), read and written


class PartnerSettings(Section):
    """A partner outside the card world: its anchors may vouch for addresses of these domains (RFC 8550)."""

    name: str
    domains: list[str] = Field(min_length=1)
    certificates: list[Path] = Field(min_length=1)  # anchors (self-signed) and authorities
    crls: list[Path] = []
    revocation: bool = True  # false: a partner that publishes no lists; said in the evidence of each message

    @field_validator("domains")
    @classmethod
    def _domains(cls, value: list[str]) -> list[str]:
        if any("@" in one or "." not in one for one in value):
            raise ValueError("des noms de domaine, sans @")
        return [one.lower() for one in value]


class CorrespondentSettings(Section):
    """How one correspondent wants to be written to: an address, or a domain written `@domain`; what is absent is chosen."""

    address: str
    cipher: Literal["aes256-cbc", "aes128-cbc", "aes256-gcm"] | None = None
    key_transport: Literal["rsa", "oaep"] | None = None
    header_protection: Literal["rfc9788", "wrapped"] | None = None

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value.count("@") != 1 or not value.rpartition("@")[2]:
            raise ValueError("une adresse, ou un domaine écrit @domaine")
        return value.lower()

    def names(self, mailbox: str) -> bool:
        """Whether this is the correspondent's mailbox."""
        low = mailbox.lower()
        return low == self.address or (self.address.startswith("@") and low.endswith(self.address))


LimitName = Literal[
    "header_block", "header_field", "header_fields", "addresses", "mime_depth", "mime_parts", "decompressed",
    "decompression_ratio", "asn1_depth", "object_identifier", "segments", "small_structure", "recipient_infos", "signer_infos",
    "certificates", "cms_layers", "compressed_layers", "signature_checks",
]  # fmt: skip


class FactorSettings(Section):
    """Second factors of nomad mode: how many wrong proofs in a row are heard before a pause (RFC 4226 §7.3)."""

    attempts: int = Field(default=5, gt=0)
    pause_seconds: float = Field(default=900, gt=0)


class MetricsSettings(Section):
    """Where metrics and health are told; local only."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)
