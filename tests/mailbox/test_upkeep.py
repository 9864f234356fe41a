"""Upkeep on both engines: orphans are found, keys are wrapped anew, and nothing in use is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcc.mailbox import documents, messages, outbox, upkeep
from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.database import Database
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.records import BlobRef, Delivery, DeliveryState, Message

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def ring() -> KeyRing:
    """A key ring with one version."""
    return KeyRing.create(os.urandom)


@pytest.fixture
def store(tmp_path: Path, ring: KeyRing) -> BlobStore:
    """An empty blob store."""
    (tmp_path / "documents").mkdir()
    return BlobStore(tmp_path / "documents", ring, os.urandom)


@pytest.fixture
def kept(
    database: Database, world: Any, store: BlobStore, make_message: Callable[..., Message]
) -> tuple[BlobRef, BlobRef]:
    """A document's blob, and the original of a message that came in clear."""
    part, original = store.put([b"part"]), store.put([b"original"])
    told = {
        "id": original.id, "size": original.size, "sha256": original.sha256, "key_version": original.key_version,
        "wrapped_key": original.wrapped_key.hex(),
    }  # fmt: skip
    with database.begin() as conn:
        (one,) = world.document.parts
        documents.add_document(conn, replace(world.document, parts=(replace(one, blob=part),)))
        messages.insert_received(conn, make_message(1, evidence=json.dumps({"original": told, "x": "é"})))
        messages.insert_received(
            conn, make_message(2, evidence=json.dumps({"said": ["original", 1], "original": None}))
        )
    return part, original


def test_only_orphans_are_found(database: Database, store: BlobStore, kept: tuple[BlobRef, BlobRef]) -> None:
    """A file that neither a document nor a message names is an orphan; the others are not."""
    lost = store.put([b"lost"])
    with database.read() as conn:
        assert [path.name for path in upkeep.orphan_blobs(conn, store, FUTURE)] == [lost.id]
        assert upkeep.blob_ids(conn) == {one.id for one in kept}


def test_keys_are_wrapped_anew(
    database: Database, tmp_path: Path, ring: KeyRing, kept: tuple[BlobRef, BlobRef]
) -> None:
    """After rewrapping, every file opens with the new key alone, and a second pass finds nothing to do."""
    rotated = ring.rotated(os.urandom)
    with database.begin() as conn:
        assert upkeep.rewrap(conn, rotated, limit=1) == 1
        assert upkeep.rewrap(conn, rotated) == 1
        assert upkeep.rewrap(conn, rotated) == 0
        (part,) = documents.blob_refs(conn)
        message = messages.get(conn, "message1")
    assert message is not None
    evidence = json.loads(message.evidence)
    assert evidence["x"] == "é"
    told = evidence["original"]
    original = BlobRef(
        told["id"], told["size"], told["sha256"], told["key_version"], bytes.fromhex(told["wrapped_key"])
    )
    assert (part.key_version, original.key_version) == (2, 2)
    only_new = BlobStore(tmp_path / "documents", KeyRing({2: rotated._versions[2]}), os.urandom)
    assert (only_new.read(replace(part, size=4)), only_new.read(original)) == (b"part", b"original")


def test_secrets_of_mails_that_may_leave_are_wrapped_anew(
    database: Database, ring: KeyRing, make_delivery: Callable[..., Delivery]
) -> None:
    """A one-time secret in a mail that is queued, failed or uncertain is opened by the new version; the others are left."""
    newer = ring.rotated(os.urandom)
    version, wrapped = ring.wrap(b"s" * 16)
    told = (("secret", f"{version}:{wrapped.hex()}"), ("step", "verify"))
    states = (DeliveryState.QUEUED, DeliveryState.FAILED, DeliveryState.UNCERTAIN, DeliveryState.SENT)
    with database.begin() as conn:
        for number, state in enumerate(states):
            outbox.enqueue(conn, make_delivery(number, state=state, parameters=told))
        outbox.enqueue(conn, make_delivery(9, parameters=(("step", "secret"),)))
        assert upkeep.rewrap(conn, newer, limit=2) == 2
        assert upkeep.rewrap(conn, newer) == 1
        assert upkeep.rewrap(conn, newer) == 0
        found = {one.state: dict(one.parameters) for one in outbox.deliveries(conn) if one.id != "delivery9"}
    assert found.pop(DeliveryState.SENT) == dict(told)
    for parameters in found.values():
        new, _, again = parameters.pop("secret").partition(":")
        assert (int(new), parameters) == (newer.current, {"step": "verify"})
        assert newer.unwrap(int(new), bytes.fromhex(again)) == b"s" * 16
