"""What may happen to a request: identity, consent, mandate, type, duplicate, replacement, in this order.

The order is that of facts/clinical.md §10; the archive's own checks come before, in `read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import delegations, folders, people
from dcc.mailbox.snapshot import Snapshot
from dcc.router.attested import Opener, open_attested
from dcc.router.decide_deletion import decide_deletion
from dcc.router.decide_plain import complete
from dcc.router.decision import Assignment, Decision, Done, Filed, Held, Refused
from dcc.router.locate import Located, Named, account_for, assigned_place, locate, what_is_named
from dcc.router.match import match_report
from dcc.router.networkrules import NetworkRules, RulesInForce
from dcc.router.permission import Act, permitted
from dcc.router.reasons import Reason, reason
from dcc.router.request import Deletion, Deposit, NotUnderstood, PlainDeposit, Report, Request, Sender
from dcc.router.rights import Allowed, check_author
from dcc.router.roles import Role, role_of
from dcc.router.situation import basis_of, opposed_to, situation_of
from dcc.router.versions import resolve


def decide(
    request: Request,
    sender: Sender,
    *,
    conn: Connection,
    envelope_recipients: Sequence[str],
    now: datetime,
    environment: str,
    rules: NetworkRules,
    assigned: Assignment | None = None,
    opener: Opener | None = None,
) -> Decision:
    """The decision on one authenticated request; reads the mailbox, writes nothing.

    `envelope_recipients` are lower-case addresses, `environment` is "test" or "production". `assigned` is what a
    person decided of the identity: every right is checked as for any other deposit. `rules` are the document rules of
    every network; those of the folder's network decide. `opener`: an attestation of consent may open a folder.
    """
    if isinstance(request, Report):
        return decide_report(request, conn=conn, from_address=sender.account.mailbox, authenticated=True)
    if isinstance(request, NotUnderstood):
        return _not_understood(request, sender)
    named = what_is_named(conn, envelope_recipients, request.envelope.subject)
    if isinstance(request, Deletion):
        return decide_deletion(request, named, sender, conn=conn, environment=environment)
    if isinstance(request, PlainDeposit):
        completed = complete(request, named, sender, conn=conn, environment=environment, assigned=assigned)
        if isinstance(completed, Held | Refused):
            return completed
        deposit, place = completed
        return _file(deposit, place, sender, conn, now, rules)
    found = open_attested(
        request, named, sender, _place(request, named, sender, conn, environment, assigned), conn=conn,
        environment=environment, now=now, opener=opener,
    )  # fmt: skip
    if not isinstance(found, Located):
        return found
    filed = _file(request, found, sender, conn, now, rules)
    return replace(filed, misnamed=named.misnamed) if isinstance(filed, Filed) else filed


def decide_report(report: Report, *, conn: Connection, from_address: str | None, authenticated: bool = False) -> Done:
    """The end of a receipt, a bounce or an automatic reply: done, matched or not, never answered."""
    return match_report(conn, report, from_address=from_address, authenticated=authenticated)


def _not_understood(request: NotUnderstood, sender: Sender) -> Held | Refused:
    if request.reason.outcome == "refused":
        return Refused(request.reason, sender.account)
    return Held(request.reason, sender.account)


def _place(
    deposit: Deposit, named: Named, sender: Sender, conn: Connection, environment: str, assigned: Assignment | None
) -> Located | Held | Refused:
    """The folder of the deposit: by its identity, which must agree with what the mail names, or by a person."""
    patient = deposit.documents[0].patient
    if assigned is not None:
        return assigned_place(conn, assigned, patient, sender, environment)
    account = account_for(named, sender)
    if isinstance(account, Held | Refused):
        return account
    place = locate(conn, patient, named, sender, account, environment)
    if isinstance(place, Located) and deposit.differs:
        return Held(reason("904", detail=",".join(deposit.differs)), account, place.folder.id)
    if isinstance(place, Located) and named.misnamed == "unknown" and not named.folders:
        # contract.md: what the mail names and the identity must agree (decision 0014)
        return Held(reason("D2R-REF02"), account, place.folder.id)
    return place


def _identity(place: Located) -> str:
    if place.by.startswith("person"):
        return place.by
    if place.opening is not None:
        return "attested, QUAL"
    return "the folder's, QUAL" if place.plain else "exact, QUAL"


def _file(
    deposit: Deposit, place: Located, sender: Sender, conn: Connection, now: datetime, rules: NetworkRules
) -> Filed | Held | Refused:
    """Every right, in order; the first that is missing refuses the deposit (I4)."""
    folder, account = place.folder, place.account
    in_force = rules.of(Snapshot(conn), folder.network)
    evidence: list[tuple[str, str]] = [("folder", place.by), ("identity", _identity(place))]

    def refused(why: Reason) -> Refused:
        return Refused(why, account, folder.id, tuple(evidence))

    for name, answer in _rights(deposit, place, sender, conn, now, in_force):
        if not isinstance(answer, Allowed):
            return refused(answer)
        if answer.basis:
            evidence.append((name, answer.basis))
    resolved = resolve(conn, folder, deposit.documents, account, sender)
    if isinstance(resolved, Reason):
        return refused(resolved)
    if resolved.masks_differ:
        return Held(reason("D2R-MSK02"), account, folder.id, tuple(evidence))
    return Filed(
        folder=folder,
        patient=place.patient,
        depositor=account,
        deposit=deposit,
        new=resolved.new,
        rules=in_force,
        known=resolved.known,
        masked=resolved.masked,
        reason=None if resolved.new else reason("D2R-MSK03" if resolved.masked else "D2R-DUP00"),
        evidence=tuple(evidence),
        opening=place.opening,
    )


def _rights(
    deposit: Deposit, place: Located, sender: Sender, conn: Connection, now: datetime, rules: RulesInForce
) -> Iterator[tuple[str, Allowed | Reason]]:
    """The rules of rights, then for each document the link between its author and this signer."""
    folder, account = place.folder, place.account
    types = [one.type_code for one in deposit.documents]
    lent = delegations.held_by_secretary(conn, account.id) if role_of(account) is Role.SECRETARY else []
    mandates = folders.mandates_of(conn, folder.id) if place.opening is None else [place.opening.mandate]
    basis = basis_of(account, mandates, now, lent, types)
    barred = [one.type_code for one in deposit.documents if not rules.may_feed(account, one.type_code, one.class_code)]
    situation = situation_of(
        account, folder, basis, opposed_to(folders.oppositions_of(conn, folder.id), account, types),
        type_allowed=not barred, type_code=next(iter(barred), ""), rules=rules,
    )  # fmt: skip
    answer = permitted(Act.FEED, situation)
    if isinstance(answer, Reason):
        yield "rights", answer
        return
    given = "given" if folder.consent_at is None else f"given {folder.consent_at:%Y-%m-%d}"
    yield "consent", Allowed(given)
    yield "mandate", Allowed(basis.told())
    yield "rules", Allowed(rules.named)
    lender = None if basis.delegation is None else people.get_account(conn, basis.delegation.professional)
    for one in deposit.documents:
        yield "author", check_author(conn, one, account, sender, lender)
