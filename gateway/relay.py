"""The smarthost: aiosmtplib behind the relay port, one kept connection for each sending thread (facts: mail §3)."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import BinaryIO, TypeVar

import aiosmtplib

from dcc.gateway.relay_data import DataPhase
from dcc.gateway.relaying import Outcome, Rejected, Relay, Sent, TryLater, Uncertain
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.settings_sections import RelaySettings
from dcc.gateway.sink import Sink

MOST_MESSAGES = 50  # on one connection
MOST_IDLE = 30.0  # seconds
QUIT_SECONDS = 5.0
UNAVAILABLE = 421
# The next host does not like how we speak, or that we did not log in: it says nothing about this mail, and an operator
# can put it right (RFC 5321 §4.2.2; RFC 3207 §4; RFC 4954 §6)
ABOUT_US = frozenset({500, 502, 503, 504, 530, 534, 535, 538})
LOST = (aiosmtplib.SMTPException, OSError, TimeoutError)
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")  # RFC 2034

Result = TypeVar("Result")


def relay_of(settings: Settings) -> Relay:
    """The relay that the settings name. Raises ConfigurationError."""
    if settings.relay.kind == "sink":
        return Sink(settings.path(settings.relay.sink))
    domain = settings.gateway.address.rpartition("@")[2]
    relay = settings.relay.model_copy(update={"password": settings.relay_password})
    return SmartHost(relay, domain, tls_context(settings))


def tls_context(settings: Settings) -> ssl.SSLContext:
    """How the next host is verified, and with which certificate we present ourselves. Raises ConfigurationError."""
    relay = settings.relay
    try:
        authorities = None if relay.authorities is None else str(settings.path(relay.authorities))
        context = ssl.create_default_context(cafile=authorities)
    except OSError:
        raise ConfigurationError([f"relay.authorities : {relay.authorities} est absent ou illisible"]) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # ECO.1
    if not relay.verify:  # an operator's choice, off by default
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if relay.certificate is not None:
        key = None if relay.private_key is None else str(settings.path(relay.private_key))
        try:
            context.load_cert_chain(str(settings.path(relay.certificate)), key, password="")
        except OSError:
            raise ConfigurationError(
                [f"relay.certificate : {relay.certificate} et sa clé sont absents ou illisibles"]
            ) from None
    return context


class _UnreachableError(Exception):
    """The next host does not take anything now; it says nothing about this mail."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Line(aiosmtplib.SMTP):
    """A connection whose socket is closed when it is closed, whatever the other side does."""

    def close(self) -> None:
        """Under TLS asyncio waits up to 30 s for the other side's close_notify, which nobody is owed (RFC 8446 §6.1).

        Ours is sent. Between two sendings the loop stands still, so that the socket would stay open until the next one.
        """
        transport = self.transport
        super().close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


class _Connection(threading.local):
    """The connection of one thread, with the event loop it lives in."""

    runner: asyncio.Runner | None = None
    client: aiosmtplib.SMTP | None = None
    used: int = 0
    last: float = 0.0


class SmartHost:
    """Sends through one fixed host."""

    idempotent = False

    def __init__(self, settings: RelaySettings, domain: str, context: ssl.SSLContext) -> None:
        self._settings = settings
        self._domain = domain
        self._context = context
        self._own = _Connection()

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        """Send one mail; the reply to DATA decides. Raises OSError when the file cannot be read."""
        del delivery_id
        if not recipient.isascii():
            return Rejected("553 5.6.7")  # RFC 6531 §3.5: we do not ask for SMTPUTF8
        with mail.open("rb") as octets:
            return self._run(self._send(octets, sender, recipient))

    def rest(self) -> None:
        """Nothing to send just now: a connection that was idle for long is closed."""
        if self._own.client is not None and time.monotonic() - self._own.last > MOST_IDLE:
            self._run(self._quit())

    def close(self) -> None:
        """End this thread's connection."""
        if self._own.runner is not None:
            if self._own.client is not None:
                self._run(self._quit())
            self._own.runner.close()
            self._own.runner = None

    def _run(self, work: Coroutine[None, None, Result]) -> Result:
        if self._own.runner is None:
            self._own.runner = asyncio.Runner()
        return self._own.runner.run(work)

    async def _send(self, octets: BinaryIO, sender: str, recipient: str) -> Outcome:
        phase: DataPhase | None = None
        try:
            async with asyncio.timeout(self._settings.lease_seconds * 0.9):  # after the lease another may take it
                client = await self._addressed(sender, recipient, octets.seek(0, 2))
                octets.seek(0)
                phase = DataPhase(client, self._settings.timeout_seconds)
                reply = await phase.send(octets)
            self._own.used += 1
            self._own.last = time.monotonic()
            outcome = _outcome(reply.code, reply.message, ended=phase.ended)
            if not phase.ended or reply.code == UNAVAILABLE or isinstance(outcome, Uncertain):
                self._drop()  # before the end: what it takes for commands is our mail
            return outcome
        except _UnreachableError as error:
            self._drop()
            return TryLater(error.code)
        except aiosmtplib.SMTPResponseException as error:  # to MAIL, RCPT, DATA; or a reply that is none
            await self._reset(error.code)
            return _outcome(error.code, error.message, ended=phase is not None and phase.ended)
        except LOST:
            self._drop()
            # Once the end of data is handed over it may have arrived, and is not sent again blindly (I1). Before, the
            # next host may not act on what it has (RFC 5321 §4.1.1.4).
            return Uncertain() if phase is not None and phase.ended else TryLater("connection")
        except BaseException:
            self._drop()  # our own file failed in the middle of DATA: the line must not go on
            raise

    async def _addressed(self, sender: str, recipient: str, size: int) -> aiosmtplib.SMTP:
        """A connection that has taken sender and recipient; a kept one that was closed meanwhile is replaced."""
        while True:
            kept = await self._kept()
            client = await self._connect() if kept is None else kept
            try:
                options = [f"SIZE={size}"] if client.supports_extension("size") else []  # RFC 1870
                told: list[str] = []
                if self._settings.ask_dsn and client.supports_extension("dsn"):
                    # ECO.2.3.1; RFC 3461 §4.1, §4.3: the report carries our neutral header only, never the mail
                    options, told = [*options, "RET=HDRS"], ["NOTIFY=SUCCESS,FAILURE"]
                await client.mail(sender, options=options)
                await client.rcpt(recipient, options=told)
                return client
            except aiosmtplib.SMTPResponseException as error:
                if kept is None or error.code != UNAVAILABLE:
                    raise
                self._drop()
            except LOST as error:
                self._drop()
                if kept is None:
                    raise _UnreachableError("connection") from error

    async def _kept(self) -> aiosmtplib.SMTP | None:
        own = self._own
        if own.client is None:
            return None
        if own.used >= MOST_MESSAGES or time.monotonic() - own.last > MOST_IDLE:
            await self._quit()
            return None
        try:
            await own.client.noop()
            return own.client
        except LOST:
            self._drop()  # closed meanwhile: a new one is opened
            return None

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
        client = _Line(
            hostname=settings.host, port=settings.port, timeout=settings.timeout_seconds, tls_context=self._context,
            use_tls=settings.tls == "implicit", start_tls=settings.tls == "starttls", local_hostname=self._domain,
        )  # fmt: skip
        try:
            await client.connect()
            await client.ehlo()
            if settings.username is not None:
                await client.login(settings.username, settings.password or "")
        except aiosmtplib.SMTPResponseException as error:  # also a 5xx: it is about us, not about this mail
            client.close()
            raise _UnreachableError(_code(error.code, error.message)) from error
        except LOST as error:
            client.close()
            raise _UnreachableError("connection") from error
        except BaseException:
            client.close()
            raise
        self._own.client, self._own.used, self._own.last = client, 0, time.monotonic()
        return client

    async def _reset(self, code: int) -> None:
        """The mail was refused; the connection is good for the next one, unless it says otherwise."""
        client = self._own.client
        if client is None or code == UNAVAILABLE or not 400 <= code < 600:
            self._drop()
            return
        try:
            await client.rset()
            self._own.last = time.monotonic()
        except LOST:
            self._drop()

    async def _quit(self) -> None:
        client, self._own.client = self._own.client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(QUIT_SECONDS):
                await client.quit()
        except LOST:
            self._own.used = 0  # it is gone: nothing was left to say
        finally:
            client.close()

    def _drop(self) -> None:
        client, self._own.client = self._own.client, None
        if client is not None:
            client.close()


def _outcome(code: int, text: str, *, ended: bool) -> Outcome:
    """What a reply means for the mail. `ended`: the whole of it was handed over before."""
    if 400 <= code < 500 or (code in ABOUT_US and not ended):
        return TryLater(_code(code, text))
    if 500 <= code < 600:
        return Rejected(_code(code, text))
    if not ended:
        return TryLater("connection")
    return Sent() if 200 <= code < 300 else Uncertain()


def _code(code: int, text: str) -> str:
    """The reply's code and enhanced code; never its text, which may quote an address (I3)."""
    found = ENHANCED.match(text)
    return str(code) if found is None else f"{code} {found[0]}"
