"""Who is told of a deposit, and how: one mail for each reader and deposit, or a reason why not (I4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import folders
from dcc.mailbox.records import (
    Account,
    AccountState,
    Delivery,
    DeliveryState,
    Document,
    DocumentStatus,
    Folder,
    Mandate,
    Opposition,
)
from dcc.mailbox.snapshot import Snapshot
from dcc.router import oids
from dcc.router.decision import Filed
from dcc.router.hl7_ack import packed
from dcc.router.networkrules import NetworkRules, RulesInForce
from dcc.router.permission import Act, permitted
from dcc.router.readercard import CardJudge, card_state, kind_for, withheld
from dcc.router.reasons import Reason, reason
from dcc.router.request import Envelope
from dcc.router.situation import basis_of, opposed_to, situation_of

CHANGE = "change"  # a document that a reader was sent is deleted, or replaced (router/changed.py)
CONTENT_KINDS = frozenset({"report", "notice", CHANGE})


def plan_deliveries(
    filed: Filed,
    documents: Sequence[Document],
    *,
    conn: Connection,
    message_id: str,
    now: datetime,
    new_id: Callable[[], str],
    judge: CardJudge,
) -> list[Delivery]:
    """Every mail owed for a filed deposit, and those withheld with their reason; `documents` are the new rows.

    A deposit that was already integrated owes its acknowledgement only (contract.md). The document rules are those that
    the deposit was filed under, in the same moment of the store.
    """
    owed = [_acknowledgement(filed, documents, conn, message_id, now, new_id())]
    if not documents:
        return owed
    owed += reader_mails(
        documents, filed.folder, conn=conn, message_id=message_id, now=now, new_id=new_id, judge=judge, rules=filed.rules,
        but={filed.depositor.id},  # told by the acknowledgement: one mail a reader and deposit
    )  # fmt: skip
    return owed


def reader_mails(
    documents: Sequence[Document],
    folder: Folder,
    *,
    conn: Connection,
    message_id: str,
    now: datetime,
    new_id: Callable[[], str],
    judge: CardJudge,
    rules: RulesInForce,
    but: Collection[str],
) -> Iterator[Delivery]:
    """A mail for every reader of the folder, `but` these accounts: report, notice, or withheld with its reason."""
    team = _Rights.of(Snapshot(conn), folder, now, rules)
    for account in folders.readers(conn, folder, now):
        if account.id in but:
            continue
        one = _for_reader(account, documents, team, message_id, new_id, judge)
        if one is not None:
            yield one


@dataclass(frozen=True, slots=True)
class _Rights:
    """What decides for every reader of one folder, read once."""

    folder: Folder
    oppositions: Sequence[Opposition]
    mandates: Sequence[Mandate]
    rules: RulesInForce
    now: datetime

    @classmethod
    def of(cls, store: Snapshot, folder: Folder, now: datetime, rules: RulesInForce) -> _Rights:
        oppositions, mandates = store.oppositions(folder.id), store.mandates(folder.id)
        return cls(folder, oppositions, mandates, rules, now)

    def missing_right(self, account: Account, types: Sequence[str]) -> Reason | None:
        """The first right that is missing, as a reason to withhold."""
        if account.state is not AccountState.VALIDATED:
            return reason("D2R-ACC04")
        situation = situation_of(
            account, self.folder, basis_of(account, self.mandates, self.now),
            opposed_to(self.oppositions, account, types), type_allowed=True, type_code="",
        )  # fmt: skip
        answer = permitted(Act.READ, situation)
        return withheld(answer) if isinstance(answer, Reason) else None

    def may_read(self, document: Document, account: Account) -> bool:
        """Type by profession (facts §9), by the rules of the folder's network."""
        return self.rules.may_read(account, document.type_code, document.class_code)

    def barred(self) -> Reason:
        """Why a reader gets nothing: the type, and in which network."""
        return reason("D2R-TYP03", network=self.rules.network, rules=self.rules.named)


def _acknowledgement(
    filed: Filed, documents: Sequence[Document], conn: Connection, message_id: str, now: datetime, new_id: str
) -> Delivery:
    account = filed.depositor
    parameters = receipt_parameters(filed.deposit.envelope, "processed")
    unserved = _named_without_mandate(filed, conn, now)
    if unserved:  # facts §13: not served, and the depositor is told so (D2R-MAN01)
        parameters["without_mandate"] = str(unserved)
    if filed.opening is not None:
        parameters["opened"] = "1"
    if filed.misnamed is not None:
        parameters["misnamed"] = filed.misnamed
    hidden = sum(oids.MASQUE_PS in one.confidentiality for one in documents)
    if hidden:  # the depositor is not told of an announcement that nobody received
        parameters["masked"] = "all" if hidden == len(documents) else str(hidden)
    return Delivery(
        id=new_id,
        dedupe_key=f"{message_id}:acknowledgement:{account.id}",
        kind="acknowledgement",
        mailbox=account.mailbox,
        account=account.id,
        folder=filed.folder.id,
        message=message_id,
        documents=tuple(one.id for one in (*filed.known, *documents)),
        reason=None if filed.reason is None else filed.reason.code,
        state=DeliveryState.QUEUED,
        created_at=now,
        due=now,
        parameters=tuple(sorted(parameters.items())),
    )


def _named_without_mandate(filed: Filed, conn: Connection, now: datetime) -> int:
    named = {one for document in filed.deposit.documents for one in document.recipients}
    if not named:
        return 0
    mandated = {one.national_id for one in folders.readers(conn, filed.folder, now)}
    if filed.opening is not None:
        mandated.add(filed.depositor.national_id)
    return len(named - mandated)


def receipt_parameters(envelope: Envelope, disposition: str) -> dict[str, str]:
    """What an answer needs to be a receipt (MDN): asked for, and safe to send by itself (facts §3.2)."""
    found: dict[str, str] = {}
    if envelope.message_id:
        found["original_message_id"] = envelope.message_id
    if envelope.receipt is not None and envelope.receipt.automatic:
        found["mdn"] = disposition
    if envelope.application is not None:
        found["hl7"] = packed(envelope.application)
    return found


def _for_reader(
    account: Account,
    documents: Sequence[Document],
    team: _Rights,
    message_id: str,
    new_id: Callable[[], str],
    judge: CardJudge,
) -> Delivery | None:
    visible = [one for one in documents if not _masked(one, account)]
    if not visible:
        return None  # MASQUE_PS: announced to nobody but its author (contract.md)
    readable = [one for one in visible if team.may_read(one, account)]
    why = team.missing_right(account, [one.type_code for one in readable or visible])
    if why is None and not readable:
        why = team.barred()
    kind, held = kind_for(account, team.now, judge)
    why = why or held
    withheld = why is not None and why.outcome == "withheld"
    parameters = {"replaces": "1"} if any(one.supersedes for one in readable) else {}
    return Delivery(
        id=new_id(),
        dedupe_key=f"{message_id}:reader:{account.id}",
        kind=kind,
        mailbox=account.mailbox,
        account=account.id,
        folder=team.folder.id,
        message=message_id,
        documents=tuple(one.id for one in readable or visible),
        reason=None if why is None else why.code,
        state=DeliveryState.WITHHELD if withheld else DeliveryState.QUEUED,
        created_at=team.now,
        due=team.now,
        parameters=tuple(parameters.items()),
    )


def _masked(document: Document, account: Account) -> bool:
    """JDV_J08 MASQUE_PS: no professional but its author."""
    return oids.MASQUE_PS in document.confidentiality and account.national_id != document.author_id


def sendable(documents: Sequence[Document], account: Account) -> list[Document]:
    """Those that may still be sent: deleted ones not, masked ones not, nor an older version behind the newer one."""
    return [one for one in documents if one.status is DocumentStatus.CURRENT and not _masked(one, account)]


def _gone(documents: Sequence[Document], account: Account) -> Reason:
    """Why none of them may be sent."""
    if any(_masked(one, account) for one in documents):
        return reason("D2R-MSK01")
    return reason("D2R-DEL01" if all(one.status is DocumentStatus.DELETED for one in documents) else "D2R-OLD01")


def still_allowed(
    delivery: Delivery, *, store: Snapshot, now: datetime, judge: CardJudge, rules: NetworkRules
) -> Reason | None:
    """Whether a delivery may still be sent: every right again, at the time of sending (I4). None: yes.

    A reason's outcome says what to do: "withheld" do not send, "notice" send the notice instead of the
    report, or nothing that must be sealed, "deferred" could not be found out, try later (I10). Answers to a
    depositor are always allowed.
    """
    if delivery.kind not in CONTENT_KINDS or delivery.account is None or delivery.folder is None:
        return None
    account = store.account(delivery.account)
    folder = store.folder(delivery.folder)
    if account is None or folder is None:
        return reason("D2R-ACC04")
    found = store.documents(delivery.documents)
    documents = (
        [one for one in found if not _masked(one, account)] if delivery.kind == CHANGE else sendable(found, account)
    )
    if not documents:
        return _gone(found, account)
    team = _Rights.of(store, folder, now, rules.of(store, folder.network))
    why = team.missing_right(account, [one.type_code for one in documents])
    if why is not None:
        return why
    if not all(team.may_read(one, account) for one in documents):
        return team.barred()
    kind, why = kind_for(account, now, judge)
    if why is not None and why.outcome == "withheld":
        return why
    if card_state(account, judge) == "REVOCATION_UNKNOWN":
        return reason("D2R-CRL03")
    return why if kind == "notice" and delivery.kind != "notice" else None
