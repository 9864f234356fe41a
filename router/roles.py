"""What a role is for: who cares for patients, who decides on accounts, who only runs the machine (mission S4, S8, S12)."""

from __future__ import annotations

from enum import StrEnum

from dcc.mailbox.records import Account


class Role(StrEnum):
    """The roles that rules tell apart; an account's own role may be finer (oncologist, nurse, …)."""

    PROFESSIONAL = "professional"
    COORDINATOR = "coordinator"  # of a 3C (centre de coordination en cancérologie)
    SECRETARY = "secretary"  # staff with a CPE card: acts for her structure, or under a delegation
    AUTOMATON = "automaton"  # of an establishment, with an organisation certificate
    ADMINISTRATOR = "administrator"  # of one network: decides on accounts
    IDENTITY_OFFICER = "identity_officer"  # identitovigilance: decides on identities
    OPERATOR = "operator"  # runs the gateway; sees no clinical content


CONTENT = frozenset({Role.PROFESSIONAL, Role.COORDINATOR, Role.SECRETARY, Role.AUTOMATON})
_EXACT = {role.value: role for role in Role}


def role_of(account: Account) -> Role:
    """The role that rules know of an account: its own where it is one of them, else what its card makes it."""
    exact = _EXACT.get(account.role)
    if exact is not None:
        return exact
    if account.kind == "organisation":
        return Role.AUTOMATON
    return Role.PROFESSIONAL if account.profession is not None else Role.SECRETARY
