"""The number that every change of rights raises, whoever writes it and however, on both engines (I4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from sqlalchemy import Connection, delete, insert, text, update
from sqlalchemy.exc import IntegrityError

from dcc.mailbox import changes, documentrules, documents, folders, messages, outbox, people, rights
from dcc.mailbox.changes import Change
from dcc.mailbox.changewriting import apply
from dcc.mailbox.database import Database
from dcc.mailbox.migrate import downgrade, upgrade
from dcc.mailbox.records import AccountState, ConsentState, DocumentRules, DocumentStatus
from dcc.mailbox.schema import metadata, oppositions


def rules(content: str) -> DocumentRules:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return DocumentRules("rca", documentrules.digest(content), content, at, "A. Martin")


RULES, STRICTER = rules("a"), rules("b")


def raised(database: Database, write: Callable[[Connection], Any]) -> int:
    """By how much one transaction raises the number."""
    with database.read() as conn:
        before = rights.revision(conn)
    with database.begin() as conn:
        write(conn)
    with database.read() as conn:
        return rights.revision(conn) - before


@pytest.fixture
def full(database: Database, world: Any, now: datetime) -> Database:
    """A folder with a mandate, an opposition and a document, in a network with rules of its own."""
    with database.begin() as conn:
        documentrules.choose(conn, RULES, before=None)
        folders.add_mandate(conn, world.mandate)
        folders.add_opposition(conn, folder="folder", account="nurse", type_code=None, at=now)
        documents.add_document(conn, world.document)
    return database


@pytest.mark.parametrize("table", rights.WATCHED)
def test_any_write_of_a_watched_table(full: Database, table: str) -> None:
    """Changing any row of a watched table raises it, also by a statement that is not ours; rows told by the store alone."""
    column = next(iter(metadata.tables[table].primary_key)).name
    assert raised(full, lambda conn: conn.execute(text(f"UPDATE {table} SET {column} = {column}"))) >= 1


def test_losing_a_row(full: Database) -> None:
    """A mandate or an opposition that is taken away raises it too; so does a new opposition."""
    mandates = metadata.tables["mandates"]
    assert raised(full, lambda conn: conn.execute(delete(mandates))) >= 1
    assert raised(full, lambda conn: conn.execute(delete(oppositions))) >= 1


ENDED: list[Change] = [
    changes.AccountMoved("doctor", (AccountState.VALIDATED,), AccountState.SUSPENDED),
    changes.CardSeen("doctor", b"\x30\x02"),
    changes.EncryptionCertificateSeen("doctor", b"\x30\x03", b"\x30\x01"),
    changes.RulesSet(STRICTER, RULES.sha256),
    changes.RulesLeft("rca", RULES.sha256),
    changes.ConsentChanged("folder", ConsentState.WITHDRAWN, None, None),
    changes.FolderClosed("folder"),
    changes.MandateRevoked("mandate", "folder"),
    changes.Opposed("folder", "doctor", None),
    changes.Opposed("folder", None, "34794-8"),
]


# Changes that give something, or that no mail to a reader rests on
OTHERS = {
    changes.NetworkAdded, changes.FormPublished, changes.AccountRequested, changes.LanguageChosen,
    changes.CapabilitiesSeen, changes.FolderOpened, changes.MandateGranted, changes.DelegationGiven,
    changes.DelegationRevoked, changes.OppositionLifted, changes.FactorEnrolled, changes.FactorConfirmed,
    changes.FactorRevoked, changes.TokenIssued, changes.TokenUsed,
}  # fmt: skip


def test_every_kind_of_change_is_placed() -> None:
    """Whoever adds a kind of change says here whether it may end a right; if it may, it is tried below."""
    assert {type(one) for one in ENDED} | OTHERS == set(get_args(Change))
    assert not {type(one) for one in ENDED} & OTHERS


@pytest.mark.parametrize("change", ENDED, ids=lambda one: type(one).__name__)
def test_changes_that_end_a_right(full: Database, now: datetime, change: Change) -> None:
    """Each change that people ask for and that may end a right raises it."""
    assert raised(full, lambda conn: apply(conn, change, now)) >= 1


@pytest.mark.parametrize("write", [
    lambda conn: documents.mark(conn, "document", DocumentStatus.DELETED),
    lambda conn: documents.set_confidentiality(conn, "document", ("N", "MASQUE_PS")),
    lambda conn: people.set_account_state(conn, "doctor", AccountState.REFUSED),
])  # fmt: skip
def test_documents_and_states(full: Database, write: Callable[[Connection], Any]) -> None:
    """A document deleted, replaced or masked raises it."""
    assert raised(full, write) >= 1


def test_ordinary_work_does_not(
    full: Database, make_message: Any, make_delivery: Any, world: Any, now: datetime
) -> None:
    """A deposit that is filed, its mails and a new mandate end no right: nobody looks again because of them."""

    def work(conn: Connection) -> None:
        messages.insert_received(conn, make_message(1))
        documents.add_document(conn, replace(world.document, id="other", unique_id="1.2.5"))
        outbox.enqueue(conn, make_delivery(1))
        outbox.mark_started(conn, "delivery1", now=now)
        folders.add_mandate(conn, replace(world.mandate, id="another"))

    assert raised(full, work) == 0


def test_what_is_taken_back_does_not_raise(full: Database) -> None:
    """A change that is not committed has not happened."""
    with full.read() as conn:
        before = rights.revision(conn)
    twice = [{"key": "a", "message": "m"}, {"key": "a", "message": "m"}]

    def write(conn: Connection) -> None:
        conn.execute(update(metadata.tables["accounts"]).values(state="suspended"))
        conn.execute(insert(metadata.tables["replays"]), twice)

    with pytest.raises(IntegrityError):
        raised(full, write)
    with full.read() as conn:
        assert rights.revision(conn) == before


def test_begun_only_under_the_number_it_was_planned_with(full: Database, make_delivery: Any, now: datetime) -> None:
    """A mail planned before a right ended is not begun, and stays as it is for whoever looks again."""
    with full.begin() as conn:
        outbox.enqueue(conn, make_delivery(1))
        planned = rights.revision(conn)
    with full.begin() as conn:
        folders.revoke_mandate(conn, "mandate", at=now)
    with full.begin() as conn:
        assert not outbox.mark_started(conn, "delivery1", now=now, rights=planned)
    with full.begin() as conn:
        found = outbox.get(conn, "delivery1")
        assert found is not None
        assert found.started_at is None
        assert outbox.mark_started(conn, "delivery1", now=now, rights=rights.revision(conn))


def test_triggers_after_every_way_of_migrating(database: Database, world: Any) -> None:
    """Down before the number and up again: it is kept again, and every watched table has its triggers."""
    downgrade(database.engine, "0009")
    upgrade(database.engine)
    assert raised(database, lambda conn: people.set_language(conn, "doctor", "en")) >= 1
    query = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if not database.is_sqlite:
        query = "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal"
    with database.read() as conn:
        assert set(conn.execute(text(query)).scalars()) == set(rights.WATCHED)
