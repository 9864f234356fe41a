"""Whom a held message may be about: candidates of one network, traits side by side (facts/clinical.md §7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dcc.mailbox import folders
from dcc.mailbox.records import AccountState
from dcc.router.candidates import candidates, identities_of, may_decide, side_by_side
from dcc.router.identity import identity_of

RCA = frozenset({"rca"})


def find(kit: Any, identity: Any, networks: frozenset[str] = RCA, named: tuple[str, ...] = ()) -> list[Any]:
    with kit.database.read() as conn:
        return candidates(conn, (identity,), networks, named)


def test_same_matricule_in_another_domain(kit: Any, constants: Any) -> None:
    """The holder of the matricule is proposed, with the domain as the differing trait."""
    (found,) = find(kit, replace(identity_of(constants["p0"]), oid="1.2.250.1.213.1.4.8"))
    assert (found.folder.id, found.by, found.differing) == ("f0", "ins", ("oid",))


def test_resemblance(kit: Any, constants: Any) -> None:
    """Born the same day and one more equal trait: proposed; another day, or another network: not."""
    read = replace(identity_of(constants["p0"]), ins=None, oid=None, birth_name="PAT TROIS", first_given="DOMINIQU")
    (found,) = find(kit, read)
    assert (found.by, found.differing) == ("resemblance", ("first_given",))
    traits = {one.name: (one.read, one.held, one.equal) for one in found.traits}
    assert traits["birth_name"] == ("PAT TROIS", "PAT-TROIS", True)
    assert traits["ins"] == (None, "279035121518989", None)
    assert find(kit, replace(read, birth_date="19790329")) == []
    assert find(kit, replace(read, birth_date="00000000")) == []
    assert find(kit, read, frozenset({"rcb"})) == []


def test_named_folder_comes_first(kit: Any, constants: Any) -> None:
    """The folder that the mail names is shown first, whatever differs."""
    found = find(kit, identity_of(constants["p1"]), named=("f0",))
    assert [(one.folder.id, one.by) for one in found] == [("f0", "named"), ("f1", "ins")]
    assert "birth_name" in found[0].differing
    assert found[1].differing == ()


def test_nobody_is_named(kit: Any, constants: Any) -> None:
    """Without an identity the named folder is shown with nothing read."""
    assert identities_of(kit.read(kit.mail(("a.pdf", "application/pdf", b"%PDF")))) == ()
    traits = side_by_side(None, constants["p0"])
    assert {one.equal for one in traits} == {None}
    with kit.database.read() as conn:
        assert [one.folder.id for one in candidates(conn, (), RCA, ("f1", "absent"))] == ["f1"]


@pytest.mark.parametrize(
    ("role", "state", "expected"),
    [
        ("identity_officer", AccountState.VALIDATED, True),
        ("administrator", AccountState.VALIDATED, True),
        ("administrator", AccountState.SUSPENDED, False),
        ("oncologist", AccountState.VALIDATED, False),
        ("secretary", AccountState.VALIDATED, False),
    ],
)
def test_who_may_decide(people_of: Any, role: str, state: AccountState, expected: bool) -> None:
    """The role of identitovigilance, or the network's administrator; nobody who cares for the patient."""
    assert may_decide(replace(people_of["dra"], role=role, state=state)) is expected


@pytest.mark.parametrize(
    "statement",
    ["OF_MATRICULE", "BORN_ON", "BY_INS", "PATIENT", "FOLDER", "MANDATES", "READERS", "OPPOSITIONS"],
)
def test_every_lookup_uses_an_index(kit: Any, statement: str) -> None:
    """EXPLAIN QUERY PLAN: no lookup of a mail scans patients, folders, mandates or accounts."""
    compiled = getattr(folders, statement).compile(dialect=kit.database.engine.dialect)
    values = ["x"] * len(compiled.positiontup or compiled.params)
    with kit.database.engine.connect() as conn:
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(values)).all()
    lines = [str(row[-1]) for row in plan]
    assert lines
    assert not [line for line in lines if line.startswith("SCAN")], lines


def test_documents_are_found_by_index(kit: Any) -> None:
    """EXPLAIN QUERY PLAN: a document's id and a mail's Message-ID are looked up by index."""
    from dcc.mailbox import documents

    compiled = documents.BY_UNIQUE_ID.compile(dialect=kit.database.engine.dialect)
    with kit.database.engine.connect() as conn:
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ("x", "y")).all()
        sent = conn.exec_driver_sql("EXPLAIN QUERY PLAN SELECT * FROM outbox WHERE message_id = 'x'").all()
    for rows in (plan, sent):
        assert not [row for row in rows if str(row[-1]).startswith("SCAN")]
