"""The database itself: durable settings, failures mapped, schema migrated up and down, on both engines."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dcc.mailbox import folders, messages, people
from dcc.mailbox.columns import UtcDateTime
from dcc.mailbox.database import (
    Database,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseGone,
    DatabaseReplaced,
    SchemaMismatch,
    mapped,
)
from dcc.mailbox.migrate import downgrade, head, upgrade
from dcc.mailbox.records import Message
from dcc.mailbox.schema import messages as table
from dcc.mailbox.schema_people import metadata


def _sqlite(tmp_path: Path, migrated: Path) -> Database:
    path = tmp_path / "copy.sqlite"
    path.write_bytes(migrated.read_bytes())
    return Database(f"sqlite:///{path}")


def test_migrations_make_the_schema_of_the_program(database: Database) -> None:
    """What the migrations build is what the program's tables say, on each engine."""

    def same_type(_context: Any, _inspected: Any, _column: Any, found: Any, wanted: Any) -> bool | None:
        return False if isinstance(wanted, UtcDateTime) and "TIMESTAMP" in repr(found).upper() else None

    with database.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": same_type, "compare_server_default": True})
        differences = compare_metadata(context, metadata)
    assert [one for one in differences if not _known_difference(one, database.is_sqlite)] == []


def _known_difference(difference: Any, is_sqlite: bool) -> bool:
    """SQLite has one type for times and none with a zone."""
    if not is_sqlite or not isinstance(difference, list):
        return False
    return all(isinstance(one[-1], UtcDateTime) for one in difference)


def test_down_and_up_again(database: Database) -> None:
    """The schema goes down to nothing and up again."""
    downgrade(database.engine, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    with pytest.raises(SchemaMismatch):
        database.check()
    upgrade(database.engine)
    database.check()
    assert set(metadata.tables) <= set(inspect(database.engine).get_table_names())


def test_migrating_again_changes_nothing(database: Database, world: Any) -> None:
    """A migration on a database of this version keeps what is in it."""
    database.migrate()
    database.check()
    with database.read() as conn:
        assert people.get_account(conn, "doctor") == world.doctor


def test_other_version_is_told(database: Database) -> None:
    """A database of a later version is not used by this program."""
    with database.begin() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    with pytest.raises(SchemaMismatch, match=f"later.*{head()}"):
        database.check()


def test_empty_database_is_told(tmp_path: Path) -> None:
    """A database without tables is a schema mismatch, not a crash."""
    database = Database(f"sqlite:///{tmp_path / 'new.sqlite'}")
    with pytest.raises(SchemaMismatch):
        database.check()
    database.close()


@pytest.mark.parametrize("workers", [4])
def test_two_gateways_migrate_at_once(tmp_path: Path, workers: int) -> None:
    """Several processes that start on a new database migrate it once, and none fails (SQLite)."""
    _migrate_together([f"sqlite:///{tmp_path / 'new.sqlite'}"] * workers)


@pytest.mark.peer("postgresql")
def test_two_gateways_migrate_at_once_on_postgresql(postgres_server: Any) -> None:
    """Several processes that start on a new database migrate it once, and none fails (PostgreSQL)."""
    url = postgres_server.new_database()
    database = Database(url)
    downgrade(database.engine, "base")
    database.close()
    _migrate_together([url] * 4)


def _migrate_together(urls: list[str]) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(len(urls), mp_context=get_context("spawn")) as pool:
        assert list(pool.map(migrate_once, urls)) == [True] * len(urls)


def migrate_once(url: str) -> bool:
    """In another process: migrate and check."""
    database = Database(url)
    database.migrate()
    database.check()
    database.close()
    return True


def test_transaction_is_all_or_nothing(database: Database, world: Any) -> None:
    """A failure in the middle leaves nothing of the transaction."""
    with pytest.raises(ZeroDivisionError), database.begin() as conn:  # noqa: PT012 - the failure is the point
        people.set_card(conn, "doctor", b"x")
        raise ZeroDivisionError
    with database.read() as conn:
        assert people.get_account(conn, "doctor") == world.doctor


def test_reading_never_writes(database: Database, world: Any) -> None:
    """A write in a reading transaction is refused or rolled back."""
    try:
        with database.read() as conn:
            people.set_card(conn, "doctor", b"x")
    except DatabaseGone:
        pass
    with database.read() as conn:
        assert people.get_account(conn, "doctor") == world.doctor


def test_reading_is_one_snapshot(database: Database, world: Any) -> None:
    """A reader sees one moment, whatever is committed meanwhile."""
    with database.read() as reader:
        assert people.get_account(reader, "doctor") == world.doctor
        with database.begin() as writer:
            people.set_card(writer, "doctor", b"x")
        assert people.get_account(reader, "doctor") == world.doctor


def test_read_then_write_from_many_threads(database: Database, world: Any) -> None:
    """Read-then-write from eight threads never fails with a lock and loses nothing (facts/mail §4)."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                with database.begin() as conn:
                    # On PostgreSQL the row is locked by whoever reads it to change it.
                    query = text("SELECT name FROM networks" + ("" if database.is_sqlite else " FOR UPDATE"))
                    name = conn.execute(query).scalar_one()
                    conn.execute(text("UPDATE networks SET name = :name"), {"name": name + "x"})
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as conn:
        found = people.get_network(conn, "rca")
    assert found is not None
    assert found.name == world.network.name + "x" * 80


def test_sqlite_is_set_for_durability(tmp_path: Path, migrated_sqlite: Path) -> None:
    """WAL, synchronous=FULL, foreign keys, and a private file."""
    database = _sqlite(tmp_path, migrated_sqlite)
    with database.read() as conn:
        pragmas = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_new_sqlite_file_is_private(tmp_path: Path) -> None:
    """Nobody else on the machine may read the database or its log."""
    path = tmp_path / "new.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    with database.begin():
        modes = {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    database.close()
    assert modes == {0o600}


def test_full_database_is_told(tmp_path: Path, migrated_sqlite: Path, world_rows: Callable[[Database], None]) -> None:
    """SQLITE_FULL is DatabaseFull, the transaction is rolled back, and the database goes on."""
    database = _sqlite(tmp_path, migrated_sqlite)
    world_rows(database)
    with pytest.raises(DatabaseFull), database.begin() as conn:  # noqa: PT012 - fill it up
        conn.exec_driver_sql("PRAGMA max_page_count = 1")
        for number in range(10_000):
            messages.record_replay(conn, f"{number:064}", "m")
    database.close()
    with database.begin() as conn:
        assert messages.find_replay(conn, f"{0:064}") is None
        assert messages.record_replay(conn, "a", "m") == "m"
    database.close()


@pytest.fixture
def world_rows() -> Callable[[Database], None]:
    """Seed a database that is not the fixture's."""

    def seed(database: Database) -> None:
        with database.begin() as conn:
            messages.record_replay(conn, "first", "m")

    return seed


def test_locked_database_is_gone(tmp_path: Path, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another program keeps locked is DatabaseGone: try later."""
    monkeypatch.setattr("dcc.mailbox.database.BUSY_SECONDS", 0.1)
    database = _sqlite(tmp_path, migrated_sqlite)
    other = sqlite3.connect(tmp_path / "copy.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseGone), database.begin():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.begin():
        pass
    database.close()


def test_damaged_file_is_gone(tmp_path: Path) -> None:
    """A file that is no database is DatabaseGone."""
    (tmp_path / "x.sqlite").write_bytes(b"not a database" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with pytest.raises(DatabaseGone), database.begin():
        pass
    database.close()


def test_missing_folder_is_gone(tmp_path: Path) -> None:
    """A database in a folder that does not exist is DatabaseGone."""
    database = Database(f"sqlite:///{tmp_path / 'absent' / 'x.sqlite'}")
    with pytest.raises(DatabaseGone), database.read():
        pass
    database.close()


@pytest.mark.peer("postgresql")
def test_server_that_comes_back(postgres_server: Any, make_message: Callable[..., Message]) -> None:
    """The server crashes: DatabaseGone; it comes back: the same pool works, nothing acknowledged is lost (I1)."""
    database = Database(postgres_server.new_database())
    with database.begin() as conn:
        messages.insert_received(conn, make_message(1))
    postgres_server.stop("immediate")
    with pytest.raises(DatabaseGone), database.begin():
        pass
    postgres_server.start()
    with database.begin() as conn:
        (found,) = messages.claim(conn, now=make_message(1).due, lease=timedelta(seconds=5), limit=1)
    assert found.id == "message1"
    database.close()


def test_error_without_values() -> None:
    """A refused statement keeps its class and its code, and loses every value."""

    class Refused(Exception):
        sqlstate = "23505"

    original = IntegrityError("INSERT 'SECRET'", {"name": "SECRET"}, Refused("Key (name)=(SECRET) exists"))
    found = mapped(original)
    assert isinstance(found, IntegrityError)
    assert "SECRET" not in str(found) + repr(found)
    assert "23505" in str(found)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("53100", DatabaseFull), ("57P01", DatabaseGone), (None, DatabaseGone), ("XX001", DatabaseDamaged)],
)
def test_states_are_mapped(code: str | None, kind: type[Exception]) -> None:
    """PostgreSQL's codes: disk full is full, corrupted is damaged, anything else of the server is gone."""
    original = Exception("x")
    original.sqlstate = code  # type: ignore[attr-defined]
    assert isinstance(mapped(DBAPIError("s", {}, original)), kind)


def test_damaged_file(tmp_path: Path, migrated_sqlite: Path) -> None:
    """Pages of an SQLite file overwritten: damaged, which is not called an absence."""
    path = tmp_path / "dcc.sqlite"
    octets = bytearray(migrated_sqlite.read_bytes())
    octets[4096:] = b"\xa5" * (len(octets) - 4096)
    path.write_bytes(octets)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseDamaged):
        database.check()
    database.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_file_that_is_no_more_the_one_that_was_opened(
    replaced: bool, tmp_path: Path, migrated_sqlite: Path, make_message: Callable[..., Message]
) -> None:
    """Removed, or replaced by a copy, under a running gateway: nothing is taken that would be lost (I1); the file back,
    it goes on.
    """
    database = _sqlite(tmp_path, migrated_sqlite)
    path = tmp_path / "copy.sqlite"
    with database.begin() as conn:
        messages.insert_received(conn, make_message(1))
    path.rename(tmp_path / "away")
    if replaced:
        path.write_bytes(migrated_sqlite.read_bytes())
    for entered in (database.begin, database.passing, database.read):
        with pytest.raises(DatabaseReplaced, match="replaced" if replaced else "gone"), entered():
            pass
    assert path.exists() == replaced, "none is made in its place"
    (tmp_path / "away").replace(path)
    with database.begin() as conn:
        messages.insert_received(conn, make_message(2))
    with database.read() as conn:
        assert messages.get(conn, make_message(1).id) is not None
    database.close()


def test_cost_of_a_message(tmp_path: Path, migrated_sqlite: Path, make_message: Callable[..., Message]) -> None:
    """Insert, claim, four stages and the end are seven commits and a few milliseconds of the processor on SQLite."""
    from dcc.mailbox.records import MessageState

    database = _sqlite(tmp_path, migrated_sqlite)
    states = [
        MessageState.RECEIVED,
        MessageState.OPENED,
        MessageState.IDENTIFIED,
        MessageState.READ,
        MessageState.DECIDED,
    ]
    now, count = make_message(1).due, 40
    begun = time.thread_time()
    for number in range(count):
        with database.begin() as conn:
            messages.insert_received(conn, make_message(number))
        with database.begin() as conn:
            (message,) = messages.claim(conn, now=now, lease=timedelta(seconds=60), limit=1)
        for old, new in pairwise(states):
            with database.begin() as conn:
                assert messages.advance(conn, message.id, expected=old, to=new, stages=())
        with database.begin() as conn:
            assert messages.settle(conn, message.id, expected=states[-1], end=MessageState.DONE, now=now, stages=())
    each = (time.thread_time() - begun) / count * 1000
    print(f"{each:.2f} ms a message, 7 commits")
    database.close()
    assert each < 100, "far above what was measured: something is wrong, not slow"


def test_foreign_keys_hold(database: Database, world: Any) -> None:
    """A folder of an unknown patient is refused on each engine."""
    from dataclasses import replace

    with pytest.raises(IntegrityError), database.begin() as conn:
        folders.add_folder(conn, replace(world.folder, id="x", reference="D-2", address="y@z", patient="nobody"))


def test_only_what_is_passing_does_not_wait_for_the_disk(database: Database) -> None:
    """A transaction that writes is durable, whichever connection it gets; one in passing is not, and nothing mixes them."""
    query, durable, passing = (
        ("PRAGMA synchronous", 2, 1) if database.is_sqlite else ("SHOW synchronous_commit", "on", "off")
    )
    for _ in range(3):
        with database.passing() as conn:
            assert conn.execute(text(query)).scalar() == passing
        with database.begin() as conn:
            assert conn.execute(text(query)).scalar() == durable


def test_a_passing_transaction_is_one_like_the_others(database: Database, make_message: Callable[..., Message]) -> None:
    """It is seen by everybody once it is committed, undone when it fails, and a refused statement is told without values."""
    with database.passing() as conn:
        messages.insert_received(conn, make_message(1))
    twice = [make_message(2), make_message(2)]
    with pytest.raises(IntegrityError), database.passing() as conn:
        conn.execute(insert(table), [{**messages._values(one), "envelope_key": one.id} for one in twice])
    with database.read() as conn:
        assert messages.known_ids(conn, ["message1", "message2"]) == {"message1"}
    with pytest.raises(IntegrityError) as refused, database.passing() as conn:
        conn.execute(text("INSERT INTO messages (id) VALUES ('message1')"))
    assert "message1" not in str(refused.value)
