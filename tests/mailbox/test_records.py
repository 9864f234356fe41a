"""Networks, accounts, folders, mandates, consents and documents, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from dcc.mailbox import documents, folders, people
from dcc.mailbox.changes import FolderOpened
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.database import Database
from dcc.mailbox.records import AccountState, ConsentState, DocumentStatus, MandateOrigin


def test_network_and_accounts_come_back(database: Database, world: Any) -> None:
    """Networks and accounts are found by id, address, mailbox (any case), holder and structure."""
    with database.read() as conn:
        assert people.get_network(conn, "rca") == world.network
        assert people.network_by_address(conn, world.network.address.upper()) == world.network
        assert people.network_by_address(conn, "nobody@example.test") is None
        assert people.list_networks(conn) == [world.network]
        assert people.get_account(conn, "doctor") == world.doctor
        assert people.get_account(conn, "nobody") is None
        assert people.by_mailbox(conn, "rca", world.doctor.mailbox.upper()) == [world.doctor]
        assert people.by_mailbox(conn, "other", world.doctor.mailbox) == []
        assert people.by_mailbox(conn, None, world.nurse.mailbox) == [world.nurse]
        assert people.by_national_id(conn, world.nurse.national_id) == [world.nurse]
        assert people.of_structure(conn, "rca", "10B0000001") == [world.nurse]
        assert [one.id for one in people.list_accounts(conn)] == ["doctor", "nurse"]


def test_account_changes(database: Database, world: Any) -> None:
    """State, card and encryption certificate change alone; an unknown account is told."""
    with database.begin() as conn:
        assert people.set_account_state(conn, "doctor", AccountState.SUSPENDED)
        assert not people.set_account_state(conn, "nobody", AccountState.SUSPENDED)
        people.set_card(conn, "doctor", b"\x00\x01")
        people.set_encryption_certificate(conn, "doctor", None)
        found = people.get_account(conn, "doctor")
    assert found == replace(
        world.doctor, state=AccountState.SUSPENDED, card_certificate=b"\x00\x01", encryption_certificate=None
    )


def test_an_account_is_unique_in_its_network(database: Database, world: Any) -> None:
    """The same holder and mailbox cannot be enrolled twice in one network."""
    with pytest.raises(IntegrityError), database.begin() as conn:
        people.add_account(conn, replace(world.doctor, id="twin"))


def test_patient_by_matricule_and_oid(database: Database, world: Any) -> None:
    """The OID is part of the identifier: the same digits under another OID are nobody."""
    with database.read() as conn:
        assert folders.patient(conn, "patient") == world.patient
        assert folders.by_ins(conn, world.patient.ins, world.patient.oid) == world.patient
        assert folders.by_ins(conn, world.patient.ins, "1.2.250.1.213.1.4.8") is None
        assert folders.list_patients(conn) == [world.patient]


@pytest.mark.parametrize("name", ["folder", "D-7F3K-9QXA", "d-7f3k-9qxa", "Dossier+ABC@rca.example.test"])
def test_folder_by_any_name(database: Database, world: Any, name: str) -> None:
    """A folder is found by its id, reference or address."""
    with database.read() as conn:
        assert folders.folder(conn, name) == world.folder
        assert folders.folder(conn, "nobody") is None
        assert folders.folders_of(conn, "patient") == [world.folder]
        assert folders.folders_of(conn, "patient", "other") == []


def test_consent_history_stays(database: Database, world: Any, now: datetime) -> None:
    """Consent and its withdrawal change the folder, and each stays in its history."""
    later = now + timedelta(days=1)
    with database.begin() as conn:
        folders.record_consent(
            conn, "folder", state=ConsentState.GIVEN, at=now, form_version="2", collected_by="doctor"
        )
        folders.record_consent(conn, "folder", state=ConsentState.WITHDRAWN, at=later)
        found = folders.folder(conn, "folder")
        history = folders.consent_history(conn, "folder")
    assert found is not None
    assert (found.consent, found.consent_at) == (ConsentState.WITHDRAWN, later)
    assert [(one["state"], one["at"]) for one in history] == [("given", now), ("withdrawn", later)]


def test_readers_hold_a_mandate_in_force(database: Database, world: Any, now: datetime) -> None:
    """Readers hold a mandate in force, themselves or through their structure, and each appears once."""
    by_structure = replace(world.mandate, id="m2", account=None, structure="10B0000001", origin=MandateOrigin.GRANTED)
    twice = replace(world.mandate, id="m3", origin=MandateOrigin.VITALE, until=None)
    with database.begin() as conn:
        for mandate in (world.mandate, by_structure, twice):
            folders.add_mandate(conn, mandate)
        assert {one.id: one for one in folders.mandates_of(conn, "folder")} == {
            one.id: one for one in (world.mandate, by_structure, twice)
        }
        assert [one.id for one in folders.readers(conn, world.folder, now)] == ["doctor", "nurse"]
        assert folders.mandates_held(conn, "folder", world.nurse) == [by_structure]
        assert folders.readers(conn, world.folder, now - timedelta(days=2)) == []
        end = world.mandate.until
        assert [one.id for one in folders.readers(conn, world.folder, end)] == ["doctor"], "an end is excluded"


def test_the_database_and_the_record_agree_on_force(database: Database, world: Any, now: datetime) -> None:
    """`readers` and `Mandate.covers` give the same answer at every edge: start, end, revocation."""
    revoked = now + timedelta(hours=6)
    with database.begin() as conn:
        folders.add_mandate(conn, world.mandate)
        assert folders.revoke_mandate(conn, "mandate", at=revoked)
        assert not folders.revoke_mandate(conn, "mandate", at=now)
        (mandate,) = folders.mandates_of(conn, "folder")
        assert mandate.until is not None
        edges: tuple[datetime, ...] = (mandate.start, mandate.until, revoked, now)
        for edge in edges:
            for shift in (-1, 0, 1):
                at = edge + timedelta(microseconds=shift)
                assert (folders.readers(conn, world.folder, at) != []) == mandate.covers(at), at


def test_readers_of_another_network_are_none(database: Database, world: Any, now: datetime) -> None:
    """An account of another network never reads through its structure."""
    with database.begin() as conn:
        people.add_network(conn, replace(world.network, id="other", address="x@other.example.test"))
        people.add_account(conn, replace(world.nurse, id="abroad", network="other"))
        folders.add_mandate(conn, replace(world.mandate, account=None, structure=world.nurse.structure))
        assert [one.id for one in folders.readers(conn, world.folder, now)] == ["nurse"]


def test_a_mandate_has_one_holder(database: Database, world: Any) -> None:
    """A mandate is held by an account or by a structure, never by both or neither."""
    with database.begin() as conn:
        for wrong in (replace(world.mandate, structure="x"), replace(world.mandate, account=None)):
            with pytest.raises(ValueError, match="mandate"):
                folders.add_mandate(conn, wrong)


def test_oppositions(database: Database, world: Any, now: datetime) -> None:
    """An opposition to a person or to a type is recorded, listed and lifted."""
    with database.begin() as conn:
        person = folders.add_opposition(conn, folder="folder", account="nurse", type_code=None, at=now)
        kind = folders.add_opposition(
            conn, folder="folder", account=None, type_code="57833-6", at=now + timedelta(seconds=1)
        )
        assert folders.oppositions_of(conn, "folder") == [person, kind]
        assert folders.remove_opposition(conn, person.id)
        assert not folders.remove_opposition(conn, person.id)
        assert folders.oppositions_of(conn, "folder") == [kind]


def test_document_comes_back(database: Database, world: Any) -> None:
    """A document and its parts come back as written, by id, CDA id and folder."""
    with database.begin() as conn:
        documents.add_document(conn, world.document)
    with database.read() as conn:
        assert documents.document(conn, "document") == world.document
        assert documents.document(conn, "nobody") is None
        assert documents.by_unique_id(conn, "folder", "1.2.3^4") == world.document
        assert documents.documents(conn, "folder") == [world.document]
        assert documents.some(conn, ["nobody", "document"]) == [world.document]
        assert list(documents.blob_refs(conn)) == [world.blob]


def test_a_document_is_filed_once(database: Database, world: Any) -> None:
    """The same CDA id cannot be filed twice in one folder, whatever the race (I1)."""
    with database.begin() as conn:
        documents.add_document(conn, world.document)
    with pytest.raises(IntegrityError), database.begin() as conn:
        documents.add_document(conn, replace(world.document, id="twin"))


def test_superseded_once(database: Database, world: Any) -> None:
    """A document is superseded once, and stays readable."""
    with database.begin() as conn:
        documents.add_document(conn, world.document)
        assert documents.mark(conn, "document", DocumentStatus.SUPERSEDED)
        assert not documents.mark(conn, "document", DocumentStatus.DELETED)
        found = documents.document(conn, "document")
    assert found == replace(world.document, status=DocumentStatus.SUPERSEDED)


def test_hostile_title_is_stored(database: Database, world: Any) -> None:
    """A title or file name that an engine could not store is stored in a readable form."""
    with database.begin() as conn:
        documents.add_document(conn, replace(world.document, title="a\x00b\udcff", author_name="\ud800"))
        found = documents.document(conn, "document")
    assert found is not None
    assert found.title == "a\ufffdb?"


def test_refused_row_says_nothing_of_its_content(database: Database, world: Any) -> None:
    """The error of a refused row names neither the patient nor any value of it (I3)."""
    with pytest.raises(IntegrityError) as caught, database.begin() as conn:
        folders.add_patient(conn, replace(world.patient, id="twin"))
    told = "".join(map(str, (caught.value, caught.value.orig, caught.value.params, caught.value.statement)))
    assert caught.value.__suppress_context__
    for secret in (world.patient.ins, world.patient.birth_name, "DOMINIQUE", "1979"):
        assert secret not in told


def test_times_need_a_zone(database: Database, world: Any, now: datetime) -> None:
    """A time without zone is a programming error, not silently taken for UTC."""
    with database.begin() as conn, pytest.raises(Exception, match="zone"):
        folders.revoke_mandate(conn, "x", at=now.replace(tzinfo=None))


def test_one_folder_a_patient_and_network(database: Database, world: Any, now: datetime) -> None:
    """Two who open a folder of the same patient at once: the second finds the first one's, and opens none."""
    other = replace(world.folder, id="second", reference="D-2222-2222", address="dossier+b@rca.example.test")
    mandate = replace(world.mandate, id="m2", folder="second")
    with pytest.raises(ChangeLost), database.begin() as conn:
        apply(conn, FolderOpened(other, None, mandate, "2009-1", "doctor"), now)
    with database.begin() as conn:
        people.add_network(conn, replace(world.network, id="neuro", address="neuro@x.test"))
        elsewhere = replace(other, network="neuro")
        apply(conn, FolderOpened(elsewhere, None, mandate, "2009-1", "doctor"), now)
        assert {one.id for one in folders.folders_of(conn, "patient")} == {"folder", "second"}
