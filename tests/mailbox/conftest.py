"""The stores on both engines: each test of a store runs on SQLite and on a private PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dcc.mailbox import folders, people
from dcc.mailbox.database import Database
from dcc.mailbox.records import (
    Account,
    AccountState,
    BlobRef,
    ConsentState,
    Delivery,
    DeliveryState,
    Document,
    DocumentStatus,
    Folder,
    Mandate,
    MandateOrigin,
    Message,
    MessageState,
    Network,
    Part,
    Patient,
)
from postgres import PostgresServer

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "dcc.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a migrated and empty database, on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "dcc.sqlite"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.emptied_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated and empty database, on each engine."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def now() -> datetime:
    """The frozen clock."""
    return NOW


def _message(number: int, **changes: object) -> Message:
    made = Message(
        id=f"message{number}", received_at=NOW + timedelta(seconds=number), size=1000, sha256=f"{number:064x}",
        mail_from="a.b@example.test", recipients=("folder@example.test",), peer="192.0.2.1",
        state=MessageState.RECEIVED, due=NOW,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def make_message() -> Callable[..., Message]:
    """A received message, numbered."""
    return _message


def _delivery(number: int, **changes: object) -> Delivery:
    made = Delivery(
        id=f"delivery{number}", dedupe_key=f"key{number}", kind="notice", mailbox="b.c@example.test", account=None,
        folder=None, message="message1", documents=("d1", "d2"), reason=None, state=DeliveryState.QUEUED,
        created_at=NOW, due=NOW, parameters=(("count", "2"),),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def make_delivery() -> Callable[..., Delivery]:
    """A mail that is owed, numbered."""
    return _delivery


class World:
    """A network with one folder, two accounts and a document, as values."""

    network = Network(
        "rca", "Réseau d'essai", "rca.example.test", "dossiers@rca.example.test", "0100000000", "aide@x.test"
    )
    doctor = Account(
        id="doctor", network="rca", kind="person", national_id="899700523527", family_name="ESSAI", given_name="ANNE",
        profession="10", structure="10B0057881", mailbox="anne.essai@hopital.example.test", role="oncologist",
        state=AccountState.VALIDATED, encryption_certificate=b"\x30\x01", card_certificate=None,
    )  # fmt: skip
    nurse = replace(
        doctor,
        id="nurse",
        national_id="899700041983",
        mailbox="ide@hopital.example.test",
        role="nurse",
        structure="10B0000001",
    )
    patient = Patient(
        id="patient", ins="279035121518989", oid="1.2.250.1.213.1.4.10", birth_name="PAT-TROIS",
        given_names=("DOMINIQUE", "MARIE-LOUISE"), sex="F", birth_date=date(1979, 3, 28), birth_place="51215",
        status="QUAL",
    )  # fmt: skip
    folder = Folder(
        id="folder", reference="D-7F3K-9QXA", address="dossier+abc@rca.example.test", network="rca", patient="patient",
        created_at=NOW, consent=ConsentState.NONE,
    )  # fmt: skip
    mandate = Mandate(
        id="mandate", folder="folder", account="doctor", structure=None, origin=MandateOrigin.CREATOR,
        start=NOW - timedelta(days=1), until=NOW + timedelta(days=1),
    )  # fmt: skip
    blob = BlobRef(id="ab" * 16, size=5, sha256="0" * 64, key_version=1, wrapped_key=b"\x00\xff" * 20)
    document = Document(
        id="document", folder="folder", unique_id="1.2.3^4", set_id=None, version=1, type_code="34794-8",
        type_system="2.16.840.1.113883.6.1", class_code="10", format_code=None, title="Compte rendu é", author_id=None,
        author_name="Dr ESSAI", author_structure=None, depositor="doctor", confidentiality=("N", "MASQUE_PS"),
        status=DocumentStatus.CURRENT, supersedes=None, message="message1", digest="1" * 64, received_at=NOW,
        parts=(Part("a.pdf", "application/pdf", 5, "0" * 64, blob, "attachment"),),
    )  # fmt: skip

    def seed(self, database: Database) -> None:
        """Write network, accounts, patient and folder."""
        with database.begin() as conn:
            people.add_network(conn, self.network)
            people.add_account(conn, self.doctor)
            people.add_account(conn, self.nurse)
            folders.add_patient(conn, self.patient)
            folders.add_folder(conn, self.folder)


@pytest.fixture
def world(database: Database) -> World:
    """The seeded world."""
    made = World()
    made.seed(database)
    return made
