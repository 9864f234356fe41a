"""The argument of MAIL and RCPT: a path and its parameters (RFC 5321 §4.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_DOMAIN = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[A-Za-z0-9:.-]+\]"  # RFC 5321 §4.1.3: address literals
_MAILBOX = re.compile(rf"(?P<local>{_DOT_STRING}|{_QUOTED})@(?P<domain>{_DOMAIN})")
_ROUTE = re.compile(r"@[A-Za-z0-9.-]+(?:,@[A-Za-z0-9.-]+)*:")
_PARAMETER = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9-]*)(?:=(?P<value>[!-<>-~]+))?")
_BRACKETS = re.compile(r'<(?P<path>(?:[^<>"]|"(?:[^"\\]|\\.)*")*)>(?P<rest>(?: .*)?)')

MALFORMED = {"FROM:": "553 5.1.7 Malformed sender address", "TO:": "553 5.1.3 Malformed recipient address"}
NOT_ASCII = "553 5.6.7 Addresses must be ASCII here"  # RFC 6531 §3.5: SMTPUTF8 is not announced
SYNTAX = {"FROM:": "501 5.5.4 Syntax: MAIL FROM:<address>", "TO:": "501 5.5.4 Syntax: RCPT TO:<address>"}
PARAMETER = "501 5.5.4 Malformed parameter"


@dataclass(frozen=True, slots=True)
class Path:
    """A mailbox (empty: the null sender; `postmaster` alone has no domain) and what was said beside it, keys in capitals."""

    address: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The reply to an argument that is none."""

    reply: str


def parse_path(keyword: str, argument: str) -> Path | Refused:
    """Read what follows MAIL (`keyword` "FROM:") or RCPT ("TO:")."""
    if argument[: len(keyword)].upper() != keyword:
        return Refused(SYNTAX[keyword])
    text = argument[len(keyword) :].strip(" ")
    if not text.isascii():
        return Refused(NOT_ASCII)
    found = _BRACKETS.fullmatch(text)
    if found is not None:
        path, rest = found["path"], found["rest"]
    else:  # some devices leave the brackets out; it can be understood in one way only
        path, _, rest = text.partition(" ")
    if keyword == "TO:" and path.lower() == "postmaster":  # RFC 5321 §4.1.1.3: the one mailbox without a domain
        address: str | None = path
    else:
        address = _address(path, null_sender=keyword == "FROM:" and found is not None)
    if address is None:
        return Refused(MALFORMED[keyword])
    parameters: dict[str, str] = {}
    for word in rest.split():
        one = _PARAMETER.fullmatch(word)
        if one is None or one["key"].upper() in parameters:
            return Refused(PARAMETER)
        parameters[one["key"].upper()] = one["value"] or ""
    return Path(address, parameters)


def _address(path: str, *, null_sender: bool) -> str | None:
    """The mailbox of a path; None when it is malformed."""
    if not path and null_sender:  # RFC 5321 §4.5.5
        return ""
    route = _ROUTE.match(path)
    if route is not None:  # RFC 5321 §4.1.1.3, appendix C: a source route is taken and ignored
        path = path[route.end() :]
    found = _MAILBOX.fullmatch(path)
    if found is None:
        return None
    local = found["local"]
    if local.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", local[1:-1])
        if re.fullmatch(_DOT_STRING, plain):  # RFC 5321 §4.1.2: quotes that are not needed change nothing
            local = plain
    return f"{local}@{found['domain']}"
