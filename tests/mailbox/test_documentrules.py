"""A network's own document rules as rows, on both engines: kept as given, one in force, changed by whoever saw the last."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from dcc.mailbox import documentrules, people
from dcc.mailbox.changerecords import about, action_of
from dcc.mailbox.changes import RulesLeft, RulesSet
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.database import Database
from dcc.mailbox.migrate import downgrade, upgrade
from dcc.mailbox.records import DocumentRules
from dcc.mailbox.schema_people import document_rules

TEXT = 'group,label,feed,read\r\n10,"médecin, ou autre",*,*\n\nother,,,\n'


def made(content: str, now: datetime, by: str = "A. Martin") -> DocumentRules:
    return DocumentRules("rca", documentrules.digest(content), content, now, by)


def test_rules_come_back_as_they_were_given(database: Database, world: Any, now: datetime) -> None:
    """The text is kept to the octet, with who set it and when; the network's row names it by its hash."""
    with database.begin() as conn:
        assert documentrules.in_force(conn, "rca") is None
        apply(conn, RulesSet(made(TEXT, now), None), now)
    with database.read() as conn:
        assert documentrules.in_force(conn, "rca") == made(TEXT, now)
        assert documentrules.text(conn, "rca", documentrules.digest(TEXT)) == TEXT
        network = people.get_network(conn, "rca")
        assert network == replace(world.network, rules=documentrules.digest(TEXT))
        assert people.network_by_address(conn, world.network.address) == network
        assert people.list_networks(conn) == [network]


def test_former_rules_are_kept_and_may_come_back(database: Database, world: Any, now: datetime) -> None:
    """A text that is no longer in force can still be read; set again, it is the same text, under its new name and day."""
    first, other, later = made(TEXT, now), made("other", now), now + timedelta(days=1)
    with database.begin() as conn:
        apply(conn, RulesSet(first, None), now)
        apply(conn, RulesSet(other, first.sha256), now)
        assert documentrules.text(conn, "rca", first.sha256) == TEXT
        apply(conn, RulesLeft("rca", other.sha256), now)
        assert documentrules.in_force(conn, "rca") is None
        again = replace(first, set_at=later, set_by="B. Petit")
        apply(conn, RulesSet(again, None), later)
        assert documentrules.in_force(conn, "rca") == again


def test_two_people_at_once(database: Database, world: Any, now: datetime) -> None:
    """Whoever decided on rules that are no longer in force changes nothing."""
    first, other = made(TEXT, now), made("other", now)
    with database.begin() as conn:
        apply(conn, RulesSet(first, None), now)
    for late in (RulesSet(other, None), RulesSet(other, other.sha256), RulesLeft("rca", other.sha256)):
        with pytest.raises(ChangeLost), database.begin() as conn:
            apply(conn, late, now)
    with database.read() as conn:
        assert documentrules.in_force(conn, "rca") == first
        with pytest.raises(documentrules.RulesLost):
            documentrules.text(conn, "rca", other.sha256)


def test_a_text_that_is_not_what_it_was_is_not_used(database: Database, world: Any, now: datetime) -> None:
    """Rules changed behind the network's back, or gone, or another network's, are an error and never a rule."""
    with database.begin() as conn:
        apply(conn, RulesSet(made(TEXT, now), None), now)
        with pytest.raises(documentrules.RulesLost):
            documentrules.text(conn, "perinat", documentrules.digest(TEXT))
        conn.execute(update(document_rules).values(content=TEXT + "10,x,*,*\n"))
        with pytest.raises(documentrules.RulesLost):
            documentrules.text(conn, "rca", documentrules.digest(TEXT))


def test_what_the_audit_says(now: datetime) -> None:
    """Which rules replaced which, by their hashes: the texts are kept, so that it can be looked up."""
    rules = made(TEXT, now)
    assert action_of(RulesSet(rules, "f" * 64)) == "network:rules_set"
    assert about(RulesSet(rules, "f" * 64)) == (
        None, {"network": "rca", "rules": documentrules.digest(TEXT), "before": "f" * 64}
    )  # fmt: skip
    assert action_of(RulesLeft("rca", rules.sha256)) == "network:rules_left"
    assert about(RulesLeft("rca", rules.sha256)) == (None, {"network": "rca", "before": rules.sha256})


def test_networks_come_through_the_migration(database: Database, world: Any, now: datetime) -> None:
    """A network that was there before goes under the gateway's table, and down again keeps everything else."""
    with database.begin() as conn:
        apply(conn, RulesSet(made(TEXT, now), None), now)
    downgrade(database.engine, "0008")
    upgrade(database.engine)
    with database.read() as conn:
        assert people.get_network(conn, "rca") == world.network
        assert people.get_account(conn, "doctor") == world.doctor
