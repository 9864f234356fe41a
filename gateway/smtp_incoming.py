"""One message on its way into the spool: limits, one thread at a time at its file, and the reply at the end."""

from __future__ import annotations

import asyncio
import secrets
import threading
from typing import TYPE_CHECKING

import structlog

from dcc.gateway.intake import IntakeEnvelope
from dcc.gateway.smtp_data import DataDecoder
from dcc.mailbox.database import DatabaseFull
from dcc.mailbox.spool import SpoolWriter, StorageFull

if TYPE_CHECKING:
    from dcc.gateway.smtp import SmtpDoor

CHUNK = 1 << 18
HEADER_BLOCK = 256 << 10
FULL = "452 4.3.1 Insufficient system storage, try again later"  # RFC 5321 §4.2.3
LATER = "451 4.3.0 Temporary failure, try again later"
BARE = "550 5.5.2 Bare CR, bare LF or NUL in the message"  # RFC 5321 §2.3.8
LOOP = "554 5.4.6 Too many Received fields"  # RFC 5321 §6.3
log = structlog.get_logger("dcc.smtp")


def failed(error: Exception) -> str:
    """Defect A: a fixed text and a reference outside, the kind of failure inside; its own text in neither."""
    reference = secrets.token_hex(4)
    log.error("session_failed", reference=reference, error=type(error).__name__)
    return f"{LATER} (reference {reference})"


class Incoming:
    """Small messages cost one visit to a thread, large ones one a chunk."""

    def __init__(self, door: SmtpDoor, envelope: IntakeEnvelope) -> None:
        self._door = door
        self._envelope = envelope
        self._decoder = DataDecoder(door.settings.line_bytes)
        self._pending = bytearray()
        self._head = bytearray()
        self._problem: str | None = None
        self._lock = threading.Lock()  # its file is one thread's at a time
        self._writer: SpoolWriter | None = None
        self._begun = False  # a thread has been sent to the file
        self._over = False  # nobody may begin with the file any more
        self.size = 0

    async def feed(self, chunk: bytes) -> bytes | None:
        """Decode and keep one chunk; what follows the end of data when it was seen."""
        piece, rest = self._decoder.feed(chunk)
        self.size += len(piece)
        if self._problem is None:
            self._problem = self._too_much()
        if self._problem is not None:
            self._pending = bytearray()
            self.abandon()
            return rest
        if len(self._head) < HEADER_BLOCK:
            self._head += piece[: HEADER_BLOCK - len(self._head)]
        self._pending += piece
        if rest is None and len(self._pending) >= CHUNK:
            self._begun = True
            await self._door.in_thread(self._keep)
        return rest

    async def finish(self) -> str:
        """The reply, after file and row are durable; the work goes on even if the client is gone (defect F)."""
        if self._problem is None and self._too_many_received():
            self._problem = LOOP
        if self._problem is not None:
            self.abandon()
            return self._problem
        self._begun, self._over = True, True
        return await asyncio.shield(self._door.in_background(self._commit))

    def abandon(self) -> None:
        """Forget what was written; nobody was told that we have it. Does nothing once `finish` has taken over."""
        if self._over:
            return
        self._over = True
        if self._begun:
            self._door.in_background(self._forget)

    def _too_much(self) -> str | None:
        limits = self._door.settings
        if self.size > limits.message_size:
            return f"552 5.3.4 Message bigger than {limits.message_size} octets"  # RFC 1870 §6.3
        if self._decoder.bare:
            return BARE
        if self._decoder.long_line:
            return f"550 5.6.0 Line longer than {limits.line_bytes} octets"
        return None

    def _too_many_received(self) -> bool:
        """R-LOOP: more Received fields than a real way has (RFC 5321 §6.3)."""
        end = self._head.find(b"\r\n\r\n")
        block = bytes(self._head if end < 0 else self._head[: end + 2]).lower()
        count = block.count(b"\nreceived:") + block.startswith(b"received:")
        return count > self._door.settings.received_headers

    # in threads

    def _keep(self) -> None:
        with self._lock:
            if not self._over:
                self._write()
            if self._problem is not None:
                self._drop()

    def _write(self) -> None:
        try:
            if self._writer is None:
                self._writer = self._door.intake.begin(self._envelope)
            self._writer.write(self._pending)
        except StorageFull:
            self._problem = FULL
        except Exception as error:  # noqa: BLE001  the rest of DATA must still be read, or it would be commands
            self._problem = failed(error)
        self._pending = bytearray()

    def _commit(self) -> str:
        with self._lock:
            try:
                self._write()
                if self._problem is not None or self._writer is None:
                    return self._problem or LATER
                return f"250 2.0.0 queued as {self._door.intake.commit(self._envelope, self._writer)}"
            except (StorageFull, DatabaseFull):
                return FULL
            except Exception as error:  # noqa: BLE001  whatever fails, the sender keeps the message
                return failed(error)
            finally:
                self._drop()

    def _forget(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        """Close and remove what has not become a message."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
