"""Handing a finished mail to a running gateway, and waiting for what becomes of it."""

from __future__ import annotations

import re
import smtplib
import time

from dcc.mailbox import messages, outbox
from dcc.mailbox.database import Database
from dcc.mailbox.records import ENDS, DeliveryState, Message

_QUEUED = re.compile(r"queued as (\S+)")
POLL_SECONDS = 0.05
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})  # nobody listens between
TAKEN, TLS_FIRST = 250, 530  # RFC 3207 §4


class NotAccepted(Exception):
    """The gateway did not take the mail: its reply."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


def submit(address: str, mail: bytes, *, sender: str, recipient: str, timeout: float = 60.0) -> str:
    """Send one mail over SMTP, with STARTTLS where it is offered; returns the id of the 250. Raises NotAccepted."""
    host, _, port = address.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=timeout) as client:
            client.ehlo()
            if host not in LOOPBACK:
                _secure(client)
            code, reply = client.mail(sender)
            if code == TLS_FIRST and _secure(client):
                code, reply = client.mail(sender)
            if code == TAKEN:
                code, reply = client.rcpt(recipient)
            if code != TAKEN:
                raise NotAccepted(code, reply.decode("ascii", "replace"))
            code, reply = client.data(mail)
    except smtplib.SMTPResponseException as error:
        text = (
            error.smtp_error.decode("ascii", "replace")
            if isinstance(error.smtp_error, bytes)
            else str(error.smtp_error)
        )
        raise NotAccepted(error.smtp_code, text) from error
    text = reply.decode("ascii", "replace")
    found = _QUEUED.search(text)
    if code != TAKEN or found is None:
        raise NotAccepted(code, text)
    return found[1]


def _secure(client: smtplib.SMTP) -> bool:
    """STARTTLS where it is offered and not done yet; what was said before is said again (RFC 3207 §4.2)."""
    if not client.has_extn("starttls"):
        return False
    client.starttls()
    client.ehlo()
    return True


def wait_for_end(database: Database, message_id: str, *, seconds: float) -> Message | None:
    """The message once it has an end, or None when it has none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with database.read() as conn:
            message = messages.get(conn, message_id)
        if message is not None and message.state in ENDS:
            return message
        time.sleep(POLL_SECONDS)
    return None


def wait_for_mails(database: Database, *, seconds: float) -> bool:
    """Whether nothing is owed any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with database.read() as conn:
            owed = [one for one in outbox.deliveries(conn) if one.state is DeliveryState.QUEUED]
        if not owed:
            return True
        time.sleep(POLL_SECONDS)
    return False
