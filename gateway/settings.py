"""Settings: one frozen object from `dcc.toml` and the environment; every problem found, each in one clear line."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

ENVIRONMENT_PREFIX = "DCC_"
MEGA = 1 << 20
Port = int


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` are sentences, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GatewaySettings(_Section):
    """Who this gateway is."""

    environment: Literal["test", "production"] = "production"
    name: str = "Passerelle DCC"
    address: str  # the gateway's own mail address
    language: Literal["fr", "en"] = "fr"
    product: str = "DCC-Gateway 0.1"  # X-MSS-NIL (ECO.2.4.3)
    demo: bool = False

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
    connections_per_address: int = Field(default=20, gt=0)
    recipients: int = Field(default=100, gt=0)
    messages_per_minute: int = Field(default=600, gt=0)  # from one address
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

    url: str = "sqlite:///var/dcc.sqlite"


class StorageSettings(_Section):
    """Folders and the key ring."""

    spool: Path = Path("var/spool")
    documents: Path = Path("var/documents")
    outbox: Path = Path("var/outbox")
    work: Path = Path("var/work")
    key_encryption_keys: Path = Path("keys/key-encryption-keys.json")


class KeysSettings(_Section):
    """The gateway's own keys: PKCS#12 files."""

    signing: Path
    decryption: list[Path]  # the first is announced; the others open old mail
    password: str | None = Field(default=None, repr=False)
    password_file: Path | None = None
    audit: Path = Path("keys/audit.pem")


class TrustSettings(_Section):
    """Anchors, authorities and opposition lists: files, or folders of files."""

    certificates: list[Path]
    crls: list[Path] = []
    crl_cache: Path = Path("var/crl")


class RelaySettings(_Section):
    """Where outgoing mail goes: a smarthost, or (demo) one Maildir per mailbox."""

    kind: Literal["sink", "smtp"] = "smtp"
    sink: Path = Path("sink")
    host: str = "127.0.0.1"
    port: int = Field(default=25, ge=1, le=65535)
    tls: Literal["none", "starttls", "implicit"] = "none"
    verify: bool = True
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    connections: int = Field(default=2, gt=0)
    timeout_seconds: float = Field(default=300, gt=0)
    retry_seconds: float = Field(default=300, gt=0)
    expire_seconds: float = Field(default=5 * 86400, gt=0)


class WorkerSettings(_Section):
    """Threads, and how a failed stage is tried again."""

    threads: int = Field(default=2, gt=0)
    lease_seconds: float = Field(default=600, gt=0)
    attempts: int = Field(default=5, gt=0)
    retry_seconds: float = Field(default=10, gt=0)
    revocation_retry_seconds: float = Field(default=900, gt=0)


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
    metrics: MetricsSettings = MetricsSettings()

    def path(self, relative: Path) -> Path:
        """A path of the file, made absolute."""
        return relative if relative.is_absolute() else self.directory / relative

    @property
    def database_url(self) -> str:
        """The URL with a relative SQLite file resolved against the instance's folder."""
        prefix = "sqlite:///"
        if self.database.url.startswith(prefix) and not self.database.url.startswith(prefix + "/"):
            return f"{prefix}{self.directory / self.database.url[len(prefix) :]}"
        return self.database.url

    @property
    def key_password(self) -> bytes | None:
        """The password of the key files. Raises ConfigurationError when its file cannot be read."""
        if self.keys.password_file is not None:
            try:
                return self.path(self.keys.password_file).read_text(encoding="utf-8").strip().encode()
            except OSError:
                raise ConfigurationError([f"keys.password_file : {self.keys.password_file} est illisible"]) from None
        return None if self.keys.password is None else self.keys.password.encode()


def load_settings(path: Path, environment: dict[str, str] | None = None) -> Settings:
    """Read `dcc.toml` and the variables `DCC_SECTION__KEY`. Raises ConfigurationError with every problem."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError([f"{path} n'existe pas"]) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([f"{path} est illisible"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path.name} n'est pas du TOML : {error}"]) from None
    _overlay(raw, dict(os.environ) if environment is None else environment)
    try:
        return Settings.model_validate({**raw, "directory": path.resolve().parent})
    except ValidationError as error:
        raise ConfigurationError([_sentence(one) for one in error.errors()]) from None


def _overlay(raw: dict[str, Any], environment: dict[str, str]) -> None:
    """`DCC_SMTP__PORT=2525` sets smtp.port; values are read as TOML where they can be, else as text."""
    for name, value in sorted(environment.items()):
        section, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not name.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        target = raw.setdefault(section, {})
        if isinstance(target, dict):
            target[key] = parsed


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{where} : réglage inconnu"
    if kind == "missing":
        return f"{where} : réglage manquant"
    text = str(error.get("ctx", {}).get("error") or error["msg"])
    return f"{where} : valeur refusée ({text})"
