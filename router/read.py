"""Which request a signed mail is: a deposit, a report on one of our mails, or something for a person."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from pathlib import Path

from dcc.router.archive import looks_like_zip
from dcc.router.attachments import ApicryptFoundError, Workshop, read_attachments
from dcc.router.legacy import HEAD, hl7_header, is_hprim
from dcc.router.protected import are_protected
from dcc.router.reasons import Reason, reason
from dcc.router.reports import read_report
from dcc.router.request import Attachment, Deposit, Envelope, NotUnderstood, Receipt, Request
from dcc.router.xdm import DepositRefusedError, is_xdm, open_archive, read_xdm
from dcc.smime import mime
from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.headers import Headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content

NOTHING = Envelope(None, None, None)


def read_request(
    content: Content,
    outer: Headers,
    *,
    limits: Limits,
    workdir: Path | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    return_path: str | None = None,
) -> Request:
    """What the signed content asks for; memory is bounded, hostile content ends as NotUnderstood.

    `outer` are the headers outside the seal, `return_path` the envelope's sender. Raises OSError only.
    """
    file = content.open()
    try:
        root = mime.scan(file, 0, content.size, limits)
    except LimitPassed as passed:
        return NotUnderstood(NOTHING, reason("D2R-LIM01", limit=passed.limit))
    except Malformed:
        return NotUnderstood(NOTHING, reason("D2R-MAL01", detail="mime"))
    body, headers, findings = _protected(root, outer)
    envelope = _envelope(headers, outer, return_path, findings)
    report = read_report(file, body, headers)
    if report is not None:
        return report
    shop = Workshop(workdir, random_bytes)
    try:
        attachments = read_attachments(file, body, shop)
        return _deposit(envelope, attachments, shop, limits)
    except ApicryptFoundError:
        return NotUnderstood(envelope, reason("D2R-APZ01"))
    except DepositRefusedError as refused:
        return NotUnderstood(envelope, refused.reason)
    except LimitPassed as passed:
        return NotUnderstood(envelope, reason("D2R-LIM01", limit=passed.limit))
    except Malformed:
        return NotUnderstood(envelope, reason("D2R-MAL01", detail="encoding"))


def _protected(root: mime.Entity, outer: Headers) -> tuple[mime.Entity, Headers, tuple[str, ...]]:
    """The entity that holds the mail and the headers that count.

    Two ways of protecting headers are read: the whole mail as message/rfc822 (RFC 8551 §3.1), and
    header fields on the payload's root (RFC 9788). Without either, the outer ones, unauthenticated.
    """
    if root.media_type == "message/rfc822" and root.children:
        inner = root.children[0]
        return inner, inner.headers, ()
    if are_protected(root.headers):
        return root, root.headers, ()
    return root, outer, ("headers-not-protected",)


def _envelope(headers: Headers, outer: Headers, return_path: str | None, findings: tuple[str, ...]) -> Envelope:
    wanted = headers.get("Disposition-Notification-To")
    receipt = None
    if wanted:
        to = _bare(wanted)
        # volet LPS/MSS: never automatically when it differs from the Return-Path
        receipt = Receipt(to, automatic=return_path is not None and to == return_path.strip().lower())
    subject, outside = headers.get("Subject"), outer.get("Subject")
    if subject is not None and outside is not None and subject != outside:
        findings = (*findings, "subject-differs-outside")
    return Envelope(
        message_id=headers.get("Message-ID") or outer.get("Message-ID"),
        subject=subject,
        receipt=receipt,
        findings=findings,
    )


def _bare(text: str) -> str:
    """The address inside `Name <address>`."""
    return text.rpartition("<")[2].partition(">")[0].strip().lower()


def _deposit(envelope: Envelope, attachments: tuple[Attachment, ...], shop: Workshop, limits: Limits) -> Request:
    archives = [one for one in attachments if one.role == "archive" or looks_like_zip(one)]
    if not archives:
        return NotUnderstood(envelope, _without_archive(attachments), attachments)
    opened = [open_archive(one, limits) for one in archives]
    sets = [one for one in opened if is_xdm(one)]
    if not sets:
        raise DepositRefusedError(reason("D2R-XDM01", detail="METADATA"))
    found = functools.reduce(operator.add, (read_xdm(one, shop.file) for one in sets))
    return Deposit(envelope, found.documents, (*attachments, *found.parts), found.findings)


def _without_archive(attachments: tuple[Attachment, ...]) -> Reason:
    """Why a mail without an archive waits for a person (facts §11 D, acceptance 43, 44)."""
    for one in attachments:
        with one.open() as reader:
            head = reader.read(HEAD)
        header = hl7_header(head)
        if header is not None:
            return reason("D2R-REQ04", detail=header.message_type)
        if is_hprim(one.name, head):
            return reason("D2R-REQ03")
    if not attachments:
        return reason("D2R-REQ01")
    return reason("D2R-REQ02", detail=attachments[0].media_type)
