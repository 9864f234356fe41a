"""What is said in one SMTP session: each command, its conditions and its reply (RFC 5321 §4, facts: mail §1, A to L)."""

from __future__ import annotations

import asyncio
import functools

from aiosmtpd.smtp import syntax

from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.intake import IntakeEnvelope, Room
from dcc.gateway.smtp_connection import Connection
from dcc.gateway.smtp_incoming import CHUNK, FULL, LATER, Incoming, failed
from dcc.gateway.smtp_path import PARAMETER, Refused, parse_path
from dcc.mailbox.database import DatabaseFull, DatabaseGone

DRAIN = 4  # times the size limit: what is read and thrown away to answer 552 politely
OK = "250 2.0.0 OK"
HELLO_FIRST = "503 5.5.1 EHLO first"
STOPPING = "421 4.3.2 Service shutting down"
BUSY = "451 4.3.2 Too many messages are waiting, try again later"
NOT_IMPLEMENTED = "502 5.5.1 Not implemented"
NOT_KNOWN = "550 5.1.1 No such mailbox here"
APART = "452 4.5.3 A mail for the postmaster is for nobody else, send this recipient's by itself"
UNKNOWN_PARAMETER = "555 5.5.4 Parameter not recognized"
ROOMS = {Room.DISK_FULL: FULL, Room.QUEUE_FULL: BUSY}


class DoorSession(Connection):
    """A session of the door. Replies carry enhanced codes (RFC 2034), and never what the peer wrote."""

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname: str) -> None:
        """Announce what works: no AUTH (there is nobody to log in), no SMTPUTF8, no CHUNKING."""
        offered = [f"SIZE {self._settings.message_size}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"]
        if self._tls is not None and self.tls_version is None:
            offered.append("STARTTLS")
        await self._hello(hostname, [*offered, "HELP"], extended=True)

    @syntax("HELO hostname")
    async def smtp_HELO(self, hostname: str) -> None:
        """The greeting of an old client."""
        await self._hello(hostname, [], extended=False)

    async def _hello(self, hostname: str, offered: list[str], *, extended: bool) -> None:
        if not hostname:
            await self.push("501 5.5.4 Syntax: EHLO hostname")
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self.session.host_name = hostname
        self.session.extended_smtp = extended
        lines = [self.hostname, *offered]
        await self.push("\r\n".join([*(f"250-{one}" for one in lines[:-1]), f"250 {lines[-1]}"]))

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg: str) -> None:
        """Defect L: the handshake has a deadline of its own."""
        if arg:
            await self.push("501 5.5.4 Syntax: STARTTLS")
        elif self._tls is None or self.tls_version is not None:
            await self.push("503 5.5.1 TLS is not available, or active already")
        else:
            await self.push("220 2.0.0 Ready to start TLS")
            await self.secure()

    @syntax("MAIL FROM:<address> [parameters]")
    async def smtp_MAIL(self, arg: str) -> None:
        """Begin a message."""
        await self.push(await self._mail(arg))

    async def _mail(self, arg: str) -> str:
        """Rate, size, free disk and depth of the queue are looked at before anything is received."""
        if not self.session.host_name:
            return HELLO_FIRST
        if self.envelope.mail_from is not None:
            return "503 5.5.1 Nested MAIL command"
        path = parse_path("FROM:", arg)
        if isinstance(path, Refused):
            return path.reply
        size, body = path.parameters.pop("SIZE", "0"), path.parameters.pop("BODY", "7BIT")
        if path.parameters:
            return UNKNOWN_PARAMETER
        if not size.isdigit() or len(size) > 20 or body.upper() not in {"7BIT", "8BITMIME"}:  # RFC 1870 §4, RFC 6152 §2
            return PARAMETER
        if int(size) > self._settings.message_size:
            return f"552 5.3.4 Message bigger than {self._settings.message_size} octets"  # RFC 1870 §6.1
        if self._door.stopping:
            return STOPPING
        if not self._door.allow(self.peer):
            return "451 4.7.1 Too many messages, slow down"
        try:
            room = await self._door.in_thread(functools.partial(self._door.intake.room, int(size)))
        except (DatabaseGone, DatabaseFull, OSError):
            return LATER
        if room is not Room.YES:
            return ROOMS[room]
        self.envelope.mail_from = path.address
        return "250 2.1.0 OK"

    @syntax("RCPT TO:<address>")
    async def smtp_RCPT(self, arg: str) -> None:
        """Name one recipient."""
        await self.push(await self._recipient(arg))

    async def _recipient(self, arg: str) -> str:
        """Only addresses that exist, and not too many."""
        if self.envelope.mail_from is None:
            return "503 5.5.1 MAIL first"
        path = parse_path("TO:", arg)
        if isinstance(path, Refused):
            return path.reply
        if path.parameters:  # RFC 3461 is not announced
            return UNKNOWN_PARAMETER
        if len(self.envelope.rcpt_tos) >= self._settings.recipients:
            return "452 4.5.3 Too many recipients"  # RFC 5321 §4.5.3.1.10
        address = path.address if "@" in path.address else f"{path.address}@{self.hostname}"  # <postmaster>
        try:
            refused = await self._door.in_thread(functools.partial(self._not_taken, address))
        except (DatabaseGone, DatabaseFull, OSError):
            return LATER
        if refused is not None:
            return refused
        self.envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    def _not_taken(self, address: str) -> str | None:
        """Why this recipient cannot be added, or None."""
        if not self._door.intake.recipient_known(address):
            return NOT_KNOWN
        if self.envelope.rcpt_tos and not self._door.intake.go_together(self.envelope.rcpt_tos[0], address):
            return APART
        return None

    # DATA (defects B, C, D, E, F, J)

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        """Stream the message to its spool file; memory is bounded whatever arrives."""
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 RCPT first")
            return
        self.in_data = True
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            reply = await self._receive(self._intake_envelope())
        finally:
            self.in_data = False
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        if reply is None:
            return
        if reply.startswith("250"):
            self._door.metrics.answered(reply)
            self._errors = self._commands = 0
        await self.push(reply)
        if reply.startswith("250"):
            checkpoint("after-250")
        if self._door.stopping:
            self.dismiss(STOPPING)

    def _intake_envelope(self) -> IntakeEnvelope:
        recipients = tuple(dict.fromkeys(one.lower() for one in self.envelope.rcpt_tos))
        return IntakeEnvelope(
            self.peer, str(self.session.host_name), self.tls_version, self.envelope.mail_from or "", recipients
        )

    async def _receive(self, envelope: IntakeEnvelope) -> str | None:
        """The reply to the message, or None when the line is closed instead."""
        incoming = Incoming(self._door, envelope)
        deadline = self.loop.time() + self._settings.message_seconds
        rest = None
        try:
            while rest is None:
                left = deadline - self.loop.time()
                if left <= 0:
                    self.dismiss("421 4.4.2 Message too slow")
                    return None
                self._reset_timeout(min(self._settings.chunk_seconds, left))  # defect E: per chunk
                chunk = await self._reader.read(CHUNK)
                if not chunk or self._ending:  # it left in the middle, or we have: nobody was told that we have it
                    raise ConnectionResetError
                rest = await incoming.feed(chunk)
                if rest is None and incoming.size > DRAIN * self._settings.message_size:  # defect D: not for ever
                    self.dismiss("421 4.3.4 Message far too big")
                    return None
            self._reader._buffer[:0] = rest  # pipelined commands
            self._reset_timeout(self._settings.command_seconds)
            return await incoming.finish()
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:  # noqa: BLE001  the rest of the message must never be read as commands
            self.dismiss("421" + failed(error)[3:])
            return None
        finally:
            incoming.abandon()

    # the others

    @syntax("RSET")
    async def smtp_RSET(self, arg: str) -> None:
        """Forget the message under way."""
        self._set_rset_state()  # type: ignore[no-untyped-call]
        await self.push(OK)

    @syntax("NOOP")
    async def smtp_NOOP(self, arg: str) -> None:
        """Nothing."""
        await self.push(OK)

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str) -> None:
        """The end."""
        self.dismiss("221 2.0.0 Bye")

    @syntax("VRFY")
    async def smtp_VRFY(self, arg: str) -> None:
        """Who exists is not told here (RFC 5321 §7.3)."""
        await self.push("252 2.5.0 Cannot verify, send the message to find out")

    @syntax("HELP")
    async def smtp_HELP(self, arg: str) -> None:
        """The commands that exist."""
        await self.push("214 2.0.0 EHLO HELO STARTTLS MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")

    async def smtp_AUTH(self, arg: str) -> None:
        """There is nobody to log in: cards sign, sessions do not (defect L)."""
        await self.push(NOT_IMPLEMENTED)

    async def smtp_EXPN(self, arg: str) -> None:
        """Lists are not told (RFC 5321 §7.3)."""
        await self.push(NOT_IMPLEMENTED)
