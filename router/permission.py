"""The one answer to "may this person do this in this folder": every rule in one place, free of any channel (I4).

Mail, commands and pages build a `Situation` and ask here. The order of the checks is the order in which a person is
told: what concerns themselves first, then the folder, then the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dcc.mailbox.records import AccountState
from dcc.router.reasons import Reason, reason
from dcc.router.roles import CONTENT, Role
from dcc.router.sender import card_reason


class Act(StrEnum):
    """What somebody wants to do with a folder's content."""

    FEED = "feed"
    READ = "read"


class Assurance(StrEnum):
    """How surely it is known who is there (mission S13)."""

    CARD = "card"  # fixed reader, or a mail signed by the card
    NOMAD = "nomad"  # strong authentication bound to the card
    PASSWORD = "password"  # noqa: S105  the name of a level, not a secret


class FolderState(StrEnum):
    """Whether a folder takes and gives documents: the patient's consent, and whether it is closed."""

    GIVEN = "given"
    NONE = "none"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"


class Mandated(StrEnum):
    """Whether a mandate (mandat) carries the act."""

    IN_FORCE = "in_force"
    NONE = "none"
    ENDED = "ended"
    NOT_STARTED = "not_started"


class Opposed(StrEnum):
    """Whether the patient is opposed, and to what."""

    NO = "no"
    PERSON = "person"
    TYPE = "type"


SHUT = {FolderState.NONE: "D2R-CNS01", FolderState.WITHDRAWN: "D2R-CNS02", FolderState.CLOSED: "D2R-FLD01"}


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that decides, as values; `card` is the name of a `cards` verdict."""

    same_network: bool
    card: str
    account: AccountState
    role: Role
    assurance: Assurance
    nomad_reads: bool  # whether the network lets nomad authentication read
    folder: FolderState
    opposed: Opposed
    mandated: Mandated
    type_allowed: bool  # the document rules of the network: types by profession
    type_code: str = ""
    network: str = ""  # its name, told with a rule of its own
    rules: str = ""  # whose rules these are, for the trace


@dataclass(frozen=True, slots=True)
class Permitted:
    """Yes."""


def permitted(act: Act, on: Situation) -> Permitted | Reason:
    """Yes, or the first rule that says no; a card of which nothing could be found out is never a yes (I10)."""
    return _who(act, on) or _folder(on) or _document(act, on) or Permitted()


def _who(act: Act, on: Situation) -> Reason | None:
    if on.card != "VALID":
        return card_reason(on.card)
    if not on.same_network:
        return reason("D2R-ACC01")  # mission S1: a folder of another network is as if it did not exist
    if on.account is not AccountState.VALIDATED:
        return reason("D2R-ACC01")  # mission S12: the network validates accounts
    if on.role not in CONTENT:
        return reason("D2R-ROL01")
    if on.assurance is Assurance.PASSWORD:
        return reason("D2R-ASR01")  # mission S13: a password opens nothing nominative
    if on.assurance is Assurance.NOMAD and (act is Act.FEED or not on.nomad_reads):
        return reason("D2R-ASR02")
    return None


def _folder(on: Situation) -> Reason | None:
    if on.folder is not FolderState.GIVEN:  # mission S15: consent is a precondition
        return reason(SHUT[on.folder])
    if on.opposed is Opposed.PERSON:  # CSP L1110-4 IV: an opposition beats any mandate
        return reason("D2R-OPP01")
    if on.opposed is Opposed.TYPE:
        return reason("D2R-OPP02", type=on.type_code)
    if on.mandated is Mandated.IN_FORCE:  # CSP L1110-4 III, mission S16
        return None
    codes = {Mandated.NONE: "D2R-MAN01", Mandated.ENDED: "D2R-MAN02", Mandated.NOT_STARTED: "D2R-MAN03"}
    return reason(codes[on.mandated])


def _document(act: Act, on: Situation) -> Reason | None:
    if on.type_allowed:
        return None
    told = {"network": on.network, "rules": on.rules} if on.network else {}
    if act is Act.FEED:
        return reason("D2R-TYP02", type=on.type_code, **told)
    return reason("D2R-TYP03", **told)
