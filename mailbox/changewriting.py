"""Writes a change in the transaction that records it; where what it rests on is no longer so, nothing is changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update

from dcc.mailbox import capabilities, consentforms, delegations, documentrules, factors, folders, people, tokens
from dcc.mailbox.changes import (
    AccountMoved,
    AccountRequested,
    CapabilitiesSeen,
    CardSeen,
    Change,
    ConsentChanged,
    DelegationGiven,
    DelegationRevoked,
    EncryptionCertificateSeen,
    FactorConfirmed,
    FactorEnrolled,
    FactorRevoked,
    FolderClosed,
    FolderOpened,
    FormPublished,
    LanguageChosen,
    MandateGranted,
    MandateRevoked,
    NetworkAdded,
    Opposed,
    OppositionLifted,
    RulesLeft,
    RulesSet,
    TokenIssued,
    TokenUsed,
)
from dcc.mailbox.records import AccountState, ConsentState
from dcc.mailbox.schema import accounts


class ChangeLost(Exception):
    """Somebody else was first: what the change rested on is not so any more."""


def apply(conn: Connection, change: Change, at: datetime) -> None:  # noqa: PLR0912  one line for each change
    """Write one change. Raises ChangeLost where what it rests on is not so any more."""
    match change:
        case NetworkAdded(network):
            people.add_network(conn, network)
        case FormPublished(form):
            consentforms.add(conn, form)
        case RulesSet(rules, before):
            _must(documentrules.choose(conn, rules, before=before))
        case RulesLeft(network_id, before):
            _must(documentrules.leave(conn, network_id, before=before))
        case AccountRequested(account):
            people.add_account(conn, account)
        case AccountMoved(account_id, before, after):
            _move(conn, account_id, before, after, at)
        case LanguageChosen(account_id, language):
            people.set_language(conn, account_id, language)
        case CardSeen(account_id, certificate):
            people.set_card(conn, account_id, certificate)
        case EncryptionCertificateSeen(account_id, certificate, before):
            _must(people.replace_encryption_certificate(conn, account_id, certificate, before=before))
        case CapabilitiesSeen(account_id, algorithms, signed_at):
            capabilities.remember(conn, account_id, algorithms, signed_at)
        case FolderOpened():
            _open(conn, change, at)
        case FolderClosed(folder_id):
            _must(folders.close_folder(conn, folder_id, at=at))
        case ConsentChanged():
            folders.record_consent(
                conn, change.folder, state=change.state, at=at, form_version=change.form_version,
                collected_by=change.collected_by, proof=change.proof,
            )  # fmt: skip
        case MandateGranted(mandate):
            folders.add_mandate(conn, mandate)
        case MandateRevoked(mandate_id):
            _must(folders.revoke_mandate(conn, mandate_id, at=at))
        case DelegationGiven(delegation):
            delegations.add(conn, delegation)
        case DelegationRevoked(delegation_id):
            _must(delegations.revoke(conn, delegation_id, at=at))
        case Opposed(folder, account, type_code):
            folders.add_opposition(conn, folder=folder, account=account, type_code=type_code, at=at)
        case OppositionLifted(opposition):
            _must(folders.remove_opposition(conn, opposition))
        case FactorEnrolled(factor):
            factors.add(conn, factor)
        case FactorConfirmed(factor, counter):
            _must(factors.confirm(conn, factor, counter=counter, at=at))
        case FactorRevoked(factor_id, _, because):
            _must(factors.revoke(conn, factor_id, because=because, at=at))
        case TokenIssued(token):
            tokens.add(conn, token)
        case TokenUsed(token, message):
            _must(tokens.use(conn, token, now=at, message=message))


def _move(
    conn: Connection, account_id: str, before: tuple[AccountState, ...], after: AccountState, at: datetime
) -> None:
    states = [state.value for state in before]
    done = conn.execute(
        update(accounts).where(accounts.c.id == account_id, accounts.c.state.in_(states)).values(state=after.value)
    )
    _must(done.rowcount == 1)
    if after is not AccountState.VALIDATED:  # whoever comes back enrols anew, with the card
        factors.revoke_all(conn, account_id, because=factors.SUSPENDED, at=at)


def _open(conn: Connection, change: FolderOpened, at: datetime) -> None:
    if change.patient is not None:
        folders.add_patient(conn, change.patient)
    _must(folders.none_yet(conn, change.folder.patient, change.folder.network))
    folders.add_folder(conn, change.folder)
    folders.record_consent(
        conn, change.folder.id, state=ConsentState.GIVEN, at=at, form_version=change.form_version,
        collected_by=change.collected_by, proof=change.proof,
    )  # fmt: skip
    folders.add_mandate(conn, change.mandate)


def _must(done: bool) -> None:
    if not done:
        raise ChangeLost("somebody else was first")
