"""One SMTP connection: admitted or refused, timed, read command by command, secured, ended (facts: mail §1, E to L).

aiosmtpd's own loop takes commands that end in a bare LF, logs them, and tells exceptions to the peer: this one replaces
it, and TLS goes through asyncio's own `start_tls`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from dcc.gateway.smtp_incoming import failed

if TYPE_CHECKING:
    from dcc.gateway.smtp import SmtpDoor

STREAM_LIMIT = 1 << 17
COMMAND_BYTES = 1024  # RFC 5321 §4.5.3.1.4 asks for 512, and more for each extension
MOST_COMMANDS = 5000  # between two messages taken
MOST_ERRORS = 20
LINGER_SECONDS = 5.0  # how long a peer has to read our last line
BEFORE_TLS = {"NOOP", "EHLO", "STARTTLS", "QUIT"}  # RFC 3207 §4
LAST_OF_GROUP = {"EHLO", "HELO", "DATA"}  # RFC 2920 §3.1: a client waits for the answer to these


class Connection(SMTP):
    """What every connection of the door does, whatever is said on it."""

    line_length_limit = STREAM_LIMIT
    session: Session  # from connection_made on
    envelope: Envelope
    _reader: Any  # its buffer has no public face
    _writer: Any

    def __init__(self, door: SmtpDoor, tls: ssl.SSLContext | None, *, implicit: bool) -> None:
        self._door = door
        self._settings = door.settings
        self._tls = tls
        self._implicit = implicit
        self._admitted = False
        self._ending = False
        self._securing = False
        self._errors = 0
        self._commands = 0
        self._handles: list[asyncio.TimerHandle] = []
        self.in_data = False
        self.peer = ""
        self.tls_version: str | None = None
        super().__init__(
            object(), data_size_limit=door.settings.message_size, ident=door.settings.banner, hostname=door.hostname,
            timeout=door.settings.command_seconds, tls_context=tls, loop=asyncio.get_running_loop(),
        )  # fmt: skip

    @property
    def work(self) -> asyncio.Task[None] | None:
        """The task that serves this connection."""
        return self._handler_coroutine

    # life and end (defects G, H, I)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; one too many is told so and closed."""
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        refused = self._door.admit(self)
        if refused is not None:
            if isinstance(transport, asyncio.WriteTransport) and not self._implicit:
                transport.write(refused.encode() + b"\r\n")
            transport.close()
            return
        self._admitted = True
        self._handles.append(self.loop.call_later(self._settings.session_seconds, self._too_long))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection; what it began goes on without it."""
        if not self._admitted:
            return
        self._admitted = False
        for handle in self._handles:
            handle.cancel()
        self._door.left(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Octets of the peer; those of a refused connection are not kept."""
        if self._admitted:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """The peer has said all it has to say: what it has sent is still worked on, and answered where it can hear it."""
        if not self._admitted:
            return False
        self._reader.feed_eof()
        return self.tls_version is None

    def dismiss(self, reply: str | None = None) -> None:
        """Say why, and close; a peer that does not read is cut after a moment."""
        transport = self.transport
        if self._ending or not isinstance(transport, asyncio.WriteTransport):
            return
        self._ending = True
        self._handles.append(self.loop.call_later(LINGER_SECONDS, transport.abort))
        if self._securing and self.work is not None:
            self.work.cancel()  # nothing can be said in clear any more, and nothing yet in secret
            return
        if reply is not None:
            self._count(reply)
            transport.write(reply.encode() + b"\r\n")
        transport.close()

    def cut(self) -> None:
        """End it now, whatever the peer does."""
        self.dismiss()
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _too_long(self) -> None:
        self.dismiss("421 4.4.2 Session too long")

    def _timeout_cb(self) -> None:
        self.dismiss("421 4.4.2 Timeout, closing")

    # TLS (defect L)

    async def secure(self) -> None:
        """The handshake, with a deadline of its own. Raises ConnectionError when it fails."""
        transport, context = self.transport, self._tls
        if not isinstance(transport, asyncio.Transport) or context is None:
            raise ConnectionAbortedError
        # RFC 3207 §4.2, CVE-2011-0411: what came in clear before the handshake is not part of the secure session.
        self._reader._buffer.clear()
        self._securing = True
        try:
            secured = await self.loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=self._settings.handshake_seconds
            )
        except BaseException as error:
            transport.abort()
            self.connection_lost(None)  # asyncio tells the end of a failed handshake to nobody else
            if isinstance(error, OSError):
                raise ConnectionAbortedError from None
            raise
        finally:
            self._securing = False
        if secured is None or not self._admitted:
            raise ConnectionAbortedError
        self.transport = self._reader._transport = self._writer._transport = secured
        self.tls_version = secured.get_extra_info("ssl_object").version()
        self.session.host_name = None  # RFC 3207 §4.2: what was said before is forgotten
        self._set_rset_state()  # type: ignore[no-untyped-call]

    # the loop

    async def push(self, status: str) -> None:  # type: ignore[override]
        """Answer."""
        self._errors += status.startswith("5")
        self._count(status)
        self._writer.write(status.encode("ascii", "replace") + b"\r\n")
        await self._writer.drain()

    def _count(self, reply: str) -> None:
        if reply[0] in "45":
            self._door.metrics.answered(reply)

    async def _handle_client(self) -> None:
        """Serve until one side ends it."""
        # A connection that breaks is an ordinary end: what it had sent completely is kept already.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self._implicit:
                await self.secure()
            if await self._greet():
                while not self._ending:
                    await self._command()
        self.dismiss()

    async def _greet(self) -> bool:
        """The banner, unless the peer talks before it (RFC 5321 §4.3.1)."""
        early = bool(self._reader._buffer)
        if self._settings.greeting_seconds and not early:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.greeting_seconds):
                    early = bool(await self._reader.readexactly(1))
        if early:
            self.dismiss("554 5.5.1 You talked before the greeting")
            return False
        await self.push(f"220 {self.hostname} ESMTP {self._settings.banner}")
        return True

    async def _command(self) -> None:
        """Read one command and carry it out."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            self.dismiss("500 5.5.2 Line too long")
            return
        if self._ending:
            return
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            self.dismiss("554 5.5.2 Bare CR, bare LF or NUL in a command")  # RFC 5321 §2.3.8
            return
        if len(line) > COMMAND_BYTES:
            await self.push("500 5.5.2 Line too long")
            return
        name, _, argument = line[:-2].decode("ascii", "surrogateescape").partition(" ")
        await self._carry_out(name.upper(), argument.strip(" "))
        if self._errors >= MOST_ERRORS or self._commands >= MOST_COMMANDS:
            self.dismiss("421 4.7.0 Too many errors or commands")

    async def _carry_out(self, command: str, argument: str) -> None:
        self._commands += 1
        method = self._smtp_methods.get(command)
        if self._settings.require_tls and self.tls_version is None and command not in BEFORE_TLS:
            await self.push("530 5.7.0 Must issue a STARTTLS command first")  # RFC 3207 §4
        elif method is None:
            await self.push("500 5.5.1 Command not recognized")
        elif command in LAST_OF_GROUP and self._reader._buffer:
            # What was sent without waiting would be read as commands if this one is refused.
            self.dismiss("554 5.5.0 You talked before the answer")
        else:
            self._reset_timeout()
            try:
                await method(argument)
            except (ConnectionError, asyncio.IncompleteReadError):
                raise
            except Exception as error:  # noqa: BLE001  defect A: whatever fails is a temporary reply
                await self.push(failed(error))
