"""The one sender of a mail (R-FROM, RFC 5322 §3.4, §3.6.2, RFC 8550 §3), read in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dcc.smime.errors import Ambiguous, LimitPassed
from dcc.smime.headers import Headers, decoded, unfold
from dcc.smime.limits import Limits

# One piece of an address list: quoted string, white space, a special, or a run of ordinary characters.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\s+|[()<>,;:]|[^\s"()<>,;:]+|"', re.DOTALL)
_ADDRESS = re.compile(
    r'^(?:[^\s"()<>,;:\\@\[\]]+|"(?:[^"\\\r\n]|\\[^\r\n])*")@(?:[^\s"()<>,;:\\@\[\]]+|\[[^\s\[\]\\@]+\])$'
)
# It begins where a run of its signs does: each run is looked at once
_LOOKS_LIKE_ADDRESS = re.compile(r'(?<![^\s<>()@",;:])[^\s<>()@",;:]++@[^\s<>()@",;:.]++(?:\.[^\s<>()@",;:.]*+)+')
_UPPER = {ord(one): one.lower() for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a list: what is shown, and the address (domain in lower case)."""

    name: str
    address: str


def mailboxes(value: bytes, limits: Limits | None = None) -> list[Mailbox]:
    """The mailboxes of one raw address-list field, groups opened. Raises Ambiguous(R-FROM) for anything else,
    LimitPassed(addresses)."""
    text = unfold(value)
    most = (limits or Limits()).addresses
    if text.count(",") >= most:
        raise LimitPassed("addresses")
    found = []
    for item in _items(text):
        if item.angle is None and not item.plain:
            continue  # RFC 5322 §4.4: empty elements
        found.append(item.mailbox())
        if len(found) > most:
            raise LimitPassed("addresses")
    return found


@dataclass(slots=True)
class _Item:
    """The pieces of one element: outside the angle brackets, and inside them."""

    plain: list[str]
    angle: list[str] | None = None

    def mailbox(self) -> Mailbox:
        if self.angle is None:
            address, name = "".join(self.plain), ""
            if any(piece.isspace() for piece in self.plain):
                raise Ambiguous("R-FROM")
        else:
            address, name = "".join(self.angle), "".join(self.plain)
        if not _ADDRESS.match(address):
            raise Ambiguous("R-FROM")
        return Mailbox(decoded(name.strip().encode("utf-8", "surrogateescape")), normal(address))


def _items(text: str) -> list[_Item]:
    items = [_Item([])]
    inside = False
    for piece in _without_comments(text):
        if piece == '"' or (piece in "<>" and inside == (piece == "<")):
            raise Ambiguous("R-FROM")  # a quoted string without an end, brackets out of order
        if piece == "<":
            if items[-1].angle is not None:
                raise Ambiguous("R-FROM")
            inside, items[-1].angle = True, []
        elif piece == ">":
            inside = False
        elif piece in ",;" and not inside:
            items.append(_Item([]))
        elif piece == ":" and not inside:  # the name of a group (RFC 5322 §3.4)
            items[-1] = _Item([])
        else:
            _take(items[-1], piece, inside=inside)
    if inside:
        raise Ambiguous("R-FROM")
    for item in items:
        _strip(item.plain)
    return items


def _without_comments(text: str) -> Iterator[str]:
    depth = 0
    for piece in _PIECE.findall(text):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth -= 1
            if depth < 0:
                raise Ambiguous("R-FROM")
        elif not depth:
            yield piece
        elif '"' in piece or "\\" in piece:
            raise Ambiguous("R-FROM")  # where such a comment ends, two readers may disagree
    if depth:
        raise Ambiguous("R-FROM")


def _take(item: _Item, piece: str, *, inside: bool) -> None:
    if inside and item.angle is not None:
        item.angle.append(piece)
    elif item.angle is None:
        item.plain.append(piece)
    elif not piece.isspace():
        raise Ambiguous("R-FROM")  # text behind the angle brackets: two readers, two senders


def _strip(pieces: list[str]) -> None:
    while pieces and pieces[0].isspace():
        pieces.pop(0)
    while pieces and pieces[-1].isspace():
        pieces.pop()


def addresses(values: list[bytes], limits: Limits) -> list[str]:
    """The addresses of several raw fields, domains in lower case. Raises LimitPassed, Ambiguous."""
    found = [one.address for value in values for one in mailboxes(value, limits)]
    if len(found) > limits.addresses:
        raise LimitPassed("addresses")
    return found


def normal(address: str) -> str:
    """Domain in lower-case ASCII; the local part as it is."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{lowered(domain)}"


def lowered(text: str) -> str:
    """A to Z in lower case and nothing else: other signs have ASCII letters as theirs (U+212A has k), and are not them."""
    return text.translate(_UPPER)


def single_from(headers: Headers, limits: Limits | None = None) -> str:
    """The one From address. Raises Ambiguous(R-FROM) for none, several fields or several addresses."""
    return _single(headers, limits).address


def _is_group(text: str) -> bool:
    """Whether a colon stands outside comments, quoted strings and angle brackets."""
    inside = False
    for piece in _without_comments(text):
        if piece == ":" and not inside:
            return True
        inside = piece == "<" or (inside and piece != ">")
    return False


def _single(headers: Headers, limits: Limits | None) -> Mailbox:
    values = headers.raw_all("From")
    if len(values) != 1:
        raise Ambiguous("R-FROM")
    if _is_group(unfold(values[0])):
        raise Ambiguous("R-FROM")  # a group is not a sender (RFC 6854 is not followed)
    found = mailboxes(values[0], limits)
    if len(found) != 1:
        raise Ambiguous("R-FROM")
    return found[0]


def sender_oddities(headers: Headers, limits: Limits | None = None) -> bool:
    """Whether a display name holds another address, or Sender or Reply-To name somebody else (R-FROM: flagged)."""
    try:
        one = _single(headers, limits)
        others = [
            other.address
            for name in ("Sender", "Reply-To")
            for value in headers.raw_all(name)
            for other in mailboxes(value, limits)
        ]
    except (Ambiguous, LimitPassed):
        return True
    # The whole field, comments too: many show them as a name (RFC 5322 §3.2.2)
    shown = {lowered(found.strip("'")) for found in _LOOKS_LIKE_ADDRESS.findall(decoded(headers.raw_all("From")[0]))}
    return bool((shown | {lowered(other) for other in others}) - {lowered(one.address)})
