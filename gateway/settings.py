"""Settings: one frozen object from `dcc.toml` and the environment; every problem found, each in one clear line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from dcc.gateway.settings_directory import DirectorySettings
from dcc.gateway.settings_environment import overlay
from dcc.gateway.settings_sentences import not_toml, sentence
from dcc.gateway.settings_trust import TrustSettings

MEGA = 1 << 20
SQLITE = "sqlite:///"
MailField = Literal["From", "Date", "To", "Subject", "Content-Type", "MIME-Version"]
DATABASES = (SQLITE, "postgresql://", "postgresql+psycopg://")


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` are sentences, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _WithPassword(_Section):
    password: str | None = Field(default=None, repr=False)
    password_file: Path | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password ou password_file, pas les deux")
        return self


class GatewaySettings(_Section):
    """Who this gateway is."""

    environment: Literal["test", "production"] = "production"
    name: str = "Passerelle DCC"
    address: str  # the gateway's own mail address
    language: Literal["fr", "en"] = "fr"
    product: str = "DCC-Gateway 0.1"  # X-MSS-NIL (ECO.2.4.3)
    ask_receipts: bool = False  # whether reports ask their readers for a receipt (MDN, ECO.2.3.2)
    matrix: Path | None = None  # CSV: who may feed and read which types; none: the careful default
    demo: bool = False
    # RFC 5322 §3.6 lets To and Subject be absent; refusing that is this gateway's own policy (R-FROM). MIME-Version can
    # be added: mails put together around cmsutil or gpgsm lack it, and without it nothing can be read in two ways.
    required_fields: tuple[MailField, ...] = ("From", "Date", "To", "Subject", "Content-Type")
    refuse_forwarded: bool = False  # a mail whose signed To and Cc do not name us (R-INTENDED); else only noted

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value.count("@") != 1 or not all(value.split("@")):
            raise ValueError("n'est pas une adresse")
        return value.lower()


class SmtpSettings(_Section):
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


class DatabaseSettings(_Section):
    """Where the state is kept; `sqlite:///var/dcc.sqlite` is relative to the instance."""

    url: str = Field(default="sqlite:///var/dcc.sqlite", repr=False)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not value.startswith(DATABASES) or value in DATABASES:
            raise ValueError("doit commencer par sqlite:///FICHIER ou postgresql://")
        return value


class StorageSettings(_Section):
    """Folders and the key ring."""

    spool: Path = Path("var/spool")
    documents: Path = Path("var/documents")
    outbox: Path = Path("var/outbox")
    work: Path = Path("var/work")
    proofs: Path = Path("var/proofs")  # what verdicts rested on: certificates, lists, OCSP answers
    key_encryption_keys: Path = Path("keys/key-encryption-keys.json")


class KeysSettings(_WithPassword):
    """The gateway's own keys: PKCS#12 files, objects of a PKCS#11 token, or both."""

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


class WorkerSettings(_Section):
    """Threads, and how a failed stage is tried again."""

    threads: int = Field(default=2, gt=0)
    lease_seconds: float = Field(default=600, gt=0)
    attempts: int = Field(default=5, gt=0)
    retry_seconds: float = Field(default=10, gt=0)
    revocation_retry_seconds: float = Field(default=900, gt=0)
    unopenable_per_hour: int = Field(default=100, gt=0)  # of one sender; more are held unopened for the hour (R-ORACLE)


class PartnerSettings(_Section):
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


class CorrespondentSettings(_Section):
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


class MetricsSettings(_Section):
    """Where metrics and health are told; local only."""

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class Settings(_Section):
    """Everything. `directory` is the instance's folder; paths in the file are relative to it."""

    directory: Path
    gateway: GatewaySettings
    smtp: SmtpSettings = SmtpSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    keys: KeysSettings
    trust: TrustSettings
    relay: RelaySettings = RelaySettings()
    worker: WorkerSettings = WorkerSettings()
    address_book: DirectorySettings = DirectorySettings()
    partners: list[PartnerSettings] = []
    correspondents: list[CorrespondentSettings] = []  # the first that names a mailbox counts
    limits: dict[LimitName, PositiveInt] = {}  # what differs from `smime/limits.py`; the message's is smtp.message_size
    metrics: MetricsSettings = MetricsSettings()

    def path(self, relative: Path) -> Path:
        """A path of the file, made absolute."""
        return relative if relative.is_absolute() else self.directory / relative

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database, absolute; None for PostgreSQL."""
        if not self.database.url.startswith(SQLITE):
            return None
        return self.path(Path(self.database.url.removeprefix(SQLITE)))

    @property
    def database_url(self) -> str:
        """The URL with a relative SQLite file resolved against the instance's folder."""
        file = self.database_file
        return self.database.url if file is None else f"{SQLITE}{file}"

    @property
    def key_password(self) -> bytes | None:
        """The password of the key files. Raises ConfigurationError when its file cannot be read."""
        found = self._secret("keys.password_file", self.keys.password, self.keys.password_file)
        return None if found is None else found.encode()

    @property
    def token_pin(self) -> str | None:
        """The PIN of the token. Raises ConfigurationError when its file cannot be read."""
        return self._secret("keys.pin_file", self.keys.pin, self.keys.pin_file)

    @property
    def relay_password(self) -> str | None:
        """The password of the relay. Raises ConfigurationError when its file cannot be read."""
        return self._secret("relay.password_file", self.relay.password, self.relay.password_file)

    def _secret(self, setting: str, value: str | None, file: Path | None) -> str | None:
        if file is None:
            return value
        try:
            return self.path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError([f"{setting} : {file} est absent ou illisible"]) from None


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `dcc.toml` and the variables `DCC_SECTION__KEY`. Raises ConfigurationError with every problem."""
    settings, problems = read_settings(path, environment)
    if problems or settings is None:
        raise ConfigurationError(problems)
    return settings


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    """(the settings, with their defaults where one is wrong; every problem). None: there is nothing to go on with."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, [f"{path} n'existe pas"]
    except (OSError, UnicodeDecodeError):
        return None, [f"{path} est illisible"]
    except tomllib.TOMLDecodeError as error:
        return None, [not_toml(path.name, error)]
    variables, problems = overlay(raw, os.environ if environment is None else environment, Settings)
    raw["directory"] = path.resolve().parent
    try:
        return Settings.model_validate(raw), problems
    except ValidationError as error:
        wrong = error.errors()
    problems += [sentence(one, variables) for one in wrong]
    for one in wrong:
        _leave_out(raw, one["loc"])
    try:
        return Settings.model_validate(raw), problems
    except ValidationError:
        return None, problems  # something that has no default is missing


def _leave_out(raw: dict[str, Any], place: tuple[int | str, ...]) -> None:
    section = raw.get(str(place[0]))
    if len(place) > 1 and isinstance(section, dict):
        section.pop(str(place[1]), None)
    elif len(place) == 1:
        raw.pop(str(place[0]), None)
