"""An SMTP server that answers as a test tells it, and a line that breaks where a test wants it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

ORDINARY = {
    "connect": "220 relay.example", "EHLO": "250-relay.example\r\n250-SIZE 500000000\r\n250 8BITMIME", "DATA": "354 go on",
    "end": "250 2.0.0 taken", "QUIT": "221 2.0.0 bye",
}  # fmt: skip
CLOSE, RESET, SILENCE = "close", "reset", "silence"  # instead of a reply
HELD = "held"  # what is ordinary, once the test says so


def open_sockets(port: int) -> int:
    """How many sockets of this process are connected to this port."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as one:
                    found += one.family == socket.AF_INET and one.getpeername()[1] == port
        except OSError:
            continue  # not connected, or gone meanwhile
    return found


@dataclass(frozen=True)
class Mail:
    """One mail that was taken: envelope, octets without dot-stuffing, and the connection it came on."""

    sender: str
    recipient: str
    octets: bytes
    connection: int


@dataclass
class _Loop:
    """An event loop in a thread of its own."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def end(self) -> None:
        async def finish() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0.01)

        self.run(finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


class ScriptedServer:
    """Says `replies[verb]` in turn, then what is ordinary. Verbs: connect, EHLO, MAIL, RCPT, DATA, end, NOOP, …"""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.replies: defaultdict[str, deque[str]] = defaultdict(deque)
        self.mails: list[Mail] = []
        self.verbs: list[str] = []
        self.connections = 0
        self.asked = threading.Event()  # a reply is held, or will never come
        self.keep = True  # False: mails are counted, not kept
        self._tls = tls
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._loop = _Loop()
        self._gate = asyncio.Event()
        self._server: asyncio.Server = self._loop.run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def go_on(self) -> None:
        """Say what was held."""
        self._loop.loop.call_soon_threadsafe(self._gate.set)

    def __exit__(self, *exc_info: object) -> None:
        self._loop.run(self._close())
        self._loop.end()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._session, "127.0.0.1", 0, limit=1 << 22)

    async def _close(self) -> None:
        self._server.close()
        await self._hang_up()
        for writer in self._writers:
            writer.transport.abort()  # under TLS it would wait for a client that is gone, and the loop ends

    def hang_up(self) -> None:
        """Close every connection, as a server does with the idle ones."""
        self._loop.run(self._hang_up())

    async def _hang_up(self) -> None:
        for writer in list(self._writers):
            writer.close()

    def _reply(self, verb: str) -> str:
        waiting = self.replies[verb]
        return waiting.popleft() if waiting else ORDINARY.get(verb, "250 2.0.0 fine")

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            await self._talk(reader, writer, number)
        except (OSError, asyncio.IncompleteReadError):
            self.verbs.append("lost")
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        sender = recipient = ""
        go_on = await self._say(writer, self._reply("connect"))
        while go_on:
            line = (await reader.readline()).decode(errors="replace")
            if not line:
                return
            verb = line[:4].upper()
            self.verbs.append(verb if verb != "STAR" else "STARTTLS")
            if verb == "STAR":
                await self._say(writer, "220 2.0.0 ready")
                await writer.start_tls(self._tls)
                continue
            reply = self._reply(verb)
            if verb == "EHLO" and self._tls is not None and writer.get_extra_info("ssl_object") is None:
                reply = "250-relay.example\r\n250 STARTTLS"
            sender = line.strip() if verb == "MAIL" else sender
            recipient = line[9:].strip(" <>\r\n") if verb == "RCPT" else recipient
            go_on = await self._say(writer, reply) and verb != "QUIT"
            if go_on and verb == "DATA" and reply.startswith("354"):
                octets = await self._body(reader)
                reply = self._reply("end")
                if reply == HELD:
                    self.asked.set()
                    await self._gate.wait()
                    reply = ORDINARY["end"]
                if reply.startswith("2") or reply in {CLOSE, RESET}:
                    self.mails.append(Mail(sender, recipient, octets, number))
                go_on = await self._say(writer, reply)

    async def _body(self, reader: asyncio.StreamReader) -> bytes:
        kept = bytearray()
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            if self.keep:
                kept += line[1:] if line.startswith(b".") else line
        return bytes(kept)

    async def _say(self, writer: asyncio.StreamWriter, reply: str) -> bool:
        if reply == SILENCE:
            self.asked.set()
            await asyncio.sleep(3600)
        if reply == RESET:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if reply == CLOSE:
            return False
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()
        return True


class FaultyLine:
    """A TCP proxy: hands octets on, until `cut` says that the line breaks. Octets are counted over all connections."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.sent = 0  # from the client to the server
        self.cut_after: int | None = None  # octets of the client that are still handed on
        self.deaf_after: bytes | None = None  # once the client has said this, no reply comes back and the line breaks
        self._tail = b""

    def __enter__(self) -> Self:
        self._loop = _Loop()
        self._server: asyncio.Server = self._loop.run(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.loop.call_soon_threadsafe(self._server.close)
        self._loop.end()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._join, "127.0.0.1", 0)

    async def _join(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._back(server_in, client_out))
        try:
            while octets := await client_in.read(1 << 16):
                if self.cut_after is not None and self.sent + len(octets) > self.cut_after:
                    server_out.write(octets[: max(0, self.cut_after - self.sent)])
                    await server_out.drain()
                    return
                self.sent += len(octets)
                self._tail = (self._tail + octets)[-64:]
                deaf = self.deaf_after is not None and self._tail.endswith(self.deaf_after)
                if deaf:
                    back.cancel()
                server_out.write(octets)
                await server_out.drain()
                if deaf:
                    await server_in.read(1)  # the server has answered: what it took, it has taken
                    return
        except OSError:
            return
        finally:
            back.cancel()
            server_out.close()
            client_out.close()

    async def _back(self, server_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            while octets := await server_in.read(1 << 16):
                client_out.write(octets)
                await client_out.drain()
        except OSError:
            return
        client_out.close()
