"""Which request a signed mail is: a deposit, a report on one of our mails, or something for a person."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from dcc.router.archive import looks_like_zip
from dcc.router.attachments import ApicryptFoundError, Workshop, closed_parts, read_attachments
from dcc.router.clinical import (
    DepositRefusedError,
    Said,
    check_each_once,
    check_one_patient,
    document_from,
    header_of,
    ins_of,
    type_of,
)
from dcc.router.content import is_unsafe, kind_of
from dcc.router.hl7_read import open_hl7, read_hl7
from dcc.router.petition import Petition, read_petition
from dcc.router.plain import read_plain
from dcc.router.protected import are_protected, is_wrapped
from dcc.router.reasons import reason
from dcc.router.reports import message_ids, read_report
from dcc.router.request import Attachment, Deposit, Envelope, NotUnderstood, Receipt, Request
from dcc.router.words import words_of
from dcc.router.xdm import is_xdm, open_archive, read_xdm
from dcc.router.xml import XmlRefusedError
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
) -> Request | Petition:
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
        return _compared(_carried(envelope, file, body, attachments, shop, limits), headers)
    except ApicryptFoundError:
        return NotUnderstood(envelope, reason("D2R-APZ01"))
    except DepositRefusedError as refused:
        return NotUnderstood(envelope, refused.reason)
    except LimitPassed as passed:
        return NotUnderstood(envelope, reason("D2R-LIM01", limit=passed.limit))
    except Malformed:
        return NotUnderstood(envelope, reason("D2R-MAL01", detail="encoding"))


def _carried(
    envelope: Envelope,
    file: BinaryIO,
    body: mime.Entity,
    attachments: tuple[Attachment, ...],
    shop: Workshop,
    limits: Limits,
) -> Request | Petition:
    """What the decoded mail carries, the most explicit first: an archive, a form, a message of software, files."""
    if any(is_unsafe(one) for one in attachments):
        return NotUnderstood(envelope, reason("D2R-CNT01", detail="unsafe"), attachments)
    if _is_archive(attachments):
        return _archives(envelope, attachments, shop, limits)
    words = words_of(file, body)
    petition = read_petition(envelope, words, attachments)
    if petition is not None and (petition.fields or petition.secret or not attachments):
        return petition
    kinds = [kind_of(one) for one in attachments]
    if "hl7" in kinds:
        return _messages(envelope, attachments, shop)
    if "cda" in kinds:
        return _loose(envelope, attachments)
    if closed_parts(body):
        return NotUnderstood(envelope, reason("D2R-CNT01", detail="closed"), attachments)
    return read_plain(envelope, attachments, words)


def _compared(found: Request | Petition, headers: Headers) -> Request | Petition:
    """What the X-MSS fields say beside what the documents say: a difference is a finding (ECO.2.4.1, ECO.2.4.2)."""
    if not isinstance(found, Deposit):
        return found
    findings = []
    codes = headers.get("X-MSS-CODECDA")
    if codes is not None and {one.strip() for one in codes.split(",")} != {one.type_code for one in found.documents}:
        findings.append("codecda-differs")
    given = headers.get("X-MSS-INS")
    with_ins = "O" if all(one.patient.ins for one in found.documents) else "N"
    if given is not None and given.strip().upper() != with_ins:
        findings.append("mss-ins-differs")
    return replace(found, findings=(*found.findings, *findings)) if findings else found


def _protected(root: mime.Entity, outer: Headers) -> tuple[mime.Entity, Headers, tuple[str, ...]]:
    """The entity that holds the mail and the headers that count.

    Two ways of protecting headers are read: the whole mail as message/rfc822 (RFC 8551 §3.1), and
    header fields on the payload's root (RFC 9788). Without either, the outer ones, unauthenticated.
    """
    if is_wrapped(root.headers) and root.children:
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
        answers=message_ids(headers),
    )


def _bare(text: str) -> str:
    """The address inside `Name <address>`."""
    return text.rpartition("<")[2].partition(">")[0].strip().lower()


def _is_archive(attachments: tuple[Attachment, ...]) -> bool:
    return any(one.role == "archive" or looks_like_zip(one) for one in attachments)


def _archives(envelope: Envelope, attachments: tuple[Attachment, ...], shop: Workshop, limits: Limits) -> Deposit:
    """The way of MSSanté: IHE_XDM.zip, and readable copies beside it (ECO.2.1.1)."""
    archives = [one for one in attachments if one.role == "archive" or looks_like_zip(one)]
    opened = [open_archive(one, limits) for one in archives]
    sets = [one for one in opened if is_xdm(one)]
    if not sets:
        raise DepositRefusedError(reason("D2R-XDM01", detail="METADATA"))
    found = functools.reduce(operator.add, (read_xdm(one, shop.file) for one in sets))
    return Deposit(envelope, found.documents, (*attachments, *found.parts), found.findings)


def _messages(envelope: Envelope, attachments: tuple[Attachment, ...], shop: Workshop) -> Request:
    """One HL7 v2 message, acknowledged whatever becomes of it; the message itself is kept and not passed on."""
    sources = [one for one in attachments if kind_of(one) == "hl7"]
    kept = tuple(replace(one, role="source") if one in sources else one for one in attachments)
    if len(sources) > 1:
        return NotUnderstood(envelope, reason("D2R-HLM05"), kept)
    opened = open_hl7(envelope, sources[0])
    try:
        return read_hl7(opened, sources[0], kept, shop.file)
    except DepositRefusedError as refused:
        return NotUnderstood(opened.envelope, refused.reason, kept)


def _loose(envelope: Envelope, attachments: tuple[Attachment, ...]) -> Deposit:
    """Clinical documents attached without an archive: nothing says more of them than they do themselves."""
    files = [one for one in attachments if kind_of(one) == "cda"]
    try:
        headers = [(header_of(one), one) for one in files]
    except XmlRefusedError as refused:
        raise DepositRefusedError(reason(refused.code, detail=refused.detail)) from None
    documents = tuple(
        document_from(header, type_of(header, None), one, Said(), findings=("without-metadata",))
        for header, one in headers
    )
    check_one_patient(documents, {ins_of(one.patient) for one in documents})
    check_each_once(documents)
    return Deposit(envelope, documents, attachments, ("without-metadata",))
