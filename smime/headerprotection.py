"""Outgoing header fields: checked, encoded, protected inside the seal (RFC 9788; R-HEADER-OUT, R-INTENDED)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, getaddresses

from dcc.smime.errors import SmimeError

Fields = Sequence[tuple[str, str]]
FORBIDDEN = ("\r", "\n", "\0")
STRUCTURED = frozenset({"from", "to", "cc", "reply-to", "sender", "disposition-notification-to"})


class HeaderInjection(SmimeError):
    """A header value that comes from data holds CR, LF or NUL: refused to send (R-HEADER-OUT)."""


@dataclass(frozen=True, slots=True)
class MailHeaders:
    """What a mail says of itself. `extra` stands inside the seal only, `outer_extra` outside only."""

    from_: str
    to: str
    subject: str
    date: datetime
    message_id: str
    extra: tuple[tuple[str, str], ...] = ()
    outer_extra: tuple[tuple[str, str], ...] = ()

    def inner(self) -> list[tuple[str, str]]:
        """The true fields."""
        return [
            ("From", self.from_), ("To", self.to), ("Subject", self.subject),
            ("Date", format_datetime(self.date)), ("Message-ID", self.message_id), *self.extra,
        ]  # fmt: skip

    def outer(self, subject: str) -> list[tuple[str, str]]:
        """The fields that the way sees, with a neutral subject."""
        return [
            ("From", self.from_), ("To", self.to), ("Subject", subject),
            ("Date", format_datetime(self.date)), ("Message-ID", self.message_id), *self.outer_extra,
        ]  # fmt: skip


def field(name: str, value: str) -> bytes:
    """One encoded header field with its CRLF. Raises HeaderInjection."""
    if any(sign in name or sign in value for sign in FORBIDDEN):
        raise HeaderInjection("a header value holds a line end")
    return f"{name}: {_encoded(name, value)}\r\n".encode("ascii")


def _encoded(name: str, value: str) -> str:
    if name.lower() in STRUCTURED:
        pairs = getaddresses([value])
        return ", ".join(formataddr(pair, "utf-8") for pair in pairs if pair[1])
    if value.isascii():
        return value if len(value) < 900 else Header(value, "ascii", 900, name).encode(linesep="\r\n")
    return Header(value, "utf-8", 76, name).encode(linesep="\r\n")


def block(fields: Fields) -> bytes:
    """A header block, without its blank line."""
    return b"".join(field(name, value) for name, value in fields)


def protected(headers: MailHeaders, content: Fields, outer: Fields, *, encrypted: bool) -> bytes:
    """The payload's own header block with `hp=` and, when encrypted, what was left outside (RFC 9788 §2.1.1, §2.2)."""
    marked = [
        (name, f'{value}; hp="{"cipher" if encrypted else "clear"}"' if name.lower() == "content-type" else value)
        for name, value in content
    ]
    left = [("HP-Outer", f"{name}: {value}") for name, value in outer] if encrypted else []
    return block([*headers.inner(), *left, ("MIME-Version", "1.0"), *marked]) + b"\r\n"


def wrapped(headers: MailHeaders, content: Fields) -> bytes:
    """The whole mail as one message/rfc822 part, for older clients (RFC 8551 §3.1)."""
    return (
        b"Content-Type: message/rfc822; forwarded=no\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        + block([*headers.inner(), ("MIME-Version", "1.0"), *content])
        + b"\r\n"
    )
