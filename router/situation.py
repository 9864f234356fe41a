"""From what is kept to what decides: the situation of one account before one folder at one time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dcc.mailbox.records import Account, Delegation, Folder, Mandate, Opposition
from dcc.router.networkrules import RulesInForce
from dcc.router.permission import Assurance, FolderState, Mandated, Opposed, Situation
from dcc.router.rights import held_by
from dcc.router.roles import role_of


@dataclass(frozen=True, slots=True)
class Basis:
    """What a mandate in force is, and through whom: the account itself, its structure, or a delegation."""

    mandated: Mandated
    mandate: Mandate | None = None
    delegation: Delegation | None = None

    def told(self) -> str:
        """For the evidence; ids only."""
        if self.mandate is None:
            return ""
        until = "" if self.mandate.until is None else f" until {self.mandate.until:%Y-%m-%d}"
        through = "" if self.delegation is None else f" through delegation {self.delegation.id}"
        return f"{self.mandate.id} {self.mandate.origin.value}{until}{through}"


def basis_of(
    account: Account,
    mandates: Sequence[Mandate],
    at: datetime,
    delegations: Iterable[Delegation] = (),
    types: Iterable[str] = (),
) -> Basis:
    """The mandate that carries an act at this time: the account's own, its structure's, or one delegated to it.

    A delegation carries no further than the mandate of the professional who gave it, and only the types it names.
    """
    held = held_by(account, mandates)
    for mandate in held:
        if mandate.covers(at):
            return Basis(Mandated.IN_FORCE, mandate)
    wanted = set(types)
    ended = bool(held)
    for one in delegations:
        lent = [mandate for mandate in mandates if mandate.account == one.professional]
        if one.types and not wanted <= set(one.types):
            continue
        ended = ended or bool(lent)
        if one.secretary != account.id or one.network != account.network or not one.covers(at):
            continue
        for mandate in lent:
            if mandate.covers(at):
                return Basis(Mandated.IN_FORCE, mandate, one)
    if held and all(mandate.start > at and mandate.revoked_at is None for mandate in held):
        return Basis(Mandated.NOT_STARTED)
    return Basis(Mandated.ENDED if ended else Mandated.NONE)


def opposed_to(oppositions: Iterable[Opposition], account: Account, types: Iterable[str]) -> tuple[Opposed, str]:
    """Whether the patient is opposed to this person, or to one of these types, which is told with it."""
    wanted = set(types)
    for one in oppositions:
        if one.account is not None and one.account != account.id:
            continue
        if one.type_code is not None and one.type_code in wanted:
            return Opposed.TYPE, one.type_code
        if one.type_code is None and one.account is not None:
            return Opposed.PERSON, ""
    return Opposed.NO, ""


def situation_of(
    account: Account,
    folder: Folder,
    basis: Basis,
    opposed: tuple[Opposed, str],
    *,
    type_allowed: bool,
    type_code: str,
    card: str = "VALID",
    assurance: Assurance = Assurance.CARD,
    nomad_reads: bool = True,
    rules: RulesInForce | None = None,
) -> Situation:
    """Everything that `permission` asks, of one account before one folder; `rules` are told with a type they bar."""
    return Situation(
        same_network=account.network == folder.network,
        card=card,
        account=account.state,
        role=role_of(account),
        assurance=assurance,
        nomad_reads=nomad_reads,
        folder=FolderState.CLOSED if folder.closed_at is not None else FolderState(folder.consent.value),
        opposed=opposed[0],
        mandated=basis.mandated,
        type_allowed=type_allowed,
        type_code=opposed[1] or type_code,
        network="" if rules is None else rules.network,
        rules="" if rules is None else rules.named,
    )
