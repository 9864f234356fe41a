"""The smarthost: aiosmtplib behind the relay port, one kept connection for each sending thread (facts: mail §3)."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from pathlib import Path

import aiosmtplib

from dcc.gateway.relaying import Outcome, Rejected, Relay, Sent, TryLater, Uncertain
from dcc.gateway.settings import RelaySettings, Settings
from dcc.gateway.sink import Sink

MOST_MESSAGES = 50  # on one connection
MOST_IDLE = 30.0  # seconds


def relay_of(settings: Settings) -> Relay:
    """The relay that the settings name."""
    if settings.relay.kind == "sink":
        return Sink(settings.path(settings.relay.sink))
    domain = settings.gateway.address.rpartition("@")[2]
    return SmartHost(settings.relay.model_copy(update={"password": settings.relay_password}), domain)


class _Connection(threading.local):
    """The connection of one thread, with the event loop it lives in."""

    runner: asyncio.Runner | None = None
    client: aiosmtplib.SMTP | None = None
    used: int = 0
    last: float = 0.0


class SmartHost:
    """Sends through one fixed host."""

    idempotent = False

    def __init__(self, settings: RelaySettings, domain: str) -> None:
        self._settings = settings
        self._domain = domain
        self._own = _Connection()

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        """Send one mail; the reply to DATA decides."""
        del delivery_id
        if self._own.runner is None:
            self._own.runner = asyncio.Runner()
        return self._own.runner.run(self._send(mail, sender, recipient))

    async def _send(self, mail: Path, sender: str, recipient: str) -> Outcome:
        try:
            client = await self._connected()
            await client.mail(sender)
            await client.rcpt(recipient)
        except aiosmtplib.SMTPResponseException as error:
            await self._drop()
            return _refusal(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            await self._drop()
            return TryLater("connection")
        octets = await asyncio.to_thread(mail.read_bytes)  # canonical CRLF: the library must have nothing to change
        try:
            await client.data(octets)
        except aiosmtplib.SMTPResponseException as error:
            await self._drop()
            return _refusal(error.code)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            await self._drop()
            return Uncertain()  # broken after DATA: it may have arrived, and is not sent again blindly
        self._own.used += 1
        self._own.last = time.monotonic()
        return Sent()

    async def _connected(self) -> aiosmtplib.SMTP:
        own = self._own
        if own.client is not None:
            stale = own.used >= MOST_MESSAGES or time.monotonic() - own.last > MOST_IDLE
            if not stale:
                try:
                    await own.client.noop()
                    return own.client
                except (aiosmtplib.SMTPException, OSError, TimeoutError):
                    own.client = None  # closed meanwhile: a new one is opened
            await self._drop()
        settings = self._settings
        context = ssl.create_default_context() if settings.verify else ssl._create_unverified_context()  # noqa: S323  an operator's choice, off by default
        client = aiosmtplib.SMTP(
            hostname=settings.host, port=settings.port, timeout=settings.timeout_seconds, tls_context=context,
            use_tls=settings.tls == "implicit", start_tls=settings.tls == "starttls", local_hostname=self._domain,
        )  # fmt: skip
        await client.connect()
        if settings.username is not None:
            await client.login(settings.username, settings.password or "")
        own.client, own.used, own.last = client, 0, time.monotonic()
        return client

    async def _drop(self) -> None:
        client, self._own.client = self._own.client, None
        if client is not None:
            client.close()


def _refusal(code: int) -> Outcome:
    return Rejected(str(code)) if code >= 500 else TryLater(str(code))
