"""The national directory as last imported: taken in lots, in force all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, delete, func, insert, select, update

from dcc.mailbox.database import Database
from dcc.mailbox.rows import new_id
from dcc.mailbox.schema_directory import directory_entries as entries
from dcc.mailbox.schema_directory import directory_imports as imports

LOT = 5000  # rows a transaction: the gateway writes between two of them


@dataclass(frozen=True, slots=True)
class Entry:
    """One mailbox of the directory. `kind`: PER, ORG, CAB or APP."""

    address: str
    kind: str
    national_id: str | None
    structure: str | None
    family_name: str | None
    given_name: str | None
    profession: str | None
    structure_name: str | None


@dataclass(frozen=True, slots=True)
class Import:
    """The import in force."""

    id: str
    at: datetime
    entries: int
    sha256: str


COLUMNS = [entries.c[name] for name in Entry.__slots__]


def begin(database: Database, at: datetime) -> str:
    """A new import, not in force; whatever an interrupted one left goes first."""
    clear(database)
    name = new_id()
    with database.begin() as conn:
        conn.execute(insert(imports).values(id=name, at=at, entries=0, sha256="", in_force=False))
    return name


def add(database: Database, import_id: str, rows: Iterable[Mapping[str, str | None]]) -> Iterator[int]:
    """Write rows (the fields of `Entry`) in lots; gives how many so far."""
    source, done = iter(rows), 0
    while lot := [{**row, "import_id": import_id} for row in islice(source, LOT)]:
        with database.begin() as conn:
            conn.execute(insert(entries), lot)
        done += len(lot)
        yield done


def put_in_force(database: Database, import_id: str, count: int, sha256: str) -> None:
    """From now on this import answers, and no other; the old rows go afterwards."""
    with database.begin() as conn:
        conn.execute(update(imports).values(in_force=False))
        conn.execute(
            update(imports).where(imports.c.id == import_id).values(in_force=True, entries=count, sha256=sha256)
        )
    clear(database)


def clear(database: Database) -> None:
    """Remove what is not in force, in lots."""
    while True:
        with database.begin() as conn:
            old = select(entries.c.id).join(imports).where(~imports.c.in_force).limit(LOT * 4)
            if not conn.execute(delete(entries).where(entries.c.id.in_(old))).rowcount:
                conn.execute(delete(imports).where(~imports.c.in_force))
                return


def in_force(conn: Connection) -> Import | None:
    """The import that answers, if there was one."""
    row = conn.execute(select(imports).where(imports.c.in_force)).one_or_none()
    return None if row is None else Import(row.id, row.at, row.entries, row.sha256)


def by_address(conn: Connection, address: str) -> list[Entry]:
    """Who is behind an address; some are listed more than once."""
    return _found(conn, entries.c.address == address.lower())


def by_national_id(conn: Connection, national_id: str) -> list[Entry]:
    """The mailboxes of a person."""
    return _found(conn, entries.c.national_id == national_id)


def _found(conn: Connection, wanted: object) -> list[Entry]:
    query = select(*COLUMNS).join(imports).where(imports.c.in_force, wanted).order_by(entries.c.id).limit(1000)  # type: ignore[arg-type]
    return [Entry(**row._mapping) for row in conn.execute(query)]


def count(conn: Connection) -> int:
    """Entries in force."""
    return int(
        conn.execute(select(func.count()).select_from(entries).join(imports).where(imports.c.in_force)).scalar_one()
    )
