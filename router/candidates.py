"""Whom a held message may be about: identities that resemble, their traits side by side, never merged (facts §7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from dcc.mailbox import folders
from dcc.mailbox.records import Account, AccountState, Folder, Patient
from dcc.router.hprim import HprimPatient
from dcc.router.identity import normal
from dcc.router.request import Deletion, Deposit, PatientIdentity, PlainDeposit, Request
from dcc.router.roles import Role, role_of

# Who may look at the queue and decide: the network's identity officers, and its administrators where there is none
DECIDERS = frozenset({Role.IDENTITY_OFFICER, Role.ADMINISTRATOR})
MOST = 10  # candidates that are shown
SAME_DAY = 200  # identities of one birth date that are compared
ENOUGH = 2  # equal traits below which nobody is proposed
TRAITS = ("ins", "oid", "birth_name", "first_given", "given_names", "sex", "birth_date", "birth_place")


@dataclass(frozen=True, slots=True)
class Trait:
    """One trait, as the message and as the folder say it; `equal` None: the message does not say."""

    name: str
    read: str | None
    held: str
    equal: bool | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One folder that may be meant, and why it is proposed."""

    folder: Folder
    status: str  # of the local identity: PROV, RECUP, VALI, QUAL
    traits: tuple[Trait, ...]
    by: str  # "named" | "ins" | "resemblance"

    @property
    def differing(self) -> tuple[str, ...]:
        """The traits that are not equal."""
        return tuple(one.name for one in self.traits if one.equal is False)


def may_decide(account: Account) -> bool:
    """Whether this account has the role of the reconciliation queue (identitovigilance)."""
    return account.state is AccountState.VALIDATED and role_of(account) in DECIDERS


def identities_of(request: Request) -> tuple[PatientIdentity, ...]:
    """The patients that a message names, as read; none when it names nobody."""
    match request:
        case Deposit():
            return tuple(dict.fromkeys(one.patient for one in request.documents))
        case Deletion():
            return (request.patient,)
        case PlainDeposit():
            known = tuple(_of_hprim(one) for one in request.patients)
            return known or tuple(_bare(one) for one in request.matricules)
    return ()


def candidates(
    conn: Connection, identities: Sequence[PatientIdentity], networks: frozenset[str], named: Iterable[str] = ()
) -> list[Candidate]:
    """The folders of these networks that may be meant, the closest first; each lookup uses an index."""
    found: dict[str, Candidate] = {}
    for name in named:
        folder = folders.folder(conn, name)
        if folder is not None and folder.network in networks:
            _add(conn, found, folder, identities[:1], "named")
    for identity in identities:
        for local, by in _similar(conn, identity):
            for folder in folders.folders_of(conn, local.id):
                if folder.network in networks:
                    _add(conn, found, folder, (identity,), by)
    ranked = sorted(found.values(), key=lambda one: (one.by != "named", -sum(bool(t.equal) for t in one.traits)))
    return ranked[:MOST]


def side_by_side(read: PatientIdentity | None, local: Patient) -> tuple[Trait, ...]:
    """Every strict trait, as read and as held; compared as they are for filing."""
    held = {
        "ins": local.ins, "oid": local.oid, "birth_name": local.birth_name,
        "first_given": local.given_names[0] if local.given_names else "", "given_names": " ".join(local.given_names),
        "sex": local.sex, "birth_date": f"{local.birth_date:%Y%m%d}", "birth_place": local.birth_place,
    }  # fmt: skip
    said: dict[str, str | None] = dict.fromkeys(TRAITS)
    if read is not None:
        said = {name: getattr(read, name) for name in TRAITS} | {"given_names": " ".join(read.given_names) or None}
    return tuple(Trait(name, said[name], held[name], _equal(said[name], held[name])) for name in TRAITS)


def _equal(read: str | None, held: str) -> bool | None:
    return None if read is None else normal(read) == normal(held)


def _add(
    conn: Connection, found: dict[str, Candidate], folder: Folder, read: Sequence[PatientIdentity], by: str
) -> None:
    local = folders.patient(conn, folder.patient)
    if local is not None and folder.id not in found:
        found[folder.id] = Candidate(folder, local.status, side_by_side(read[0] if read else None, local), by)


def _similar(conn: Connection, read: PatientIdentity) -> list[tuple[Patient, str]]:
    """The holder of the matricule in any domain, and those born the same day who share another trait."""
    found: dict[str, tuple[Patient, str]] = {}
    if read.ins is not None:
        found = {one.id: (one, "ins") for one in folders.of_matricule(conn, read.ins)}
    born = _date(read.birth_date)
    if born is not None:
        for one in folders.born_on(conn, born, limit=SAME_DAY):
            equal = sum(bool(trait.equal) for trait in side_by_side(read, one))
            if equal >= ENOUGH:
                found.setdefault(one.id, (one, "resemblance"))
    return list(found.values())


def _date(text: str | None) -> date | None:
    try:
        return date(int((text or "")[:4]), int((text or "")[4:6]), int((text or "")[6:8]))
    except ValueError:
        return None


def _of_hprim(one: HprimPatient) -> PatientIdentity:
    """A legacy file's patient; its social number is that of an insured person, not an INS (facts §6)."""
    day, month, year = (one.birth_date or "//").split("/")[:3]
    first = one.given_name.split()[0] if one.given_name.split() else None
    return PatientIdentity(
        ins=None, oid=None, birth_name=one.family_name or None, first_given=first,
        given_names=tuple(one.given_name.split()), sex=one.sex, birth_date=f"{year}{month}{day}" or None,
        birth_place=None,
    )  # fmt: skip


def _bare(matricule: str) -> PatientIdentity:
    return PatientIdentity(matricule, None, None, None, (), None, None, None)
