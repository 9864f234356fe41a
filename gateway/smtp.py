"""The SMTP door: listeners, connection and rate limits, a graceful end."""

from __future__ import annotations

import asyncio
import logging
import resource
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics
from dcc.gateway.settings import SmtpSettings
from dcc.gateway.smtp_session import Session_

Result = TypeVar("Result")
THREADS = 8
SPARE_FILES = 128  # descriptors kept for spool, database and outgoing mail (defect H)
log = structlog.get_logger("dcc.smtp")


class Rate:
    """Messages of one address within the last minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._seen: dict[str, deque[float]] = {}

    def allow(self, address: str) -> bool:
        """Count one message, or say that it is one too many."""
        now = self._clock()
        if len(self._seen) > 10_000:
            self._seen = {one: times for one, times in self._seen.items() if times and times[-1] > now - 60}
        times = self._seen.setdefault(address, deque())
        while times and times[0] <= now - 60:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now)
        return True


class SmtpDoor:
    """Listens, and hands messages to the intake."""

    def __init__(
        self, settings: SmtpSettings, intake: Intake, tls: ssl.SSLContext | None, metrics: Metrics, hostname: str
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.metrics = metrics
        self.hostname = hostname
        self.rate = Rate(settings.messages_per_minute)
        self.stopping = False
        self.background: set[asyncio.Future[Any]] = set()
        self._tls = tls
        self._sessions: set[Session_] = set()
        self._addresses: Counter[str] = Counter()
        self._of: dict[Session_, str] = {}
        self._servers: list[asyncio.Server] = []
        self._pool = ThreadPoolExecutor(THREADS, "smtp")
        self._most = min(settings.connections, _descriptors() - SPARE_FILES)
        for name in ("mail.log", "mail.debug", "aiosmtpd"):  # defect K: they would log commands and content
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    async def start(self) -> dict[str, str]:
        """Listen; returns {"smtp": "host:port", "smtps": …} with the true ports."""
        loop = asyncio.get_running_loop()
        found = {}
        server = await loop.create_server(self._session, self.settings.host, self.settings.port)
        self._servers.append(server)
        found["smtp"] = _address(server)
        if self.settings.tls_port is not None and self._tls is not None:
            implicit = await loop.create_server(
                self._session_implicit, self.settings.host, self.settings.tls_port, ssl=self._tls,
                ssl_handshake_timeout=self.settings.handshake_seconds,
            )  # fmt: skip
            self._servers.append(implicit)
            found["smtps"] = _address(implicit)
        return found

    async def stop(self, grace_seconds: float) -> None:
        """421 to the idle, `grace_seconds` for those in DATA, then close; commits under way are awaited (defect I)."""
        self.stopping = True
        for server in self._servers:
            server.close()
        for session in list(self._sessions):
            if not session.in_data:
                session.dismiss("421 4.3.2 Service shutting down")
        deadline = time.monotonic() + grace_seconds
        while self._sessions and time.monotonic() < deadline:  # noqa: ASYNC110  sessions end by themselves
            await asyncio.sleep(0.02)
        for session in list(self._sessions):
            session.dismiss("421 4.3.2 Service shutting down")
        if self.background:
            await asyncio.wait(self.background, timeout=grace_seconds)
        self._pool.shutdown(wait=True)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Run blocking work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def admit(self, session: Session_, address: str) -> str | None:
        """Count a connection, or the reply that refuses it (defect G)."""
        if self.stopping:
            return "421 4.3.2 Service shutting down"
        if len(self._sessions) >= self._most or self._addresses[address] >= self.settings.connections_per_address:
            self.metrics.refused_connections.inc()
            return "421 4.7.0 Too many connections, try again later"
        self._sessions.add(session)
        self._addresses[address] += 1
        self._of[session] = address
        self.metrics.connections.set(len(self._sessions))
        return None

    def left(self, session: Session_) -> None:
        """A connection ended."""
        self._sessions.discard(session)
        address = self._of.pop(session, None)
        if address is not None:
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]
        self.metrics.connections.set(len(self._sessions))

    def _session(self) -> Session_:
        return Session_(self, tls_context=self._tls, require_starttls=self.settings.require_tls)

    def _session_implicit(self) -> Session_:
        return Session_(self)


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
