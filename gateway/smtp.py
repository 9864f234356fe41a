"""The SMTP door: listeners, connection and rate limits, a graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics
from dcc.gateway.settings_sections import SmtpSettings
from dcc.gateway.smtp_connection import Connection
from dcc.gateway.smtp_limits import Census, Rate, origin
from dcc.gateway.smtp_session import STOPPING, DoorSession

Result = TypeVar("Result")
THREADS = 8
BACKLOG = 100  # asyncio takes so many connections at once, before the first of them can be refused
SPARE_FILES = BACKLOG + 128  # and these are kept for spool, database and outgoing mail (defect H)
CUT_SECONDS = 2.0


class SmtpDoor:
    """Listens, and hands messages to the intake."""

    def __init__(
        self, settings: SmtpSettings, intake: Intake, tls: ssl.SSLContext | None, metrics: Metrics, hostname: str
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.metrics = metrics
        self.hostname = hostname
        self.stopping = False
        self.background: set[asyncio.Future[Any]] = set()
        self._rate = Rate(settings.messages_per_minute)
        self._census = Census(
            min(settings.connections, _descriptors() - SPARE_FILES),
            settings.connections_per_address,
            settings.connections_per_network,
        )
        self._tls = tls
        self._sessions: set[Connection] = set()
        self._empty = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._pool = ThreadPoolExecutor(THREADS, "smtp")
        for name in ("mail.log", "mail.debug", "aiosmtpd"):  # defect K: they would log commands and content
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    async def start(self) -> dict[str, str]:
        """Listen; returns {"smtp": "host:port", "smtps": …} with the true ports."""
        loop = asyncio.get_running_loop()
        found = {}
        server = await loop.create_server(self._session, self.settings.host, self.settings.port, backlog=BACKLOG)
        self._servers.append(server)
        found["smtp"] = _address(server)
        if self.settings.tls_port is not None and self._tls is not None:
            # The handshake is begun by the session, so that it counts as a connection from its first octet.
            implicit = await loop.create_server(
                self._session_implicit, self.settings.host, self.settings.tls_port, backlog=BACKLOG
            )
            self._servers.append(implicit)
            found["smtps"] = _address(implicit)
        return found

    async def stop(self, grace_seconds: float) -> None:
        """421 to the idle, `grace_seconds` for those in DATA, then close; commits under way are awaited (defect I)."""
        self.stopping = True
        for server in self._servers:
            server.close()
        tasks = [one.work for one in self._sessions if one.work is not None]
        for session in list(self._sessions):
            if not session.in_data:
                session.dismiss(STOPPING)
        await self._until_empty(grace_seconds)
        for session in list(self._sessions):
            session.dismiss(STOPPING)
        await self._until_empty(CUT_SECONDS)
        for session in list(self._sessions):
            session.cut()
        if tasks:
            await asyncio.wait(tasks, timeout=CUT_SECONDS)
        if self.background:
            await asyncio.wait(self.background, timeout=CUT_SECONDS)
        self._pool.shutdown(wait=False)

    async def _until_empty(self, seconds: float) -> None:
        """Wait until the last session has gone, or this long."""
        self._empty.clear()
        if self._sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._empty.wait()

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Run blocking work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def in_background(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        """Run blocking work that goes on whatever becomes of the session; the end of the door awaits it."""
        done = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self.background.add(done)
        done.add_done_callback(self.background.discard)
        return done

    def allow(self, address: str) -> bool:
        """Count one message of this address, or say that it is one too many."""
        return self._rate.allow(origin(address).host)

    def admit(self, session: Connection) -> str | None:
        """Count a connection, or the reply that refuses it (defect G)."""
        if self.stopping:
            return STOPPING
        if not self._census.enter(origin(session.peer)):
            self.metrics.refused_connections.inc()
            return "421 4.7.0 Too many connections, try again later"
        self._sessions.add(session)
        self.metrics.connections.set(len(self._sessions))
        return None

    def left(self, session: Connection) -> None:
        """A connection ended."""
        self._sessions.discard(session)
        self._census.leave(origin(session.peer))
        self.metrics.connections.set(len(self._sessions))
        if not self._sessions:
            self._empty.set()

    def _session(self) -> DoorSession:
        return DoorSession(self, self._tls, implicit=False)

    def _session_implicit(self) -> DoorSession:
        return DoorSession(self, self._tls, implicit=True)


def _address(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"{host}:{port}"


def _descriptors() -> int:
    """Raise the soft limit of descriptors to the hard one, and say what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard, SPARE_FILES + 16)


def server_context(certificate: str, private_key: str) -> ssl.SSLContext:
    """TLS 1.2 or later (ECO.1). Raises ssl.SSLError, OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key, password="")  # an encrypted key is refused, not asked about
    return context
