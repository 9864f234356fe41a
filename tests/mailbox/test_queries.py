"""What is asked for every mail is answered by an index, however many accounts, folders and mandates there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.dialects import sqlite

from dcc.mailbox import delegations, documents, folders, people
from dcc.mailbox.database import Database
from dcc.mailbox.schema import accounts, mandates, networks, patients
from dcc.mailbox.schema import folders as folder_table
from dcc.mailbox.schema_people import metadata

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "readers": (folders.READERS, {"wanted": "f5", "at": NOW}),
    "mandates": (folders.MANDATES, {"wanted": "f5"}),
    "oppositions": (folders.OPPOSITIONS, {"wanted": "f5"}),
    "folder": (folders.FOLDER, {"wanted": "f5", "reference": "D-5", "address": "d5@d"}),
    "patient": (folders.BY_INS, {"ins": f"{5:015d}", "oid": "o"}),
    "account": (people.ACCOUNT, {"wanted": "a5"}),
    "mailbox": (people.BY_MAILBOX, {"wanted": "m5@x.example"}),
    "national id": (people.BY_NATIONAL_ID, {"wanted": "85"}),
    "document": (documents.BY_UNIQUE_ID, {"wanted": "f5", "unique_id": "1.2"}),
    "delegations": (delegations._TO, {"wanted": "a5"}),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A store of some thousand rows, so that a plan is worth choosing; its statistics are kept."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('queries')}/store.sqlite")
    metadata.create_all(database.engine)
    network = {"id": "rca", "name": "r", "domain": "d", "address": "a@d", "support_phone": "0", "support_mail": "s"}
    count = range(2000)
    with database.begin() as conn:
        conn.execute(insert(networks), [network])
        conn.execute(insert(accounts), [_account(number) for number in count])
        conn.execute(insert(patients), [_patient(number) for number in count])
        conn.execute(insert(folder_table), [_folder(number) for number in count])
        conn.execute(insert(mandates), [_mandate(number) for number in range(6000)])
        conn.execute(text("ANALYZE"))
    yield database
    database.close()


def _account(number: int) -> dict[str, Any]:
    return {
        "id": f"a{number}", "network": "rca", "kind": "person", "national_id": f"8{number}", "structure": f"1{number % 50}",
        "mailbox": f"m{number}@x.example", "role": "gp", "state": "validated", "language": "fr",
    }  # fmt: skip


def _patient(number: int) -> dict[str, Any]:
    return {
        "id": f"p{number}", "ins": f"{number:015d}", "oid": "o", "birth_name": "B", "given_names": "[]", "sex": "F",
        "birth_date": date(1970, 1, 1), "birth_place": "1", "status": "QUAL",
    }  # fmt: skip


def _folder(number: int) -> dict[str, Any]:
    return {
        "id": f"f{number}", "reference": f"D-{number}", "address": f"d{number}@d", "network": "rca",
        "patient": f"p{number}", "created_at": NOW, "consent": "given",
    }  # fmt: skip


def _mandate(number: int) -> dict[str, Any]:
    holder = {"account": f"a{number % 2000}", "structure": None}
    if number % 10 == 0:
        holder = {"account": None, "structure": f"1{number % 50}"}
    return {"id": f"m{number}", "folder": f"f{number % 2000}", "origin": "granted", "start": NOW, **holder}


@pytest.mark.parametrize("name", sorted(ASKED))
def test_no_table_is_read_whole(filled: Database, name: str) -> None:
    """The plan of each statement searches by an index; none scans a table."""
    statement, values = ASKED[name]
    compiled = statement.compile(dialect=sqlite.dialect())
    bound = [compiled.construct_params(values)[one] for one in compiled.positiontup or ()]
    with filled.read() as conn:
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(map(_plain, bound))).all()
    steps = [row[3] for row in plan]
    assert any("SEARCH" in step for step in steps), steps
    whole = [step for step in steps if step.startswith("SCAN") and "(subquery" not in step]
    assert not whole, steps
    assert not [step for step in steps if "(network=?)" in step], "that is every account of the network"


def test_readers_by_both_ways(filled: Database) -> None:
    """Whoever is mandated, by account or by structure, is a reader once, in the order of ids."""
    with filled.read() as conn:
        folder = folders.folder(conn, "f0")
        assert folder is not None
        found = [one.id for one in folders.readers(conn, folder, NOW)]
    assert found == sorted({"a0"} | {f"a{number}" for number in range(0, 2000, 50)})


def _plain(value: Any) -> Any:
    return value.replace(tzinfo=None).isoformat(" ") if isinstance(value, datetime) else value
