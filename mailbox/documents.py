"""Filed documents and their parts; older versions stay readable and marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from dcc.mailbox.records import BlobRef, Document, DocumentStatus, Part
from dcc.mailbox.rows import pack, strings
from dcc.mailbox.schema import documents as table
from dcc.mailbox.schema import parts

NAMES = tuple(one.name for one in fields(Document) if one.name != "parts")
OLDEST_FIRST = (table.c.received_at, table.c.id)
# Asked for every mail: built once, since building a statement costs twice what running it does.
SOME = select(table).where(table.c.id.in_(bindparam("ids", expanding=True))).order_by(*OLDEST_FIRST)
ADD, ADD_PARTS = insert(table), insert(parts)
BY_UNIQUE_ID = (
    select(table)
    .where(table.c.folder == bindparam("wanted"), table.c.unique_id == bindparam("unique_id"))
    .order_by(*OLDEST_FIRST)
)
PARTS = select(parts).where(parts.c.document.in_(bindparam("ids", expanding=True))).order_by(parts.c.position)


def add_document(conn: Connection, document: Document) -> None:
    """Write one document and its parts; the pair (folder, unique id) is unique."""
    # dataclasses.asdict copies deeply, which costs as much as the insert.
    values = {name: getattr(document, name) for name in NAMES}
    values |= {"status": document.status.value, "confidentiality": pack(list(document.confidentiality))}
    conn.execute(ADD, values)
    rows = [_part_values(document.id, position, part) for position, part in enumerate(document.parts)]
    if rows:
        conn.execute(ADD_PARTS, rows)


def document(conn: Connection, document_id: str) -> Document | None:
    """One document by its id."""
    found = some(conn, [document_id])
    return found[0] if found else None


def by_unique_id(conn: Connection, folder_id: str, unique_id: str) -> Document | None:
    """The document of a folder that carries this CDA id."""
    found = _with_parts(conn, conn.execute(BY_UNIQUE_ID, {"wanted": folder_id, "unique_id": unique_id}).all())
    return found[0] if found else None


def documents(conn: Connection, folder_id: str) -> list[Document]:
    """Every document of a folder, oldest first."""
    return _load(conn, [table.c.folder == folder_id])


def some(conn: Connection, ids: Sequence[str]) -> list[Document]:
    """These documents, in the order asked."""
    found = {one.id: one for one in _with_parts(conn, conn.execute(SOME, {"ids": list(ids)}).all())}
    return [found[one] for one in ids if one in found]


def mark(conn: Connection, document_id: str, status: DocumentStatus) -> bool:
    """Supersede or delete a current document by compare-and-set; False when it is not current."""
    done = conn.execute(
        update(table)
        .where(table.c.id == document_id, table.c.status == DocumentStatus.CURRENT.value)
        .values(status=status.value)
    )
    return done.rowcount == 1


def set_confidentiality(conn: Connection, document_id: str, codes: Sequence[str]) -> None:
    """Replace the confidentiality codes of a document; mails that wait are checked against them when they are sent."""
    conn.execute(update(table).where(table.c.id == document_id).values(confidentiality=pack(list(codes))))


def blob_refs(conn: Connection) -> Iterable[BlobRef]:
    """Every blob that a part names, for backup and clean-up."""
    for row in conn.execute(select(parts)):
        yield _part(row).blob


def _load(conn: Connection, conditions: Sequence[Any]) -> list[Document]:
    return _with_parts(conn, conn.execute(select(table).where(*conditions).order_by(*OLDEST_FIRST)).all())


def _with_parts(conn: Connection, rows: Sequence[Row[Any]]) -> list[Document]:
    if not rows:
        return []
    by_document: dict[str, list[Part]] = {}
    for row in conn.execute(PARTS, {"ids": [row.id for row in rows]}):
        by_document.setdefault(row.document, []).append(_part(row))
    return [
        Document(
            **{
                **row._mapping,
                "status": DocumentStatus(row.status),
                "confidentiality": strings(row.confidentiality),
                "parts": tuple(by_document.get(row.id, ())),
            }
        )
        for row in rows
    ]


def _part_values(document_id: str, position: int, part: Part) -> dict[str, Any]:
    return {
        "document": document_id,
        "position": position,
        "name": part.name,
        "media_type": part.media_type,
        "size": part.size,
        "sha256": part.sha256,
        "role": part.role,
        "blob_id": part.blob.id,
        "key_version": part.blob.key_version,
        "wrapped_key": part.blob.wrapped_key,
    }


def _part(row: Row[Any]) -> Part:
    blob = BlobRef(row.blob_id, row.size, row.sha256, row.key_version, row.wrapped_key)
    return Part(row.name, row.media_type, row.size, row.sha256, blob, row.role)
