"""What the door needs from the rest: known recipients, room, and a durable place for each message (I1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.rolebox import is_for_operator, is_role, is_served
from dcc.gateway.services import Services
from dcc.mailbox import messages
from dcc.mailbox.database import DatabaseGone
from dcc.mailbox.records import Message, MessageState
from dcc.mailbox.rows import new_id
from dcc.mailbox.spool import SpoolWriter, free_bytes

READY_SECONDS = 1.0  # how long an answer about room and queue is used again


class Room(StrEnum):
    """Whether the gateway can take another message now."""

    YES = "yes"
    DISK_FULL = "disk_full"
    QUEUE_FULL = "queue_full"


@dataclass(frozen=True, slots=True)
class IntakeEnvelope:
    """The envelope of one transaction. `mail_from` is empty for the null sender; `tls` the protocol or None."""

    peer: str
    helo: str
    tls: str | None
    mail_from: str
    recipients: tuple[str, ...]


class Intake:
    """Puts messages into spool and database; called from threads, never from the event loop."""

    def __init__(self, services: Services, clock: Callable[[], datetime]) -> None:
        self._services = services
        self._clock = clock
        self._checked = -READY_SECONDS
        self._room = Room.YES
        self._free = 0

    def recipient_known(self, address: str) -> bool:
        """Whether this is an address of ours: the gateway's, one of a network's, a folder's, or the operator's."""
        wanted = address.lower()
        settings = self._services.settings
        if wanted == settings.gateway.address:
            return True
        with self._services.database.read() as conn:
            return is_served(conn, settings, wanted) or is_for_operator(conn, settings, wanted)

    def go_together(self, first: str, second: str) -> bool:
        """Whether one mail may be for both: the operator's is never opened, the others' is."""
        if not is_role(first) and not is_role(second):
            return True
        with self._services.database.read() as conn:
            settings = self._services.settings
            return is_for_operator(conn, settings, first) == is_for_operator(conn, settings, second)

    def room(self, size: int = 0) -> Room:
        """Free disk and depth of the queue, looked at once a second at most; `size` is what the sender announces."""
        now = time.monotonic()
        if now - self._checked >= READY_SECONDS:
            self._room = self._look()
            self._checked = now
        floor = self._services.settings.smtp.free_disk_bytes
        if self._room is Room.YES and size > self._free - floor:  # RFC 1870 §6.1
            return Room.DISK_FULL
        return self._room

    def _look(self) -> Room:
        limits = self._services.settings.smtp
        self._free = self._free_bytes()
        if self._free < limits.free_disk_bytes:
            return Room.DISK_FULL
        with self._services.database.read() as conn:
            depth = messages.queue_depth(conn)
        return Room.QUEUE_FULL if depth >= limits.queue_high_water else Room.YES

    def _free_bytes(self) -> int:
        """The least room of any disk that a message needs on its way: what cannot be filed is not taken."""
        storage = self._services.settings.storage
        found = [self._services.spool.free_bytes()]
        for place in (storage.documents, storage.outbox, storage.proofs, storage.work):
            with suppress(FileNotFoundError):  # not on this machine
                found.append(free_bytes(self._services.settings.path(place)))
        return min(found)

    def begin(self, envelope: IntakeEnvelope) -> SpoolWriter:
        """Begin a message; our own Received field stands in front of its bytes. Raises StorageFull."""
        writer = self._services.spool.create(new_id(self._services.random_bytes))
        try:
            writer.write_front(self._received(envelope, writer.message_id))
        except BaseException:
            writer.discard()  # on a full disk a file can be made, and not be written
            raise
        return writer

    def commit(self, envelope: IntakeEnvelope, writer: SpoolWriter) -> str:
        """Make it durable: file, then row. Returns the id for the `250`, the first one for a retransmission."""
        now = self._clock()
        writer.commit()
        checkpoint("after-rename")
        message = Message(
            id=writer.message_id, received_at=now, size=writer.size, sha256=writer.sha256,
            mail_from=envelope.mail_from, recipients=envelope.recipients, peer=envelope.peer,
            state=MessageState.RECEIVED, due=now,
        )  # fmt: skip
        written = False
        try:
            with self._services.database.begin() as conn:
                known = messages.insert_received(conn, message)
                written = True
        except DatabaseGone:
            # When the line breaks during the COMMIT the row may be there: its file stays, and without a row it is an
            # orphan, cleared after a day. Removed, the retransmission would be taken for what is lost.
            if not written:
                self._services.spool.remove(writer.message_id)
            raise
        except BaseException:
            self._services.spool.remove(writer.message_id)  # nobody was told that we have it
            raise
        checkpoint("after-row")
        if known != writer.message_id:
            self._services.spool.remove(writer.message_id)
        self._services.wake.set()
        return known

    def _received(self, envelope: IntakeEnvelope, message_id: str) -> bytes:
        """RFC 5321 §4.4, without any address of a person."""
        kind = "ESMTP" if envelope.tls is None else f"ESMTPS ({envelope.tls})"  # RFC 3848
        domain = self._services.settings.gateway.address.rpartition("@")[2]
        at = self._clock().strftime("%a, %d %b %Y %H:%M:%S +0000")
        helo = "".join(sign for sign in envelope.helo[:120] if sign.isalnum() or sign in ".-_[]:") or "unknown"
        return f"Received: from {helo} by {domain} with {kind}\r\n\tid {message_id}; {at}\r\n".encode()
