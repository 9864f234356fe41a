"""Patients, folders, consents, mandates and oppositions: who may put and who may read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, union, update

from dcc.mailbox.people import _account
from dcc.mailbox.records import (
    Account,
    ConsentState,
    Folder,
    Mandate,
    MandateOrigin,
    Opposition,
    Patient,
)
from dcc.mailbox.rows import new_id, pack, strings
from dcc.mailbox.schema import accounts, consents, folders, mandates, oppositions, patients

# Asked for every mail: built once, since building a statement costs twice what running it does.
PATIENT = select(patients).where(patients.c.id == bindparam("wanted"))
BY_INS = select(patients).where(patients.c.ins == bindparam("ins"), patients.c.oid == bindparam("oid"))
OF_MATRICULE = select(patients).where(patients.c.ins == bindparam("ins")).order_by(patients.c.oid)
BORN_ON = select(patients).where(patients.c.birth_date == bindparam("day")).order_by(patients.c.id)
FOLDER = select(folders).where(
    or_(
        folders.c.id == bindparam("wanted"),
        folders.c.reference == bindparam("reference"),
        folders.c.address == bindparam("address"),
    )
)
MANDATES = select(mandates).where(mandates.c.folder == bindparam("wanted")).order_by(mandates.c.start, mandates.c.id)
_IN_FORCE = (
    mandates.c.folder == bindparam("wanted"),
    mandates.c.start <= bindparam("at"),
    or_(mandates.c.until.is_(None), mandates.c.until > bindparam("at")),
    or_(mandates.c.revoked_at.is_(None), mandates.c.revoked_at > bindparam("at")),
)
# Two ways in, each by its own index: one join over both would read every account of the network.
READERS = union(
    select(accounts).join(mandates, mandates.c.account == accounts.c.id).where(*_IN_FORCE),
    select(accounts).join(mandates, mandates.c.structure == accounts.c.structure).where(*_IN_FORCE),
)
OPPOSITIONS = select(oppositions).where(oppositions.c.folder == bindparam("wanted")).order_by(oppositions.c.at)


def add_patient(conn: Connection, patient: Patient) -> None:
    """Add one local identity."""
    conn.execute(insert(patients).values(**{**asdict(patient), "given_names": pack(list(patient.given_names))}))


def patient(conn: Connection, patient_id: str) -> Patient | None:
    """One identity by its local id."""
    row = conn.execute(PATIENT, {"wanted": patient_id}).one_or_none()
    return None if row is None else _patient(row)


def by_ins(conn: Connection, ins: str, oid: str) -> Patient | None:
    """The identity that carries this matricule and this OID: the OID is part of the identifier."""
    row = conn.execute(BY_INS, {"ins": ins, "oid": oid}).one_or_none()
    return None if row is None else _patient(row)


def of_matricule(conn: Connection, ins: str) -> list[Patient]:
    """The identities that carry this matricule in any domain; for people who compare, never for filing."""
    return [_patient(row) for row in conn.execute(OF_MATRICULE, {"ins": ins})]


def born_on(conn: Connection, day: date, *, limit: int) -> list[Patient]:
    """Up to `limit` identities with this birth date; for people who compare, never for filing."""
    return [_patient(row) for row in conn.execute(BORN_ON.limit(limit), {"day": day})]


def list_patients(conn: Connection) -> list[Patient]:
    """Every identity; for tools, never for logs."""
    return [_patient(row) for row in conn.execute(select(patients).order_by(patients.c.id))]


def add_folder(conn: Connection, new: Folder) -> None:
    """Open one folder."""
    values = {**asdict(new), "consent": new.consent.value, "address": new.address.lower()}
    conn.execute(insert(folders).values(**values))


def folder(conn: Connection, name: str) -> Folder | None:
    """One folder by its id, reference or address."""
    names = {"wanted": name, "reference": name.upper(), "address": name.lower()}
    row = conn.execute(FOLDER, names).one_or_none()
    return None if row is None else _folder(row)


def folders_of(conn: Connection, patient_id: str, network: str | None = None) -> list[Folder]:
    """The folders of one patient, in one network or in all (None)."""
    query = select(folders).where(folders.c.patient == patient_id)
    if network is not None:
        query = query.where(folders.c.network == network)
    return [_folder(row) for row in conn.execute(query)]


def none_yet(conn: Connection, patient_id: str, network: str) -> bool:
    """Whether this patient has no folder in this network; asked in turn, by whoever is about to open one."""
    conn.execute(select(patients.c.id).where(patients.c.id == patient_id).with_for_update())
    return not folders_of(conn, patient_id, network)


def list_folders(conn: Connection) -> list[Folder]:
    """Every folder, oldest first."""
    return [_folder(row) for row in conn.execute(select(folders).order_by(folders.c.created_at, folders.c.id))]


def close_folder(conn: Connection, folder_id: str, *, at: datetime) -> bool:
    """Close one folder for good; False when it is closed already, or not there."""
    done = conn.execute(
        update(folders).where(folders.c.id == folder_id, folders.c.closed_at.is_(None)).values(closed_at=at)
    )
    return done.rowcount == 1


def record_consent(
    conn: Connection,
    folder_id: str,
    *,
    state: ConsentState,
    at: datetime,
    form_version: str | None = None,
    collected_by: str | None = None,
    proof: str | None = None,
) -> None:
    """Write the patient's consent or its withdrawal; the history stays (mission S15)."""
    conn.execute(
        insert(consents).values(
            id=new_id(), folder=folder_id, state=state.value, at=at, form_version=form_version,
            collected_by=collected_by, proof=proof,
        )
    )  # fmt: skip
    conn.execute(update(folders).where(folders.c.id == folder_id).values(consent=state.value, consent_at=at))


def consent_history(conn: Connection, folder_id: str) -> list[dict[str, Any]]:
    """Every consent of a folder, oldest first."""
    query = select(consents).where(consents.c.folder == folder_id).order_by(consents.c.at)
    return [dict(row._mapping) for row in conn.execute(query)]


def add_mandate(conn: Connection, mandate: Mandate) -> None:
    """Give one mandate, to an account or to a structure."""
    if (mandate.account is None) == (mandate.structure is None):
        raise ValueError("a mandate is held by an account or by a structure")
    conn.execute(insert(mandates).values(**{**asdict(mandate), "origin": mandate.origin.value}))


def revoke_mandate(conn: Connection, mandate_id: str, *, at: datetime) -> bool:
    """End one mandate at once; False when there is none in force."""
    done = conn.execute(
        update(mandates).where(mandates.c.id == mandate_id, mandates.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    return done.rowcount == 1


def mandates_of(conn: Connection, folder_id: str) -> list[Mandate]:
    """Every mandate of a folder, ended ones too."""
    return [_mandate(row) for row in conn.execute(MANDATES, {"wanted": folder_id})]


def mandates_held(conn: Connection, folder_id: str, account: Account) -> list[Mandate]:
    """The mandates that an account holds on a folder, itself or through its structure."""
    held = mandates.c.account == account.id
    if account.structure is not None:
        held = or_(held, mandates.c.structure == account.structure)
    query = select(mandates).where(mandates.c.folder == folder_id, held)
    return [_mandate(row) for row in conn.execute(query)]


def readers(conn: Connection, in_folder: Folder, at: datetime) -> list[Account]:
    """The accounts that hold a mandate in force on a folder, each once, by account id."""
    found = [_account(row) for row in conn.execute(READERS, {"wanted": in_folder.id, "at": at})]
    return sorted((one for one in found if one.network == in_folder.network), key=lambda one: one.id)


def add_opposition(
    conn: Connection, *, folder: str, account: str | None, type_code: str | None, at: datetime
) -> Opposition:
    """Record the patient's opposition to a person or to a document type."""
    new = Opposition(id=new_id(), folder=folder, account=account, type_code=type_code, at=at)
    conn.execute(insert(oppositions).values(**asdict(new)))
    return new


def remove_opposition(conn: Connection, opposition_id: str) -> bool:
    """Lift one opposition; False when there is none."""
    return conn.execute(delete(oppositions).where(oppositions.c.id == opposition_id)).rowcount == 1


def oppositions_of(conn: Connection, folder_id: str) -> list[Opposition]:
    """The oppositions of a folder."""
    return [Opposition(**row._mapping) for row in conn.execute(OPPOSITIONS, {"wanted": folder_id})]


def _patient(row: Row[Any]) -> Patient:
    return Patient(**{**row._mapping, "given_names": strings(row.given_names)})


def _folder(row: Row[Any]) -> Folder:
    return Folder(**{**row._mapping, "consent": ConsentState(row.consent)})


def _mandate(row: Row[Any]) -> Mandate:
    return Mandate(**{**row._mapping, "origin": MandateOrigin(row.origin)})
