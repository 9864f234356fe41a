"""What `dcc message reverify` needs of an instance: its store and its keys, and nothing of the trust in use today."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from dcc.gateway.instance import open_keyring, open_keys
from dcc.gateway.reverify import Reverified, reverify
from dcc.gateway.services import blob_ref, limits_of, open_database
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.mailbox import messages
from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.proofs import ProofStore
from dcc.mailbox.records import Message
from dcc.mailbox.spool import Spool
from dcc.smime.keys import KeyPair


def reverify_of(settings: Settings, message_id: str) -> Reverified | None:
    """One message of an instance; None: there is none of this id. Raises NotProvable, DatabaseGone."""
    with open_database(settings) as database, database.read() as conn:
        message = messages.get(conn, message_id)
    if message is None:
        return None
    source = _original(settings, message)
    try:
        store = ProofStore(settings.path(settings.storage.proofs))
        workdir: Path = settings.path(settings.storage.work)
        return reverify(message, source, store, _keys(settings), limits_of(settings), workdir)
    finally:
        if source is not None:
            source.close()


def _keys(settings: Settings) -> tuple[KeyPair, ...]:
    try:
        return open_keys(settings).decryption
    except ConfigurationError:
        return ()  # without keys the signature is not looked at again, and that is told


def _original(settings: Settings, message: Message) -> BinaryIO | None:
    kept = json.loads(message.evidence or "{}").get("original")
    try:
        if kept is None:
            return Spool(settings.path(settings.storage.spool)).open(message.id)
        blobs = BlobStore(settings.path(settings.storage.documents), open_keyring(settings), os.urandom)
        return blobs.open(blob_ref(kept))
    except (OSError, ConfigurationError):
        return None
