"""The stores on both engines: each test of a store runs on SQLite and on a private PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from dcc.mailbox import folders, people
from dcc.mailbox.database import Database
from dcc.mailbox.migrate import head
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
from dcc.mailbox.schema import metadata

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
_numbers = count(1)


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    server = shutil.which("postgres")
    if server is not None:
        return Path(server).resolve().parent
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]


class PostgresServer:
    """A private PostgreSQL in a temporary folder, run as a user that is not root; ended with its folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dcc-pg-"))
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
            self._prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._shared: str | None = None
        self._bin = _binaries()
        self._data = self._folder / "data"
        self._run("initdb", "-D", self._data, "-U", "dcc", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._prefix, str(self._bin / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd="/")

    def start(self) -> None:
        """Start, and wait until it answers."""
        # Without fsync a crash of the machine loses rows, one of the processes does not: enough here, and quick.
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=60 -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """End it; `immediate` is what a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def url(self, name: str) -> str:
        """The address of one database."""
        return f"postgresql://dcc@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """A migrated database of its own for one test."""
        name = f"test{next(_numbers)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE migrated")
        return self.url(name)

    def emptied_database(self) -> str:
        """One database for most tests, emptied; another where a test changed its schema."""
        if self._shared is None:
            self._shared = self.new_database()
            return self._shared
        engine = create_engine(self._shared)
        try:
            with engine.begin() as conn:
                conn.execute(text("; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))))
                unchanged = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == head()
        except DBAPIError:
            unchanged = False
        engine.dispose()
        if not unchanged:
            self._shared = self.new_database()
        return self._shared

    def make_template(self) -> None:
        """Migrate once; each test's database is a copy."""
        self._administer("CREATE DATABASE migrated")
        database = Database(self.url("migrated"))
        database.migrate()
        database.close()

    def _administer(self, command: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.execute(text(command))
        engine.dispose()

    def end(self) -> None:
        """Stop and remove."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    server = PostgresServer()
    try:
        server.make_template()
        yield server
    finally:
        server.end()


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
