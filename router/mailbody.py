"""The body of a mail as MIME: its words as text and as a page, its attachments, or a receipt that software reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dcc.router.composeparts import EncodedPart, attachment_head
from dcc.router.receipts import Receipt
from dcc.smime.segments import Body
from dcc.smime.transfer import lines_of
from dcc.templates.render import Rendered


def mail_body(
    words: Rendered,
    random_bytes: Callable[[int], bytes],
    parts: Sequence[EncodedPart] = (),
    receipt: Receipt | None = None,
) -> tuple[Body, tuple[tuple[str, str], ...]]:
    """The body and its Content-* fields: both readings of the words, what is attached, or a receipt (RFC 8098 §3)."""
    boundary = f"=_{random_bytes(18).hex()}"
    inner = f"=_{random_bytes(18).hex()}"
    text = (
        f"--{inner}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        f"{_base64(words.text)}--{inner}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{_base64(words.html)}--{inner}--\r\n"
    )
    if receipt is not None:
        head = f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        report = head.encode() + _base64(words.text).encode() + f"--{boundary}\r\n".encode() + receipt.fields
        kind = f'multipart/report; report-type=disposition-notification; boundary="{boundary}"'
        # RFC 6522 §3: an optional third part, the HL7 acknowledgement or the original mail
        third: list[bytes | Any] = [report]
        if receipt.original:
            third += [f"--{boundary}\r\n".encode(), *receipt.original, b"\r\n"]
        for part in parts:
            third += [f"--{boundary}\r\n".encode() + attachment_head(part.name, part.media_type), part.segment]
        return [*third, f"--{boundary}--\r\n".encode()], (("Content-Type", kind),)
    if not parts:
        return [text.encode()], (("Content-Type", f'multipart/alternative; boundary="{inner}"'),)
    start = f'--{boundary}\r\nContent-Type: multipart/alternative; boundary="{inner}"\r\n\r\n{text}'
    body: list[bytes | Any] = [start.encode()]
    for part in parts:
        body.append(f"\r\n--{boundary}\r\n".encode() + attachment_head(part.name, part.media_type))
        body.append(part.segment)
    body.append(f"\r\n--{boundary}--\r\n".encode())
    return body, (("Content-Type", f'multipart/mixed; boundary="{boundary}"'),)


def _base64(text: str) -> str:
    return lines_of(text.replace("\n", "\r\n").encode()).decode("ascii")
