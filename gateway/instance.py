"""An instance on disk: made by `dcc init`, opened by everything else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from dcc.gateway import cast
from dcc.gateway.ownkeys import open_own_keys
from dcc.gateway.settings import ConfigurationError, Settings, load_settings
from dcc.gateway.toml_template import DEMO_TOML, PRODUCTION_TOML
from dcc.mailbox.audit import AuditTrail
from dcc.mailbox.database import Database
from dcc.mailbox.keyring import KeyRing
from dcc.smime.keys import KeyPair
from dcc.smime.signer import key_signer

FOLDERS = ("keys", "var", "var/spool", "var/documents", "var/outbox", "var/work", "var/proofs", "var/crl", "run")
PRODUCTION_FOLDERS = ("trust", "crls")  # what the template names, for the operator to fill
# Never written over: without its key-encryption keys, what a database names cannot be read again
KEPT = ("dcc.toml", "keys/key-encryption-keys.json", "keys/audit.pem", "var/dcc.sqlite", "demo")


class InstanceExists(Exception):
    """There is an instance already; nothing is overwritten."""


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """The gateway's own keys."""

    signing: KeyPair
    decryption: tuple[KeyPair, ...]  # the first is announced to correspondents
    audit: ec.EllipticCurvePrivateKey


def initialise(
    directory: Path, *, demo: bool, now: datetime, random_bytes: Callable[[int], bytes] = os.urandom
) -> Settings:
    """Make an instance. Raises InstanceExists, OSError. A production instance still needs its keys and anchors."""
    if any((directory / name).exists() for name in KEPT):
        raise InstanceExists(str(directory))
    directory.mkdir(parents=True, exist_ok=True)
    for name in (*FOLDERS, *(() if demo else PRODUCTION_FOLDERS)):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    KeyRing.create(random_bytes).save(directory / "keys" / "key-encryption-keys.json")
    _write_audit_key(directory / "keys" / "audit.pem")
    issued = cast.issue(now) if demo else None
    if issued is not None:
        (directory / "sink").mkdir(mode=0o700, exist_ok=True)
        cast.write_files(directory, issued, now)
    _write_private(directory / "dcc.toml", (DEMO_TOML if demo else PRODUCTION_TOML).encode())  # it may hold passwords
    settings = load_settings(directory / "dcc.toml", {})  # the new instance, whatever this process was told of another
    database = Database(settings.database_url)
    try:
        database.migrate()
        if issued is not None:
            with database.begin() as conn:
                opened = cast.seed(conn, issued, now, random_bytes)
                open_audit(open_keys(settings)).open(conn, now)
            cast.write_cast(directory, opened, now)
    finally:
        database.close()
    return settings


def open_keys(settings: Settings) -> GatewayKeys:
    """Load every key of the instance. Raises ConfigurationError with each problem."""
    problems: list[str] = []
    own = open_own_keys(settings, problems)
    audit = _read_audit_key(settings, problems)
    if problems or own.signing is None or audit is None:
        raise ConfigurationError(problems)
    return GatewayKeys(own.signing, own.decryption, audit)


def open_audit(keys: GatewayKeys) -> AuditTrail:
    """The audit trail, vouched for by the gateway's signing key (decisions 0008, 0020)."""

    def vouch(data: bytes) -> bytes:
        return key_signer(keys.signing).sign(data, "sha256", pss=False)

    return AuditTrail(keys.audit, vouch, keys.signing.certificate)


def open_keyring(settings: Settings) -> KeyRing:
    """The key-encryption keys. Raises ConfigurationError."""
    path = settings.path(settings.storage.key_encryption_keys)
    try:
        return KeyRing.load(path)
    except (OSError, ValueError):
        raise ConfigurationError(
            [f"storage.key_encryption_keys : {settings.storage.key_encryption_keys} est absent ou abîmé"]
        ) from None


def _write_audit_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _read_audit_key(settings: Settings, problems: list[str]) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = load_pem_private_key(settings.path(settings.keys.audit).read_bytes(), None)
    except (OSError, ValueError, TypeError):
        problems.append(f"keys.audit : {settings.keys.audit} est absent ou illisible")
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        problems.append("keys.audit : ce n'est pas une clé à courbe elliptique")
        return None
    return key
