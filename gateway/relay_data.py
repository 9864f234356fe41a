"""The DATA phase of an outgoing mail: streamed from its file, octets unchanged, memory bounded (I8).

aiosmtplib takes a whole mail in memory and rewrites its line ends; a signed mail must arrive as it was made
(facts: mail §3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import BinaryIO

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

CHUNK = 1 << 16
GO_AHEAD = 354


class DataPhase:
    """One DATA. `ended`: the end of data was handed over, so that from then on the mail may have arrived."""

    def __init__(self, client: aiosmtplib.SMTP, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self.ended = False

    async def send(self, mail: BinaryIO) -> aiosmtplib.SMTPResponse:
        """Send the mail; the reply to it, whatever its code. Raises SMTPException, OSError, TimeoutError."""
        begun = await self._client.execute_command(b"DATA")
        protocol = self._client.protocol
        if begun.code != GO_AHEAD:
            raise aiosmtplib.SMTPDataError(begun.code, begun.message)
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        # Listened to before anything is written: a reply that comes early ("552 too big") must not be missed
        reply = asyncio.create_task(protocol.read_response())
        try:
            await asyncio.sleep(0)
            for piece in stuffed(mail):
                if reply.done():
                    break
                await self._write(protocol, piece, reply)
            else:
                self.ended = True
                await self._write(protocol, b".\r\n", reply)
            # RFC 5321 §4.5.3.2.6: the wait for this reply is the longest one, because giving up makes doubles
            async with asyncio.timeout(2 * self._timeout):
                return await reply
        finally:
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)

    async def _write(self, protocol: SMTPProtocol, piece: bytes, reply: asyncio.Task[aiosmtplib.SMTPResponse]) -> None:
        """Write, and wait while the peer does not take it (RFC 5321 §4.5.3.2.5), unless it has answered already."""
        protocol.write(piece)
        # The protocol was made for a StreamWriter's drain(); a StreamWriter itself would close what it wraps.
        drained = asyncio.create_task(protocol._drain_helper())
        first = {drained, reply}
        done, _ = await asyncio.wait(first, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        if drained in done and reply not in done:
            return drained.result()
        drained.cancel()
        await asyncio.gather(drained, return_exceptions=True)
        if not done:
            raise TimeoutError
        return None


def stuffed(mail: BinaryIO) -> Iterator[bytes]:
    """The mail's octets with leading dots doubled (RFC 5321 §4.5.2), ending in CRLF; nothing else is changed."""
    tail = b"\r\n"  # the last two octets before: a line may begin at the first octet of a piece
    while piece := mail.read(CHUNK):
        joined = tail + piece
        yield joined.replace(b"\r\n.", b"\r\n..")[len(tail) :]
        tail = joined[-2:]
    if tail != b"\r\n":
        yield b"\r\n"
