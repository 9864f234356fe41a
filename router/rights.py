"""What links a signer to a folder and to a document: mandates held, structures shared, professionals answering."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from dcc.mailbox import people
from dcc.mailbox.records import Account, AccountState, Mandate
from dcc.router.reasons import Reason, reason
from dcc.router.request import DepositedDocument, Sender
from dcc.router.typerules import group_of

FINESS = 9  # characters; as an IDNST it has the prefix 1 (facts/cards.md §4, G07)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and what it rests on."""

    basis: str = ""


def check_account(account: Account) -> Allowed | Reason:
    """DCC notice: accounts are validated by the network."""
    return Allowed() if account.state is AccountState.VALIDATED else reason("D2R-ACC01")


def held_by(account: Account, mandates: Iterable[Mandate]) -> list[Mandate]:
    """The mandates an account holds itself, then through its structure; an organisation is its own structure."""
    structures = {account.structure} | ({account.national_id} if account.kind == "organisation" else set())
    own = [one for one in mandates if one.account == account.id]
    return own + [one for one in mandates if one.structure is not None and one.structure in structures]


def check_author(
    conn: Connection, document: DepositedDocument, account: Account, sender: Sender, lender: Account | None = None
) -> Allowed | Reason:
    """Whether this signer may deposit this document: the structure link of §11 B and C, or the delegation's lender."""
    group = group_of(account.kind, account.profession)
    signed = account.national_id
    authors = {one.id for one in document.authors}
    if group == "organisation":
        linked = _own_structures(account, sender) & _document_structures(document)
        return Allowed("structure") if linked else reason("D2R-ACC03")
    if account.profession is not None:
        return Allowed("author" if signed in authors else "depositor")
    responsible = [
        one
        for one in (*document.authors, document.legal_authenticator)
        if one is not None and one.id is not None and one.id != signed
    ]
    if not responsible:  # acceptance 22: staff is nobody's author
        return reason("D2R-TYP02", type=document.type_code)
    if lender is not None and lender.national_id in {one.id for one in responsible}:
        return Allowed("delegation")
    own = _own_structures(account, sender)
    link = own & _document_structures(document)
    link |= own & {_idnst(one.structure) for one in responsible if one.structure}
    if link or _colleague(conn, account, own, [one.id for one in responsible if one.id]):
        return Allowed("structure")
    return reason("D2R-ACC03")


def _idnst(text: str) -> str:
    """A structure id with its prefix: some documents give the FINESS alone (facts §4, IMG-DA)."""
    return f"1{text}" if len(text) == FINESS else text


def _own_structures(account: Account, sender: Sender) -> set[str]:
    found = {sender.structure, account.structure}
    if account.kind == "organisation":
        found.add(account.national_id)
    return {_idnst(one) for one in found if one}


def _document_structures(document: DepositedDocument) -> set[str]:
    """Author structures and custodian: what an automaton must belong to (contract.md)."""
    found = {one.structure for one in document.authors} | {document.custodian}
    return {_idnst(one) for one in found if one}


def _colleague(conn: Connection, account: Account, own: set[str], ids: list[str]) -> bool:
    """Whether one of the responsible professionals has a validated account in the same structure."""
    return any(
        other.network == account.network
        and other.state is AccountState.VALIDATED
        and other.structure is not None
        and _idnst(other.structure) in own
        for one in ids
        for other in people.by_national_id(conn, one)
    )
