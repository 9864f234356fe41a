"""The stages of a message's life between `received` and its end: each looks, and either goes on or says the end."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO

from dcc.cards.verdict import Verdict
from dcc.gateway import operatorbox
from dcc.gateway.asking import newcomer, petition_stage, renewed
from dcc.gateway.decided import ended_of
from dcc.gateway.held import FOR_OPERATOR
from dcc.gateway.identifying import identify, learned
from dcc.gateway.progress import Ended, Progress
from dcc.gateway.rolebox import all_for_operator
from dcc.gateway.services import Services
from dcc.mailbox import people
from dcc.mailbox.records import Account, MessageState
from dcc.mailbox.rows import new_id
from dcc.mailbox.spool import as_received
from dcc.router import reports
from dcc.router.answer import plan_answer
from dcc.router.attested import Opener
from dcc.router.decide import decide, decide_report
from dcc.router.petition import Petition
from dcc.router.read import read_request
from dcc.router.reasons import Reason, reason
from dcc.router.request import NotUnderstood, Report, Sender
from dcc.router.sender import Unidentified
from dcc.smime.address import lowered, single_from
from dcc.smime.errors import SmimeError
from dcc.smime.verdict import Content, Opened, Problem

REVOCATION_UNKNOWN = "D2R-CRL03"
TOO_MANY = "D2R-OPN03"
MATCHED = "D2R-REP01"


class OriginalDamagedError(Exception):
    """The received bytes are not those that were received: the fault is ours, and is not told to the sender as theirs."""


def open_stage(services: Services, progress: Progress) -> Ended | None:
    """Limits, decryption, signature. A report that came in clear ends here; so does whatever cannot be believed.

    Before that is said, the bytes are compared with what was received; where a signature is good, it has done so.
    Raises OriginalDamagedError.
    """
    source = progress.stack.enter_context(services.open_original(progress.message))
    ended = _open(services, progress, source)
    if ended is not None and not as_received(source, progress.message.size, progress.message.sha256):
        raise OriginalDamagedError
    return ended


def _open(services: Services, progress: Progress, source: BinaryIO) -> Ended | None:
    message = progress.message
    size = source.seek(0, os.SEEK_END)  # our own Received field stands before the octets that `message.size` counts
    report = reports.recognise(source, size, limits=services.limits, mail_from=message.mail_from)
    for_operator = all_for_operator(services.database, services.settings, message.recipients)
    if report is not None:
        told = _report(services, progress, report, authenticated=False)
        if not for_operator or told.code == MATCHED:
            return told
    if for_operator:  # kept under a key (I3), not opened, not answered (I5)
        progress.clear = True
        told_of = operatorbox.tell(services, message, source, size, progress.at)
        return Ended.held(reason(FOR_OPERATOR), deliveries=told_of)
    closed = services.unopenable.closed_until(message.mail_from, message.peer, progress.at)
    if closed is not None:  # R-ORACLE: neither opened nor answered before then
        return Ended.held(reason(TOO_MANY), retry_at=closed)
    opened = services.open_mail(source, keep_unsigned=message.mail_from == "")
    progress.stack.callback(opened.close)
    progress.opened = opened
    progress.evidence["opened"] = _opened_evidence(opened)
    if not opened.encrypted:
        progress.clear = True
        return _not_encrypted(services, progress, opened)
    receipt = None if opened.unsigned is None else _receipt(services, opened, opened.unsigned)
    if receipt is not None:
        # RFC 8098 §3, RFC 3461 §6.1: a report has the null sender, and need not be signed. Whoever writes with it is
        # answered in no case, so that this look inside tells nobody anything (R-ORACLE).
        return _report(services, progress, receipt, authenticated=False)
    if opened.problem is not None:
        services.unopenable.note(message.mail_from, message.peer, progress.at)
        return _unbelieved(services, progress, reason(opened.problem.value, **_detail(opened)))
    return None


def identify_stage(services: Services, progress: Progress) -> Ended | None:
    """The card judged, its holder, the account, From against the holder."""
    opened = progress.opened
    if opened is None or opened.content is None:
        raise RuntimeError("nothing was opened")
    found = identify(services, progress, opened)
    if isinstance(found, Sender):
        progress.sender = found
        if progress.partner is None:
            progress.changes.extend(renewed(found, progress.judgement))
        progress.changes.extend(learned(services, progress, found))
        return None
    if progress.partner is None:
        progress.newcomer = newcomer(services, progress, opened)
    if progress.newcomer is not None:
        return None
    return _unidentified(services, progress, found)


def read_stage(services: Services, progress: Progress) -> Ended | None:
    """Which request this is. Reports inside a seal end here."""
    opened = progress.opened
    if opened is None or opened.content is None:
        raise RuntimeError("nothing was opened")
    progress.request = read_request(
        opened.content, opened.outer, limits=services.limits, workdir=services.workdir,
        random_bytes=services.random_bytes, return_path=progress.message.mail_from or None,
    )  # fmt: skip
    if isinstance(progress.request, Report):
        return _report(services, progress, progress.request, authenticated=True)
    progress.mail_message_id = progress.request.envelope.message_id
    progress.evidence["read"] = {
        "kind": type(progress.request).__name__,
        "documents": len(getattr(progress.request, "documents", ())),
        "findings": [*progress.request.envelope.findings, *getattr(progress.request, "findings", ())],
    }
    return None


def decide_stage(services: Services, progress: Progress) -> Ended | None:
    """Identity of the patient, rights, duplicates: the decision, and everything that is written with it."""
    if progress.newcomer is not None or isinstance(progress.request, Petition):
        return petition_stage(services, progress)
    if progress.request is None or progress.sender is None:
        raise RuntimeError("nothing was read")
    with services.database.read() as conn:
        decision = decide(
            progress.request, progress.sender, conn=conn, envelope_recipients=progress.message.recipients,
            now=progress.at, environment=services.settings.gateway.environment, rules=services.rules,
            assigned=progress.assignment, opener=Opener(progress.message.id, services.random_bytes),
        )  # fmt: skip
        return ended_of(services, progress, decision, conn)


def _not_encrypted(services: Services, progress: Progress, opened: Opened) -> Ended:
    """Signed and not encrypted: a known sender is told exactly, if the signature and the card are good."""
    if opened.problem in (Problem.AMBIGUOUS, Problem.LIMIT) and not opened.layers:
        # Its headers alone are reason enough; what is below them was not looked at
        return _unbelieved(services, progress, reason(opened.problem.value, **_detail(opened)))
    why = reason(Problem.NOT_ENCRYPTED.value)
    if opened.problem is None and opened.content is not None:
        found = identify(services, progress, opened)
        known = isinstance(found, Sender)
        if isinstance(found, Sender):
            progress.sender = found
        report = _receipt(services, opened, opened.content)
        if report is not None:
            return _report(services, progress, report, authenticated=known)
        if isinstance(found, Sender):
            return _answered(progress, why, found.account, authenticated=True)
    return _unbelieved(services, progress, why)


def _receipt(services: Services, opened: Opened, content: Content) -> Report | None:
    """The receipt or bounce that is signed only, or sealed only: it asks for nothing that somebody must answer for."""
    report = reports.recognise(content.open(), content.size, limits=services.limits, mail_from=None)
    if report is None or report.from_address is not None:
        return report
    return replace(report, from_address=reports.author_of(opened.outer, services.limits))


def _unidentified(services: Services, progress: Progress, found: Unidentified) -> Ended:
    verdict = None if progress.judgement is None else progress.judgement.verdict
    retry_at = None
    if found.reason.code == REVOCATION_UNKNOWN or verdict is Verdict.REVOCATION_UNKNOWN:
        delay = timedelta(seconds=services.settings.worker.revocation_retry_seconds)
        retry_at = progress.at + delay  # I10: held, judged again, never accepted by itself
    return _answered(progress, found.reason, found.account, authenticated=found.known, retry_at=retry_at)


def _unbelieved(services: Services, progress: Progress, why: Reason) -> Ended:
    """One outcome for whatever fails before the signature is trusted: a neutral answer to a known mailbox (I5)."""
    return _answered(progress, why, _mailbox_of(services, progress), authenticated=False)


def _mailbox_of(services: Services, progress: Progress) -> Account | None:
    opened = progress.opened
    if opened is None or progress.message.mail_from == "" or reports.is_automatic(opened.outer):
        return None
    try:
        address = lowered(single_from(opened.outer, services.limits))
    except SmimeError:
        return None
    with services.database.read() as conn:
        found = people.by_mailbox(conn, None, address)
    return found[0] if found else None


def _answered(progress: Progress, why: Reason, account: Account | None, *, authenticated: bool, retry_at=None) -> Ended:  # type: ignore[no-untyped-def]
    deliveries = plan_answer(
        why, account=account, authenticated=authenticated, message_id=progress.message.id, now=progress.at,
        new_id=new_id, envelope=None,
    )  # fmt: skip
    held = why.outcome in {"held", "deferred"}
    state = MessageState.HELD if held else MessageState.REFUSED
    return Ended(state, why, deliveries=tuple(deliveries), retry_at=retry_at)


def _report(services: Services, progress: Progress, report: Report, *, authenticated: bool) -> Ended:
    with services.database.read() as conn:
        address = report.from_address
        if authenticated and progress.sender is not None:
            address = progress.sender.account.mailbox
        done = decide_report(report, conn=conn, from_address=address, authenticated=authenticated)
        progress.clear = not authenticated and (progress.opened is None or not progress.opened.encrypted)
        progress.evidence["report"] = {"kind": report.kind, "authenticated": done.authenticated}
        return ended_of(services, progress, done, conn)


def _opened_evidence(opened: Opened) -> dict[str, object]:
    return {
        "layers": [{"kind": one.kind, **one.algorithms, **one.details} for one in opened.layers],
        "encrypted": opened.encrypted,
        "decrypted": opened.decrypted,
        "signed": opened.signed,
        "intact": opened.intact,
        "findings": list(opened.findings),
        "problem": None if opened.problem is None else opened.problem.value,
        "detail": opened.detail,
        "content_sha256": None if opened.content is None else opened.content.sha256,
    }


def _detail(opened: Opened) -> dict[str, str]:
    if opened.detail is None:
        return {}
    return {"limit" if opened.problem is Problem.LIMIT else "detail": opened.detail}


__all__ = ["NotUnderstood", "decide_stage", "identify_stage", "open_stage", "read_stage"]
