"""Backup of a running instance, and its restoration, verified (facts: mail §9).

The database first, then the files: they are never changed once written, so a superset is consistent.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from dcc.gateway.instance import open_keyring, open_keys
from dcc.gateway.services import open_database
from dcc.gateway.settings import Settings, load_settings
from dcc.mailbox import audit, documents, messages
from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.keyring import KeyMissing
from dcc.mailbox.records import ENDS

EVERYTHING = ("dcc.toml", "keys", "demo", "trust", "crls")


class CannotBackUp(Exception):
    """Why there is no backup; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of a restored instance found."""

    audit_ok: bool
    messages: int
    documents: int
    missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing and the trace is whole."""
        return self.audit_ok and not self.missing


def back_up(settings: Settings, target: Path) -> None:
    """Copy an instance, which may be running. Raises CannotBackUp, OSError."""
    if target.exists() and any(target.iterdir()):
        raise CannotBackUp(f"{target} n'est pas vide")
    if not settings.database_url.startswith("sqlite:///"):
        raise CannotBackUp(
            "la base n'est pas SQLite : sauvegardez-la avec ses propres outils, puis le dossier de l'instance"
        )
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Path(settings.database_url.removeprefix("sqlite:///"))
    relative = database.relative_to(settings.directory)
    (target / relative).parent.mkdir(parents=True, exist_ok=True)
    source, copy = sqlite3.connect(database), sqlite3.connect(target / relative)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    for name in EVERYTHING:
        place = settings.directory / name
        if place.is_dir():
            shutil.copytree(place, target / name, dirs_exist_ok=True)
        elif place.exists():
            shutil.copy2(place, target / name)
    storage = settings.storage
    for folder in (storage.spool, storage.documents, storage.outbox, storage.work, Path("var/crl"), Path("run")):
        (target / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (storage.spool, storage.documents, storage.outbox):
        _copy_files(settings.path(folder), target / folder)


def _copy_files(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_dir() or path.suffix == ".part":
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copy2(path, place)
        except FileNotFoundError:
            continue  # sent and removed meanwhile: the database says so


def verify(directory: Path) -> Verified:
    """Check that everything the database names is there and readable. Raises ConfigurationError, DatabaseGone."""
    settings = load_settings(directory / "dcc.toml")
    blobs = BlobStore(settings.path(settings.storage.documents), open_keyring(settings), bytes)
    missing: list[str] = []
    with open_database(settings) as database, database.read() as conn:
        checked = audit.verify(conn, open_keys(settings).signing.certificate)
        count = 0
        for ref in documents.blob_refs(conn):
            count += 1
            try:
                with blobs.open(ref) as file:
                    file.read(1)
            except (OSError, KeyMissing):
                missing.append(f"document {ref.id}")
        received = messages.list_messages(conn, limit=1_000_000)
        spool = settings.path(settings.storage.spool)
        missing += [
            f"message {one.id}" for one in received if one.state not in ENDS and not (spool / f"{one.id}.eml").exists()
        ]
    return Verified(checked.ok, len(received), count, tuple(missing))
