"""Receipts, bounces and automatic replies: recognised, never deposits, never answered (RFC 8098, 3464, 3834)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from dcc.router.attachments import is_archive, is_file
from dcc.router.request import Report
from dcc.smime import mime
from dcc.smime.address import single_from
from dcc.smime.errors import LimitPassed, Malformed, SmimeError
from dcc.smime.headers import Headers, parse, read_headers
from dcc.smime.limits import Limits

FIELDS_LIMIT = 64 << 10  # bytes of a machine-readable part that are read
IDS_LIMIT = 50
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}>")
_ANS_ERROR = re.compile(r"\b(90[0-6])\b")
SEALED = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/signed"})


def recognise(source: BinaryIO, size: int, *, limits: Limits, mail_from: str | None) -> Report | None:
    """The report a raw mail is, judged from its outer headers; None: not a report, or sealed.

    A sealed one is recognised inside its seal. `mail_from` is the envelope's sender, "" for the null sender.
    """
    source.seek(0)
    try:
        headers, _ = read_headers(source, limits, size)
    except (Malformed, LimitPassed):
        return None
    media_type, parameters = mime.content_type(headers)
    if media_type in SEALED:
        return None
    if media_type == "multipart/report":
        return replace(_structured(source, 0, size, limits), from_address=author_of(headers, limits))
    if parameters.get("smime-type") or not (is_automatic(headers) or mail_from == ""):
        return None
    return replace(_plain(headers), from_address=author_of(headers, limits))


def author_of(headers: Headers, limits: Limits) -> str | None:
    """Who says to have sent a report. The envelope does not tell: a receipt has the null sender (RFC 8098 §3)."""
    try:
        return single_from(headers, limits).lower()
    except SmimeError:
        return None


def is_reply(headers: Headers) -> bool:
    """Whether these headers say that a program has answered a mail of ours (RFC 3834 §5)."""
    submitted = (headers.get("Auto-Submitted") or "no").split(";")[0].strip().lower()
    return submitted.startswith("auto-replied")


def is_automatic(headers: Headers) -> bool:
    """Whether these headers say that nobody wrote this mail in answer (RFC 3834 §5); `auto-generated` does not."""
    precedence = (headers.get("Precedence") or "").strip().lower()
    return is_reply(headers) or precedence in {"auto_reply", "bulk", "junk", "list"}


def read_report(file: BinaryIO, root: mime.Entity, headers: Headers) -> Report | None:
    """The report inside a seal, or None when the mail is something else."""
    if root.media_type == "multipart/report":
        return _report(file, root)
    if not is_automatic(headers) or _brings_files(root, archives_only=is_reply(headers)):
        return None
    return _plain(headers)


def _brings_files(root: mime.Entity, *, archives_only: bool) -> bool:
    """Whether a mail signed by its author brings what may be filed, whatever is written on its outside.

    Software marks results as `bulk`, and anybody on the way may: a document is not lost for that (I2). An answer of a
    program may bring a logo or an acknowledgement, or quote our mail; an archive of its own is a deposit.
    """
    if root.media_type == "message/rfc822":  # somebody else's mail, quoted
        return False
    if root.children:
        return any(_brings_files(one, archives_only=archives_only) for one in root.children)
    return is_archive(root) if archives_only else is_file(root)


def _structured(source: BinaryIO, start: int, size: int, limits: Limits) -> Report:
    try:
        return _report(source, mime.scan(source, start, size, limits))
    except (Malformed, LimitPassed):
        return Report("dsn", (), None, "none")


def _report(file: BinaryIO, root: mime.Entity) -> Report:
    for part in root.children:
        if part.media_type == "message/disposition-notification":
            return _mdn(file, root, part)
        if part.media_type in {"message/delivery-status", "message/global-delivery-status"}:
            return _dsn(file, root, part)
    return Report("auto", message_ids(root.headers), None, "none")


def _mdn(file: BinaryIO, root: mime.Entity, part: mime.Entity) -> Report:
    """RFC 8098 §3.2; the older KO form `processed/Error: 902^…` is read too (facts §3.2)."""
    fields = next(_groups(file, part), Headers())
    disposition = (fields.get("Disposition") or "").split(";")[-1].strip().lower()
    kind, _, modifier = disposition.partition("/")
    error = _ANS_ERROR.search(f"{fields.get('Error') or ''} {modifier}")
    failed = modifier.startswith(("error", "failed")) or kind in {"failed", "denied"}
    return Report(
        kind="mdn",
        original_message_ids=_ids(fields.get("Original-Message-ID")) or message_ids(root.headers),
        final_recipient=_address(fields.get("Final-Recipient")),
        outcome="error" if failed else (kind if kind in {"displayed", "processed"} else "none"),
        error=error[1] if error else None,
    )


def _dsn(file: BinaryIO, root: mime.Entity, part: mime.Entity) -> Report:
    """RFC 3464 §2; our Message-ID stands in the returned headers."""
    groups = list(_groups(file, part))
    recipient = next((one for one in groups if one.get("Action") or one.get("Final-Recipient")), Headers())
    action = (recipient.get("Action") or "").strip().lower()
    # `relayed` left for a host that tells nothing of a delivery: a failure may still come (RFC 3464 §2.3.3)
    outcome = {"failed": "failed", "delayed": "delayed", "delivered": "delivered"}
    return Report(
        kind="dsn",
        original_message_ids=_returned_ids(file, root) or message_ids(root.headers),
        final_recipient=_address(recipient.get("Original-Recipient")) or _address(recipient.get("Final-Recipient")),
        outcome=outcome.get(action, "none"),
    )


def _returned_ids(file: BinaryIO, root: mime.Entity) -> tuple[str, ...]:
    for part in root.children:
        if part.media_type == "message/rfc822" and part.children:
            return _ids(part.children[0].headers.get("Message-ID"))
        if part.media_type in {"text/rfc822-headers", "message/global-headers"}:
            return _ids(next(_groups(file, part), Headers()).get("Message-ID"))
    return ()


def _plain(headers: Headers) -> Report:
    return Report("auto", message_ids(headers), None, "none")


def message_ids(headers: Headers) -> tuple[str, ...]:
    """The Message-IDs an answer names (RFC 5322 §3.6.4)."""
    return _ids(f"{headers.get('In-Reply-To') or ''} {headers.get('References') or ''}")


def _ids(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_MESSAGE_ID.findall(text or "")))[:IDS_LIMIT]


def _address(text: str | None) -> str | None:
    """`rfc822; person@example.org` -> the address (RFC 3464 §2.3.2)."""
    found = (text or "").rpartition(";")[2].strip().strip("<>").lower()
    return found if "@" in found and len(found) <= 320 else None


def _groups(file: BinaryIO, part: mime.Entity) -> Iterator[Headers]:
    """The groups of fields of a machine-readable part, separated by blank lines."""
    text = b""
    try:
        for block in mime.decode(file, part):
            text += block
            if len(text) > FIELDS_LIMIT:
                break
    except Malformed:
        return
    limits = Limits()
    for group in re.split(rb"\r?\n[ \t]*\r?\n", text[:FIELDS_LIMIT].lstrip(b"\r\n")):
        try:
            yield parse(group.strip(b"\r\n") + b"\r\n", limits)
        except (Malformed, LimitPassed):
            continue
