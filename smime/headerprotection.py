"""Outgoing header fields: checked, encoded, protected inside the seal (RFC 9788; R-HEADER-OUT, R-INTENDED)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr, getaddresses
from functools import lru_cache

from dcc.smime.errors import SmimeError

Fields = Sequence[tuple[str, str]]
LONGEST_LINE = 998  # RFC 5322 §2.1.1
CRLF = "\r\n"
LINE = 78
_FORBIDDEN = re.compile(r"[\r\n\0]")
STRUCTURED = frozenset({"from", "to", "cc", "reply-to", "sender", "disposition-notification-to"})


class HeaderInjection(SmimeError):
    """A header value that comes from data holds CR, LF or NUL: refused to send (R-HEADER-OUT)."""


@dataclass(frozen=True, slots=True)
class MailHeaders:
    """What a mail says of itself. `extra` stands inside the seal only, `outer_extra` inside and outside."""

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
            ("Date", _date(self.date)), ("Message-ID", self.message_id),
            *self.outer_extra, *self.extra,
        ]  # fmt: skip

    def outer(self, subject: str) -> list[tuple[str, str]]:
        """The fields that the way sees, with a neutral subject."""
        return [
            ("From", self.from_), ("To", self.to), ("Subject", subject),
            ("Date", _date(self.date)), ("Message-ID", self.message_id), *self.outer_extra,
        ]  # fmt: skip


@lru_cache(maxsize=16)
def _date(at: datetime) -> str:
    return format_datetime(at)


def field(name: str, value: str) -> bytes:
    """One encoded header field with its CRLF. Raises HeaderInjection."""
    line = f"{name}: {encoded(name, value)}\r\n".encode("ascii")
    if len(line) > LONGEST_LINE and any(len(one) > LONGEST_LINE for one in line.split(b"\r\n")):
        raise HeaderInjection("a header line is over 998 octets")
    return line


def encoded(name: str, value: str) -> str:
    """The value as it stands in the field: folded, words beyond ASCII encoded (RFC 2047). Raises HeaderInjection."""
    if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
        raise HeaderInjection("a header value holds a line end")
    if name.lower() in STRUCTURED:
        return _mailboxes(value)
    if value.isascii():
        return value if len(value) + len(name) < LINE else _folded(value, len(name) + 2)
    return _words(name, value)


@lru_cache(maxsize=16)  # the subject of one deposit, for each of its readers
def _words(name: str, value: str) -> str:
    return Header(value, "utf-8", 76, name).encode(linesep=CRLF)


@lru_cache(maxsize=256)  # the gateway's own address, and each reader's, three times in every mail
def _mailboxes(value: str) -> str:
    shown = [_mailbox(*pair) for pair in getaddresses([value]) if pair[1]]
    return ",\r\n ".join(shown) if shown else value.encode("ascii", "replace").decode()


def _mailbox(shown: str, address: str) -> str:
    """One address of a structured field (RFC 5322 §3.4). Raises HeaderInjection for an address beyond ASCII."""
    if not address.isascii():
        raise HeaderInjection("an address is not ASCII")
    if not shown:
        return address
    if shown.isascii():
        return formataddr((shown, address))
    # An encoded word holds 75 octets (RFC 2047 §2): a long name takes several, each on a line of its own.
    return f"{Header(shown, 'utf-8', 70).encode(linesep=CRLF)} <{address}>"


def _folded(value: str, used: int) -> str:
    """Folded at its blanks: lines of 78 where possible (RFC 5322 §2.1.1)."""
    lines, line = [], ""
    for word in value.split(" "):
        if line.strip() and used + len(line) + len(word) > LINE:
            lines.append(line)
            line, used = " " + word, 0
        else:
            line = f"{line} {word}" if line or lines else word
    return CRLF.join([*lines, line])


def block(fields: Fields) -> bytes:
    """A header block, without its blank line."""
    return b"".join(field(name, value) for name, value in fields)


def protected(headers: MailHeaders, content: Fields, outer: Fields, *, encrypted: bool) -> bytes:
    """The payload's own header block with `hp=` and, when encrypted, what was left outside (RFC 9788 §2.1.1, §2.2)."""
    marked = [
        (name, f'{value}; hp="{"cipher" if encrypted else "clear"}"' if name.lower() == "content-type" else value)
        for name, value in content
    ]
    outside = {pair: field(*pair) for pair in outer}
    inner = b"".join(outside.get(pair) or field(*pair) for pair in headers.inner())
    # HP-Outer: each outer field exactly as it was encoded there (RFC 9788 §2.2)
    left = b"".join(b"HP-Outer: " + outside[pair] for pair in outer) if encrypted else b""
    return inner + left + block([("MIME-Version", "1.0"), *marked]) + b"\r\n"


def wrapped(headers: MailHeaders, content: Fields) -> bytes:
    """The whole mail as one message/rfc822 part, for older clients (RFC 8551 §3.1)."""
    return (
        b"Content-Type: message/rfc822; forwarded=no\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        + block([*headers.inner(), ("MIME-Version", "1.0"), *content])
        + b"\r\n"
    )
