"""A received mail as a page to read: what the way saw, then what stood under the seal, volatile values named."""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32

from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message

MOMENT = re.compile(r"\b\d\d/\d\d/\d{4} à \d\d:\d\d\b")  # of a document made for the story
DAY = re.compile(r"\b20\d{6}_")  # in the name of a readable copy
OURS = b"<pdf:Producer>DCC gateway</pdf:Producer>"
DATE = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")
POSTMEN = frozenset({"return-path", "delivered-to", "x-original-to", "received"})  # added on the way, not ours
RULE = "=" * 72


class BrokenSeal(AssertionError):
    """A mail is not what a reader may rely on; the text says why."""


@dataclass(frozen=True)
class Unsealed:
    """One mail after its seal was checked."""

    outer: Message
    inner: Message
    encrypted: bool


def unseal(raw: bytes, key: KeyPair | None, gateway: bytes) -> Unsealed:
    """Open with the reader's key and check the gateway's signature. Raises BrokenSeal."""
    opened = open_message(io.BytesIO(raw), keys=() if key is None else (key,))
    try:
        if opened.problem is not None or opened.content is None:
            raise BrokenSeal(f"{opened.problem} {opened.detail}")
        if not opened.signed or not opened.intact or [one.certificate for one in opened.signers] != [gateway]:
            raise BrokenSeal("not signed by the gateway alone")
        if opened.findings:
            raise BrokenSeal(f"odd: {opened.findings}")
        if any(one.signing_time is None for one in opened.signers):
            raise BrokenSeal("no signing time")
        inner = message_from_bytes(opened.content.open().read(), policy=compat32)
        return Unsealed(message_from_bytes(raw, policy=compat32), inner, opened.encrypted)
    finally:
        opened.close()


def page(mail: Unsealed, names: Mapping[str, str], known: Mapping[str, str], signer: bytes) -> str:
    """The mail as a page. `names`: volatile value -> what it is; `known`: SHA-256 of octets -> whose they are."""
    common = re.search(rb"passerelle-dcc-\w+", parts(signer).subject)
    who = "?" if common is None else common[0].decode()
    seal = f"signed by {who}, " + ("encrypted to this reader" if mail.encrypted else "not encrypted")
    lines = [*_fields(mail.outer), "", RULE, seal, RULE, "", *_fields(mail.inner), "", *_body(mail.inner, known)]
    text = DAY.sub("{day}_", MOMENT.sub("{moment}", DATE.sub("{date}", "\n".join(lines))))
    for value in sorted(names, key=len, reverse=True):
        text = text.replace(value, names[value])
    return text.rstrip("\n") + "\n"


def _fields(mail: Message) -> list[str]:
    shown = []
    for name, value in mail.items():
        if name.lower() in POSTMEN:
            continue
        text = str(make_header(decode_header(re.sub(r"\r?\n[ \t]+", " ", str(value)))))
        shown.append(f"{name}: {_without_boundary(text)}")
    return shown


def _without_boundary(text: str) -> str:
    return re.sub(r';\s*boundary="?[^";]+"?', "", text)


def _body(mail: Message, known: Mapping[str, str], depth: int = 0) -> list[str]:
    """Texts are shown, attachments named by where their octets come from."""
    shown: list[str] = []
    plain = ""
    children: Sequence[Message] = mail.get_payload() if mail.is_multipart() else ()  # type: ignore[assignment]
    if mail.get_content_type() == "message/disposition-notification":
        return [line for child in children for line in _fields(child) if line] or ["(empty)"]
    for number, child in enumerate(children, 1):
        shown.append(f"{'-' * 4 * (depth + 1)} part {number}: {_what(child)}")
        if child.get_content_type() == "text/html" and plain and words_of(_text(child)) == words_in(plain):
            shown.extend(["the same words, as a page", ""])
            continue
        shown.extend(_body(child, known, depth + 1))
        if child.get_content_type() == "text/plain":
            plain = _text(child)
    if children:
        return shown
    if mail.get_filename() is None and mail.get_content_maintype() == "text":
        return [*_text(mail).rstrip("\n").split("\n"), ""]
    octets = _octets(mail)
    made = "a readable copy that the gateway made" if OURS in octets else "OTHER OCTETS"
    return [known.get(hashlib.sha256(octets).hexdigest(), made), ""]


def words_of(markup: str) -> list[str]:
    """The words of a page, without its title."""
    body = re.sub(r"(?s)<head>.*?</head>|<h1\b.*?</h1>", " ", markup)
    return words_in(html.unescape(re.sub(r"<[^>]*>", " ", body)))


def words_in(text: str) -> list[str]:
    """The words of a text, without the signs: a text has rules, bars and colons where a page has lines and cells."""
    return re.findall(r"\w+", text)


def _octets(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def _text(part: Message) -> str:
    return _octets(part).decode("utf-8").replace("\r\n", "\n")


def _what(part: Message) -> str:
    name = part.get_filename()
    return part.get_content_type() if name is None else f"{part.get_content_type()} {name!r}"
