"""One SMTP session: aiosmtpd with its own streaming DATA, limits, replies and privacy (facts: mail §1, A to L)."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from dcc.gateway.intake import IntakeEnvelope, Room
from dcc.gateway.smtp_data import DataDecoder
from dcc.mailbox.database import DatabaseFull, DatabaseGone
from dcc.mailbox.spool import SpoolWriter, StorageFull

if TYPE_CHECKING:
    from dcc.gateway.smtp import SmtpDoor

CHUNK = 1 << 18
STREAM_LIMIT = 1 << 17
HEADER_BLOCK = 256 << 10
DRAIN = 4  # times the size limit: what is read and thrown away to answer 552 politely
FULL = "452 4.3.1 Insufficient system storage, try again later"  # RFC 5321 §4.2.3
BUSY = "451 4.3.2 Too many messages are waiting, try again later"
LATER = "451 4.3.0 Temporary failure, try again later"
NOT_KNOWN = "550 5.1.1 No such mailbox here"
BARE = "550 5.5.2 Bare CR, bare LF or NUL in the message"
LOOP = "554 5.4.6 Too many Received fields"
log = structlog.get_logger("dcc.smtp")


class Session_(SMTP):
    """A session of the door."""

    line_length_limit = STREAM_LIMIT

    def __init__(self, door: SmtpDoor, **options: Any) -> None:
        self._door = door
        self._settings = door.settings
        self.in_data = False
        self.admitted = False
        self._session_handle: asyncio.TimerHandle | None = None
        super().__init__(
            Hooks(door), data_size_limit=door.settings.message_size, ident=door.settings.banner, hostname=door.hostname,
            timeout=door.settings.command_seconds, command_call_limit={"*": 5000}, **options,
        )  # fmt: skip

    # connections: caps, tracking, end (defects G, H, I)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; one too many is told so and closed."""
        first = self.transport is None
        if first:
            peer = transport.get_extra_info("peername")
            refused = self._door.admit(self, peer[0] if peer else "")
            if refused is not None and isinstance(transport, asyncio.WriteTransport):
                transport.write(refused.encode() + b"\r\n")
                transport.close()
                return
            self.admitted = True
            self._session_handle = self.loop.call_later(self._settings.session_seconds, self._too_long)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        if not self.admitted:
            return
        if self._session_handle is not None:
            self._session_handle.cancel()
        self._door.left(self)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """A refused connection has no session to end."""
        return super().eof_received() if self.admitted else None

    def _too_long(self) -> None:
        self.dismiss("421 4.4.2 Session too long")

    def dismiss(self, reply: str) -> None:
        """Say why, and close."""
        if self.transport is not None and isinstance(self.transport, asyncio.WriteTransport | asyncio.Transport):
            self.transport.write(reply.encode() + b"\r\n")
            self.transport.close()

    async def handle_exception(self, error: Exception) -> str:
        """Defect A: a fixed text and a reference outside, the kind of failure inside; never its text."""
        reference = secrets.token_hex(4)
        log.error("session_failed", reference=reference, error=type(error).__name__)
        self._door.metrics.rejected.labels(code="451").inc()
        return f"{LATER} (reference {reference})"

    async def smtp_STARTTLS(self, arg: str) -> None:
        """Defect L: the handshake has a deadline of its own."""
        try:
            async with asyncio.timeout(self._settings.handshake_seconds):
                await super().smtp_STARTTLS(arg)
        except TimeoutError:
            if self.transport is not None:
                self.transport.close()
            if isinstance(self._original_transport, asyncio.WriteTransport):
                self._original_transport.abort()
            raise asyncio.CancelledError from None

    # DATA (defects B, C, D, E, F, J)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        """Stream the message to its spool file; memory is bounded whatever arrives."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        if self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self.in_data = True
        try:
            reply = await self._receive(self._intake_envelope(self.envelope))
        finally:
            self.in_data = False
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if reply is not None:
            self._door.metrics.answered(reply)
            await self.push(reply)
        if (reply is None or self._door.stopping) and self.transport is not None:
            if reply is not None:
                await self.push("421 4.3.2 Service shutting down")
            self.transport.close()

    def _intake_envelope(self, envelope: Envelope) -> IntakeEnvelope:
        session: Session | None = self.session
        peer = session.peer[0] if session is not None and session.peer else ""
        tls = None if session is None or session.ssl is None else "TLS"
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        helo = "" if session is None else str(session.host_name or "")
        return IntakeEnvelope(peer, helo, tls, sender, tuple(one.lower() for one in envelope.rcpt_tos))

    async def _receive(self, envelope: IntakeEnvelope) -> str | None:
        """The reply to the message, or None when the connection must simply be closed."""
        incoming = Incoming(self._door, envelope)
        deadline = self.loop.time() + self._settings.message_seconds
        limit = self._settings.message_size
        try:
            while True:
                left = deadline - self.loop.time()
                if left <= 0:
                    self.dismiss("421 4.4.2 Message too slow")
                    return None
                self._reset_timeout(min(self._settings.chunk_seconds, left))  # defect E: per chunk
                chunk = await self._reader.read(CHUNK)
                if not chunk:
                    raise ConnectionResetError
                rest = await incoming.feed(chunk)
                if rest is not None:
                    self._reader._buffer[:0] = rest  # type: ignore[attr-defined]  # pipelined commands
                    break
                if incoming.size > DRAIN * limit:  # defect D: not read for ever
                    self.dismiss("421 4.3.4 Message far too big")
                    return None
            self._reset_timeout(self._settings.command_seconds)
            return await incoming.finish()
        except BaseException:
            incoming.abandon()
            raise


class Incoming:
    """A message on its way into the spool; small ones cost one visit to a thread, large ones one a chunk."""

    def __init__(self, door: SmtpDoor, envelope: IntakeEnvelope) -> None:
        self._door = door
        self._envelope = envelope
        self._decoder = DataDecoder()
        self._pending = bytearray()
        self._head = bytearray()
        self._writer: SpoolWriter | None = None
        self._problem: str | None = None
        self.size = 0

    async def feed(self, chunk: bytes) -> bytes | None:
        """Decode and keep one chunk; what follows the end of data when it was seen."""
        piece, rest = self._decoder.feed(chunk)
        self.size += len(piece)
        limits = self._door.settings
        if self._problem is None and self.size > limits.message_size:
            self._problem = f"552 5.3.4 Message bigger than {limits.message_size} octets"
        elif self._problem is None and self._decoder.bare:
            self._problem = BARE
        elif self._problem is None and self._decoder.longest_line > limits.line_bytes:
            self._problem = f"550 5.6.0 Line longer than {limits.line_bytes} octets"
        if self._problem is not None:
            self._pending.clear()
            return rest
        if len(self._head) < HEADER_BLOCK:
            self._head += piece[: HEADER_BLOCK - len(self._head)]
        self._pending += piece
        if rest is None and len(self._pending) >= CHUNK:
            await self._door.in_thread(self._write)
        return rest

    def _write(self) -> None:
        try:
            if self._writer is None:
                self._writer = self._door.intake.begin(self._envelope)
            self._writer.write(self._pending)
        except StorageFull:
            self._problem = FULL
        self._pending = bytearray()

    async def finish(self) -> str:
        """The reply, after file and row are durable; the work goes on even if the client is gone (defect F)."""
        if self._problem is None and self._too_many_received():
            self._problem = LOOP
        if self._problem is not None:
            self.abandon()
            return self._problem
        done = asyncio.ensure_future(self._door.in_thread(self._commit))
        self._door.background.add(done)
        done.add_done_callback(self._door.background.discard)
        return await asyncio.shield(done)

    def _commit(self) -> str:
        try:
            self._write()
            if self._problem is not None or self._writer is None:
                self.abandon()
                return self._problem or LATER
            queue_id = self._door.intake.commit(self._envelope, self._writer)
        except (StorageFull, DatabaseFull):
            self.abandon()
            return FULL
        except (DatabaseGone, OSError) as error:
            log.error("intake_failed", error=type(error).__name__)  # noqa: TRY400  its text may hold a path
            self.abandon()
            return LATER
        return f"250 2.0.0 queued as {queue_id}"

    def _too_many_received(self) -> bool:
        """R-LOOP: more Received fields than a real way has (RFC 5321 §6.3)."""
        end = self._head.find(b"\r\n\r\n")
        block = bytes(self._head if end < 0 else self._head[: end + 2]).lower()
        count = block.count(b"\nreceived:") + block.startswith(b"received:")
        return count > self._door.settings.received_headers

    def abandon(self) -> None:
        """Forget what was written; nobody was told that we have it."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


class Hooks:
    """What aiosmtpd asks before each reply."""

    def __init__(self, door: SmtpDoor) -> None:
        self._door = door

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Announce what works."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Rate, free disk and depth of the queue are looked at before anything is received."""
        if self._door.stopping:
            return "421 4.3.2 Service shutting down"
        if not self._door.rate.allow(session.peer[0] if session.peer else ""):
            return "451 4.7.1 Too many messages, slow down"
        try:
            room = await self._door.in_thread(self._door.intake.room)
        except (DatabaseGone, DatabaseFull, OSError):
            return LATER
        if room is Room.DISK_FULL:
            return FULL
        if room is Room.QUEUE_FULL:
            return BUSY
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Only addresses that exist, and not too many."""
        if len(envelope.rcpt_tos) >= self._door.settings.recipients:
            return "452 4.5.3 Too many recipients"
        try:
            known = await self._door.in_thread(functools.partial(self._door.intake.recipient_known, address))
        except (DatabaseGone, DatabaseFull, OSError):
            return LATER
        if not known:
            self._door.metrics.rejected.labels(code="550").inc()
            return NOT_KNOWN
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"


Factory = Callable[[], Session_]
