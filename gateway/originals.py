"""A received mail as its sender wrote it, opened again to be enclosed in a sealed receipt (facts/clinical.md §3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from dcc.gateway.services import Services
from dcc.mailbox.records import Message
from dcc.router.protected import are_protected
from dcc.router.receipts import ENCLOSED, Original
from dcc.smime import mime
from dcc.smime.errors import SmimeError
from dcc.smime.headers import Headers, read_headers
from dcc.smime.segments import FileSegment
from dcc.smime.verdict import Content
from dcc.smime.workfile import WorkFile

# What a mail client leaves outside the seal, put back where the inside has no header fields of its own
PUT_BACK = ("From", "To", "Cc", "Date", "Subject", "Message-ID", "In-Reply-To", "References")
LOOSE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
CHUNK = 1 << 18


def original_of(services: Services, message: Message) -> Original | None:
    """The mail inside the seal with its header fields; None: it is gone, or cannot be opened any more."""
    try:
        with services.open_original(message) as source:
            opened = services.open_mail(source)
        if opened.problem is not None or opened.content is None:
            opened.close()
            return None
        try:
            return _inside(services, opened.content, opened.outer)
        finally:
            opened.close()
    except (OSError, SmimeError):
        return None


SEALED = {"application/pkcs7-mime", "application/x-pkcs7-mime"}
ENVELOPES = {"enveloped-data", "authenveloped-data"}


def says_it_is_sealed(services: Services, message: Message) -> bool:
    """Whether the outer header of a received mail says that the rest is encrypted (RFC 8551 §3.2.2).

    For one that could not be worked on: what does not say so is taken for a mail in clear. Raises OSError.
    """
    with services.open_original(message) as source:
        try:
            media_type, parameters = mime.content_type(read_headers(source, services.limits)[0])
        except SmimeError:
            return False
    return media_type in SEALED and parameters.get("smime-type", "").lower() in ENVELOPES


def _inside(services: Services, content: Content, outer: Headers) -> Original:
    root, body = _head(services, content.open(), content.size)
    start = 0
    headers = root
    if mime.content_type(root)[0] == "message/rfc822":  # RFC 8551 §3.1: the whole mail, wrapped
        start = body
        headers = _head(services, content.file.view(content.start + body, content.size - body), content.size - body)[0]
    before = b"" if start or are_protected(root) else _put_back(outer)
    subject = outer.get("Subject") if before else headers.get("Subject")
    told = _block(content.file.view(content.start + start, content.size - start))
    if len(before) + content.size - start > ENCLOSED:
        return Original(subject, before + told, None)
    kept = WorkFile(services.workdir, services.random_bytes)
    for piece in _lines(content.file.view(content.start + start, content.size - start)):
        kept.write(piece)
    return Original(subject, before + told, (before, FileSegment(kept.view, 0, kept.size)))


def _head(services: Services, file: BinaryIO, size: int) -> tuple[Headers, int]:
    return read_headers(file, services.limits, size)


def _put_back(outer: Headers) -> bytes:
    """Fields as they were received, but for line ends within."""
    lines = []
    for name in PUT_BACK:
        for raw in outer.raw_all(name)[:1]:
            value = LOOSE_END.sub(b"\r\n", raw).strip(b"\r\n")
            lines.append(name.encode() + b": " + value.lstrip() + b"\r\n")
    return b"".join(lines)


def _block(file: BinaryIO) -> bytes:
    """The header block at the start, ends of lines made whole."""
    head = LOOSE_END.sub(b"\r\n", file.read(1 << 16))
    return head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The octets with whole line ends: what is signed in our answer must not change on its way (RFC 8551 §3.1.1)."""
    held = b""
    while block := file.read(CHUNK):
        piece = held + block
        held = piece[-1:] if piece.endswith(b"\r") else b""
        yield LOOSE_END.sub(b"\r\n", piece[: len(piece) - len(held)])
    if held:
        yield b"\r\n"
