"""The proof that an instance is whole: its trace, every file that its database names, every key (facts: mail §9)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from dcc.gateway.instance import open_keyring, open_keys
from dcc.gateway.proving import named
from dcc.gateway.services import blob_ref, open_database
from dcc.gateway.settings import Settings, load_settings
from dcc.mailbox import audit, documents, messages, outbox
from dcc.mailbox.blobs import BlobDamaged, BlobStore
from dcc.mailbox.keyring import KeyMissing
from dcc.mailbox.proofs import ProofLost, ProofStore
from dcc.mailbox.records import BlobRef, DeliveryState, Message
from dcc.mailbox.spool import as_received

EVERY = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of an instance found."""

    audit_ok: bool
    messages: int
    documents: int
    missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing and the trace is whole."""
        return self.audit_ok and not self.missing


def verify(directory: Path) -> Verified:
    """Read everything that the database names, to its last byte. Raises ConfigurationError, DatabaseGone."""
    settings = load_settings(directory / "dcc.toml")
    blobs = BlobStore(settings.path(settings.storage.documents), open_keyring(settings), bytes)
    with open_database(settings) as database, database.read() as conn:
        checked = audit.verify(conn, open_keys(settings).signing.certificate)
        refs = list(documents.blob_refs(conn))
        received = messages.list_messages(conn, limit=EVERY)
        missing = [f"document {one.id}" for one in refs if not _reads(blobs, one)]
        missing += [f"message {one.id}" for one in received if not _original_is_there(settings, blobs, one)]
        missing += [f"envoi {name}" for name in _absent_mails(settings, conn)]
        missing += [f"preuve {name}" for name in _absent_proofs(settings, received)]
    return Verified(checked.ok, len(received), len(refs), tuple(missing))


def _reads(blobs: BlobStore, ref: BlobRef) -> bool:
    digest = hashlib.sha256()
    try:
        with blobs.open(ref) as file:
            while chunk := file.read(1 << 18):
                digest.update(chunk)
    except (OSError, KeyMissing, BlobDamaged):
        return False
    return digest.hexdigest() == ref.sha256


def _original_is_there(settings: Settings, blobs: BlobStore, message: Message) -> bool:
    """The received bytes, unchanged (I6); in front of them in the spool stands our own Received field."""
    kept = json.loads(message.evidence or "{}").get("original")
    if kept is not None:
        return _reads(blobs, blob_ref(kept))
    path = settings.path(settings.storage.spool) / f"{message.id}.eml"
    try:
        with path.open("rb") as file:
            return as_received(file, message.size, message.sha256)
    except OSError:
        return False


def _absent_proofs(settings: Settings, received: Iterable[Message]) -> Iterator[str]:
    """What verdicts rested on and is not there, or is damaged."""
    store = ProofStore(settings.path(settings.storage.proofs))
    cards = (json.loads(one.evidence or "{}").get("card") or {} for one in received)
    for name in sorted({one for card in cards for one in named(card)}):
        try:
            store.read(name)
        except ProofLost:
            yield name


def _absent_mails(settings: Settings, conn: Connection) -> Iterator[str]:
    """Sealed mails that wait and whose file is not there."""
    folder = settings.path(settings.storage.outbox)
    for one in outbox.deliveries(conn):
        waiting = one.state is DeliveryState.QUEUED and one.sealed_file is not None
        if waiting and not (folder / str(one.sealed_file)).is_file():
            yield one.id
