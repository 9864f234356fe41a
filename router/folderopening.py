"""Opening a folder: a complete identity, a published consent form, a validated professional (mission S15, S16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection

from dcc.mailbox import consentforms, folders
from dcc.mailbox.changes import FolderOpened
from dcc.mailbox.records import (
    Account,
    AccountState,
    ConsentState,
    Folder,
    Mandate,
    MandateOrigin,
    Network,
    Patient,
)
from dcc.mailbox.references import new_folder_address, new_reference
from dcc.mailbox.rows import new_id
from dcc.router.identity import QUALIFIED, check_form, differing_traits
from dcc.router.reasons import Reason, reason
from dcc.router.request import PatientIdentity
from dcc.router.roles import Role, role_of

OPENERS = frozenset({Role.PROFESSIONAL, Role.COORDINATOR, Role.SECRETARY})
NOT_CHECKED = "RECUP"  # a matricule without the control of the identity (facts/clinical.md §7)


@dataclass(frozen=True, slots=True)
class Opening:
    """What is asked: who the patient is, whether the identity was checked, and what the consent rests on."""

    patient: PatientIdentity
    identity_checked: bool
    form_version: str
    proof: str | None = None  # a document or a message
    attested: bool = False  # an attestation stands in the place of the form, and is its version


def plan_opening(
    asked: Opening,
    creator: Account,
    network: Network,
    *,
    conn: Connection,
    environment: str,
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> FolderOpened | Reason:
    """The folder to open, or why not.

    An identity that is known with other traits, or has a folder here already, waits for a person: nothing is created
    or merged silently, and the sentence does not tell whether the patient is known (I5).
    """
    if creator.state is not AccountState.VALIDATED or creator.network != network.id:
        return reason("D2R-ACC01")
    if role_of(creator) not in OPENERS:
        return reason("D2R-ROL01")
    if not asked.attested and not consentforms.known(conn, network.id, asked.form_version):
        return reason("D2R-CNS03", forms=consentforms.names(conn, network.id))
    why = check_form(asked.patient, environment)
    if why is not None:
        return why
    born = _date(asked.patient.birth_date)
    if born is None:
        return reason("905", detail="birth_date")
    local = folders.by_ins(conn, asked.patient.ins or "", asked.patient.oid or "")
    if local is not None and (differing_traits(asked.patient, local) or folders.folders_of(conn, local.id, network.id)):
        return reason("D2R-FLD02")
    made = None if local is not None else _patient(asked, born, random_bytes)
    holder = local or made
    if holder is None:
        raise LookupError("a folder needs a patient")
    folder = Folder(
        id=new_id(random_bytes), reference=new_reference(random_bytes),
        address=new_folder_address(random_bytes, network.domain), network=network.id, patient=holder.id, created_at=now,
        consent=ConsentState.NONE,
    )  # fmt: skip
    mandate = Mandate(new_id(random_bytes), folder.id, creator.id, None, MandateOrigin.CREATOR, now, None)
    return FolderOpened(folder, made, mandate, asked.form_version, creator.id, asked.proof)


def _patient(asked: Opening, born: date, random_bytes: Callable[[int], bytes]) -> Patient:
    traits = asked.patient
    return Patient(
        id=new_id(random_bytes), ins=traits.ins or "", oid=traits.oid or "", birth_name=traits.birth_name or "",
        given_names=traits.given_names, sex=traits.sex or "", birth_date=born, birth_place=traits.birth_place or "",
        status=QUALIFIED if asked.identity_checked else NOT_CHECKED,
    )  # fmt: skip


def _date(text: str | None) -> date | None:
    """A date written YYYYMMDD; an unknown day or month is no date."""
    try:
        return datetime.strptime((text or "")[:8], "%Y%m%d").date()  # noqa: DTZ007  a date of birth has no zone
    except ValueError:
        return None
