"""The mail that one delivery means: who it is for, what it says, what it carries (facts: clinical §3, §12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from dcc.mailbox.records import Account, Delivery, Document, Folder, Network, Patient
from dcc.mailbox.snapshot import Snapshot
from dcc.router import operatormail
from dcc.router.asked import Unseal, asked
from dcc.router.composeparts import EncodedDeposits, EncodedPart, encoded_part
from dcc.router.distribute import sendable
from dcc.router.hl7_ack import FILE_NAME, MEDIA_TYPE, acknowledgement
from dcc.router.mailbody import mail_body
from dcc.router.names import label_of, mss_subject
from dcc.router.narrative import MORE
from dcc.router.operatormail import OperatorBox
from dcc.router.petition import blank
from dcc.router.reasons import reason
from dcc.router.receipts import (
    Original,
    Originals,
    Receipt,
    is_about_a_deposit,
    machine_part,
    original_part,
    receipt_subject,
    wants_receipt,
)
from dcc.smime.headerprotection import MailHeaders
from dcc.smime.segments import Body
from dcc.templates.render import render, to_copy

BODY_TEXT = 30_000  # characters of the documents that a mail's body shows
ALREADY = frozenset({"D2R-DUP00", "D2R-MSK03"})
# Mails about requests of people; an answer to the first goes back to the address of registrations
REGISTRATION = "registration"
OTHER = "906"  # ANS application error "other": it tells a person nothing
ASKED = frozenset({
    REGISTRATION, "account_request", "account_decided", "folder_opened", "carried", "presence", "forms", "factor"
})  # fmt: skip


class NothingToSay(Exception):
    """The delivery's account, folder or documents are gone."""


@dataclass(frozen=True, slots=True)
class Composed:
    """One mail before it is sealed. `encrypt_to` None: signed only, and it holds no content."""

    headers: MailHeaders
    content: Body
    content_headers: tuple[tuple[str, str], ...]
    encrypt_to: bytes | None


Shown = tuple[str, Body, tuple[tuple[str, str], ...]]  # subject, body, Content-* fields


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes deliveries of one gateway."""

    address: str  # the gateway's own
    name: str
    product: str  # X-MSS-NIL
    encoded: EncodedDeposits
    random_bytes: Callable[[int], bytes]
    unseal: Unseal  # a one-time secret as the outbox keeps it -> its octets
    original: Originals  # a received mail -> what its sender wrote
    receipts: bool = False  # whether our reports ask for one (ECO.2.3.2)
    operator: OperatorBox | None = None  # who reads what is written to postmaster

    def begin(self, store: Snapshot) -> Composing:
        """Compose mails out of one snapshot; what the readers of a deposit have in common is made once."""
        return Composing(self, store)

    def headers(
        self,
        to: str,
        author: str,
        subject: str,
        message_id: str,
        now: datetime,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> MailHeaders:
        inside = extra or (("X-MSS-NIL", self.product),)
        return MailHeaders(
            from_=author,
            to=to,
            subject=subject,
            date=now,
            message_id=message_id,
            extra=inside,
            outer_extra=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5
        )

    def message_id(self, delivery: Delivery) -> str:
        return f"<{delivery.id}@{self.address.rpartition('@')[2]}>"


@dataclass(slots=True)
class Composing:
    """The mails of one snapshot."""

    composer: Composer
    store: Snapshot
    _reports: dict[tuple[object, ...], Shown] = field(default_factory=dict)

    def compose(self, delivery: Delivery, *, kind: str, why: str | None, encrypt: bool, now: datetime) -> Composed:
        """The mail. `kind` may be "notice" where a report was owed; `why` its reason. Raises NothingToSay."""
        if kind == operatormail.KIND:
            return self._operator(delivery, now)
        account = None if delivery.account is None else self.store.account(delivery.account)
        if account is None:
            raise NothingToSay("no account")
        network = self.store.network(account.network)
        folder = None if delivery.folder is None else self.store.folder(delivery.folder)
        if network is None:
            raise NothingToSay("no network")
        found = self.store.documents(delivery.documents)
        sealed = encrypt and account.encryption_certificate is not None
        message_id = delivery.message_id or self.composer.message_id(delivery)
        if kind == "report":
            return self._report(delivery, account, network, folder, found, message_id, now)
        context = _context(delivery, network, folder, found, sealed, why, account.language)
        if kind in ASKED:
            context |= asked(delivery, account, self.store, self.composer.unseal, sealed=sealed)
        words = render(kind, account.language, context)
        subject, receipt = words.subject, None
        parts = _application_part(delivery, message_id, now, self.composer.random_bytes) if sealed else ()
        if sealed and is_about_a_deposit(delivery):  # names the patient: under a seal only (I3)
            original = self._original(delivery)
            subject = receipt_subject(delivery, None if original is None else original.subject) or subject
            if wants_receipt(delivery):
                third = () if parts or original is None else original_part(original)
                receipt = Receipt(machine_part(delivery, self.composer.address), third)
        body, content_headers = mail_body(words, self.composer.random_bytes, parts, receipt)
        author = _author(network, network.registration if kind == REGISTRATION else None)
        headers = self.composer.headers(account.mailbox, author, subject, message_id, now)
        return Composed(headers, body, content_headers, account.encryption_certificate if sealed else None)

    def _operator(self, delivery: Delivery, now: datetime) -> Composed:
        """What somebody has written to the gateway's operator; sealed for that mailbox alone, if for any."""
        composer, box = self.composer, self.composer.operator
        message = None if delivery.message is None else self.store.message(delivery.message)
        if box is None or message is None:
            raise NothingToSay("no operator")
        told = operatormail.told(message, box, self.store, now, composer.random_bytes)
        if told is None:
            raise NothingToSay("no network")
        body, content_headers = mail_body(told.words, composer.random_bytes, told.parts)
        author = f"{composer.name} <{composer.address}>"
        message_id = delivery.message_id or composer.message_id(delivery)
        headers = composer.headers(box.address, author, told.words.subject, message_id, now)
        return Composed(headers, body, content_headers, told.encrypt_to)

    def _original(self, delivery: Delivery) -> Original | None:
        message = None if delivery.message is None else self.store.message(delivery.message)
        return None if message is None else self.composer.original(message)

    def _report(
        self,
        delivery: Delivery,
        account: Account,
        network: Network,
        folder: Folder | None,
        found: Sequence[Document],
        message_id: str,
        now: datetime,
    ) -> Composed:
        found = sendable(found, account)
        if folder is None or not found:
            raise NothingToSay("no folder or documents")
        patient = self.store.patient(folder.patient)
        if patient is None:
            raise NothingToSay("no patient")
        shown_ids = tuple(one.id for one in found)
        key = (delivery.message, shown_ids, delivery.parameters, account.language, network.id, folder.id)
        shown = self._reports.get(key)
        if shown is None:  # each reader's mail is signed and encrypted by itself; what is inside is the same
            shown = self._reports[key] = self._report_body(delivery, account.language, network, folder, found, patient)
        subject, body, content_headers = shown
        extra = (
            ("X-MSS-CODECDA", ",".join(one.type_code for one in found)),  # ECO.2.4.1
            ("X-MSS-INS", "O" if patient.status == "QUAL" else "N"),  # ECO.2.4.2
            ("X-MSS-NIL", self.composer.product),  # ECO.2.4.3
        )
        headers = self.composer.headers(account.mailbox, _author(network), subject, message_id, now, extra)
        if self.composer.receipts:
            asked_for = ("Disposition-Notification-To", self.composer.address)  # ECO.2.3.2: equal to the Return-Path
            headers = replace(headers, outer_extra=(*headers.outer_extra, asked_for))
        return Composed(headers, body, content_headers, account.encryption_certificate)

    def _report_body(
        self,
        delivery: Delivery,
        language: str,
        network: Network,
        folder: Folder,
        found: Sequence[Document],
        patient: Patient,
    ) -> Shown:
        depositor = self.store.account(found[0].depositor)
        if depositor is None:
            raise NothingToSay("no depositor")
        context = {
            "subject": mss_subject(found, patient),
            "title": f"{_named(found, language)} – {patient.birth_name} {' '.join(patient.given_names[:1])}, "
            f"{patient.birth_date:%d/%m/%Y}",
            "folder": folder,
            "network": network,
            "documents": [_shown(one) for one in found],
            "depositor": _name(depositor),
            "replaces": dict(delivery.parameters).get("replaces") == "1",
        }
        brought = () if delivery.message is None else self.store.documents_of_message(delivery.message)
        complete = bool(brought) and set(brought) <= {one.id for one in found}
        enclosed = self.composer.encoded.enclosed(found, patient, folder, complete=complete)
        readings = [one.shortened(BODY_TEXT // len(found), MORE) for one in enclosed.readings]
        words = render("report", language, context, readings)
        return (words.subject, *mail_body(words, self.composer.random_bytes, enclosed.parts))


def _author(network: Network, address: str | None = None) -> str:
    return f"{network.name} <{address or network.address}>"


def _named(found: Sequence[Document], language: str) -> str:
    """What a reader sees first: the document, or how many there are."""
    if len(found) == 1:
        return label_of(found[0])
    return f"{len(found)} new documents" if language == "en" else f"{len(found)} nouveaux documents"


def _shown(document: Document) -> dict[str, str | None]:
    return {"label": label_of(document), "author": document.author_name}


def _name(account: Account) -> str:
    if account.kind == "organisation":
        return account.mailbox
    return f"{account.given_name or ''} {account.family_name or ''}".strip()


def _context(
    delivery: Delivery,
    network: Network,
    folder: Folder | None,
    found: Sequence[Document],
    sealed: bool,
    why: str | None,
    language: str,
) -> dict[str, Any]:
    parameters = dict(delivery.parameters)
    code = delivery.reason
    told = None if code is None else reason(code, **parameters)
    return {
        "network": network,
        "folder": folder,
        "documents": [_shown(one) for one in found],
        "sealed": sealed,
        "why": why or code,
        "already": code in ALREADY,
        "without_mandate": parameters.get("without_mandate"),
        "masked": parameters.get("masked"),
        "misnamed": parameters.get("misnamed"),
        "opened": parameters.get("opened"),
        "message": delivery.message,
        "code": code,
        "code_shown": code if told is None or told.ans in {code, OTHER} else f"{code} ({told.ans})",
        "sentence": "" if told is None else told.sender_fr,
        "sentence_en": "" if told is None else told.sender_en,
        "next": "" if told is None else told.next_fr,
        "next_en": "" if told is None else told.next_en,
        "blank": to_copy(blank(parameters["form"], language)) if parameters.get("form") else "",
    }


def _application_part(
    delivery: Delivery, message_id: str, now: datetime, random_bytes: Callable[[int], bytes]
) -> tuple[EncodedPart, ...]:
    """The HL7 acknowledgement of a deposit that came as an HL7 message; inside the seal only (I3)."""
    parameters = dict(delivery.parameters)
    kept = parameters.get("hl7")
    if kept is None:
        return ()
    ack = acknowledgement(
        kept, code=delivery.reason, ans=parameters.get("ans"), control_id=message_id.strip("<>")[:20], at=now
    )
    return (encoded_part(FILE_NAME, MEDIA_TYPE, ack, random_bytes),)
