"""An SMTP door in an event loop of its own, and clients that talk to it over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import smtplib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Self

from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics
from dcc.gateway.services import Services
from dcc.gateway.settings_sections import SmtpSettings
from dcc.gateway.smtp import SmtpDoor, server_context
from dcc.mailbox import messages

GATEWAY = "passerelle@dcc.example"
SENDER = "medecin@cabinet.example"
MAIL = b"From: a@b.example\r\nSubject: x\r\n\r\nbonjour\r\n"
PATIENCE = 60.0  # of tests, for what must happen: never a measure of speed


@dataclasses.dataclass
class RunningDoor:
    """A door in an event loop of its own thread."""

    door: SmtpDoor
    services: Services
    host: str
    port: int
    tls_port: int
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread

    def stop(self, grace: float = 5.0) -> None:
        """Stop it and end the loop."""
        asyncio.run_coroutine_threadsafe(self.door.stop(grace), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()


def open_door(services: Services, **changes: object) -> RunningDoor:
    """Open a door with these SMTP settings changed."""
    base = services.settings.smtp.model_dump() | {"port": 0, "tls_port": 0, "free_disk_bytes": 0} | changes
    smtp = SmtpSettings(**base)
    certificate, key = services.settings.smtp.certificate, services.settings.smtp.private_key
    assert certificate is not None
    assert key is not None
    tls = server_context(str(services.settings.path(certificate)), str(services.settings.path(key)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    changed = services.settings.model_copy(update={"smtp": smtp})
    services.settings = changed
    intake = Intake(services, lambda: datetime.now(UTC))
    door = SmtpDoor(smtp, intake, tls, Metrics(), "dcc.example")
    told = asyncio.run_coroutine_threadsafe(door.start(), loop).result(PATIENCE)
    host, _, port = told["smtp"].rpartition(":")
    return RunningDoor(door, services, host, int(port), int(told["smtps"].rpartition(":")[2]), loop, thread)


@contextlib.contextmanager
def opened(services: Services, **changes: object) -> Iterator[RunningDoor]:
    """A door with these SMTP settings, while inside."""
    running = open_door(services, **changes)
    try:
        yield running
    finally:
        running.stop(1.0)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where somebody listens."""

    host: str
    port: int


@contextlib.contextmanager
def client(door: RunningDoor | Place) -> Iterator[smtplib.SMTP]:
    """A connected client that has said EHLO."""
    with smtplib.SMTP(door.host, door.port, timeout=PATIENCE) as smtp:
        smtp.ehlo("client.example")
        yield smtp


def send(door: RunningDoor | Place, mail: bytes, recipient: str = GATEWAY, sender: str = SENDER) -> tuple[int, str]:
    """The reply to DATA, or the first refusal."""
    with client(door) as smtp:
        for code, text in (smtp.mail(sender), smtp.rcpt(recipient)):
            if code != 250:
                return code, text.decode()
        code, text = smtp.data(mail)
        return code, text.decode()


class Raw:
    """A client that writes octets as they are."""

    def __init__(self, door: RunningDoor | Place, *, source: str = "127.0.0.1", hello: bool = True) -> None:
        self.socket = socket.create_connection((door.host, door.port), PATIENCE, source_address=(source, 0))
        self._got = b""
        if hello:
            self.reply()
            self.ask(b"EHLO client.example")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def say(self, octets: bytes) -> None:
        """Write."""
        self.socket.sendall(octets)

    def reply(self) -> bytes:
        """One line; what there is when the line is closed."""
        while b"\r\n" not in self._got:
            try:
                piece = self.socket.recv(4096)
            except ConnectionError:
                piece = b""
            if not piece:
                line, self._got = self._got, b""
                return line
            self._got += piece
        line, _, self._got = self._got.partition(b"\r\n")
        return line

    def answer(self) -> list[bytes]:
        """A whole reply, of one or more lines."""
        lines = [self.reply()]
        while lines[-1][3:4] == b"-":
            lines.append(self.reply())
        return lines

    def ask(self, command: bytes) -> bytes:
        """One command; the last line of its reply."""
        self.say(command + b"\r\n")
        return self.answer()[-1]

    def into_data(self) -> None:
        """MAIL, RCPT and DATA, to the gateway."""
        self.say(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{GATEWAY}>\r\nDATA\r\n".encode())
        assert [self.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        """The handshake, on a line that is in clear until now."""
        self.socket = (context or any_certificate()).wrap_socket(self.socket)

    def reset(self) -> None:
        """Break the line without a farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def any_certificate() -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must become true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stored(services: Services) -> list[messages.Message]:
    """Every message that has a row."""
    with services.database.read() as conn:
        return messages.list_messages(conn)


def spooled(services: Services) -> list[str]:
    """The names of the files in the spool."""
    return sorted(one.name for one in services.spool.directory.iterdir())
