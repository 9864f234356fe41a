"""`dcc network rules`: shown as it can be set again, set whole or not at all, under a name, given back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dcc.gateway.services import open_database
from dcc.gateway.settings import load_settings
from dcc.mailbox import people
from dcc.router.typerules import LARGEST, default_text
from terminal import dcc

TABLE = 'group,label,feed,read\r\n10,"médecins, tous",* -57833-6,*\r\nother,autres,,34794-8\r\n'
OPERATOR = ("--operator", "A. Martin")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A network's own table."""
    file = tmp_path / "regles.csv"
    file.write_bytes(TABLE.encode())
    return file


def rules(instance: Path, *arguments: object, code: int = 0) -> Any:
    done = dcc("network", "rules", *arguments, "-c", instance / "dcc.toml", "--json")
    assert done.code == code, (done.out, done.err)
    return done.json if code == 0 else done.err


def trail(instance: Path) -> list[dict[str, Any]]:
    done = dcc("audit", "export", "-c", instance / "dcc.toml")
    return [one for line in done.out.splitlines() if (one := json.loads(line))["tag"].startswith("operator:network:")]


def test_set_and_shown(instance: Path, table: Path) -> None:
    """Set once, a table is told in full, to the octet, for its network alone; set again it changes nothing."""
    told = rules(instance, "perinat", "--set", table, *OPERATOR)
    assert (told["changed"], told["rules"], told["set_by"], told["table"]) == (True, "network", "A. Martin", TABLE)
    assert told["lines"][0] == {"group": "10", "label": "médecins, tous", "feed": "* -57833-6", "read": "*"}
    shown = rules(instance, "perinat")
    assert shown == {name: value for name, value in told.items() if name != "changed"}
    assert rules(instance, "perinat", "--set", table, *OPERATOR)["changed"] is False
    other = rules(instance, "rca")
    assert (other["rules"], other["set_at"], other["table"]) == ("gateway", None, default_text())
    plain = dcc("network", "rules", "perinat", "-c", instance / "dcc.toml")
    assert (plain.code, plain.out.replace("\r\n", "\n")) == (0, TABLE.replace("\r\n", "\n"))
    assert "A. Martin" in plain.err
    (record,) = trail(instance)
    assert (record["tag"], record["actor"]) == ("operator:network:rules_set", "operator:A. Martin")
    assert record["detail"] == {"network": "perinat", "rules": told["sha256"]}
    with open_database(load_settings(instance / "dcc.toml")) as database, database.read() as conn:
        assert {one.id: one.rules for one in people.list_networks(conn)} == {"perinat": told["sha256"], "rca": None}


def test_given_back(instance: Path, table: Path) -> None:
    """The gateway's table holds again; doing it twice changes nothing; both steps are in the trace."""
    sha256 = rules(instance, "rca", "--set", table, *OPERATOR)["sha256"]
    assert rules(instance, "rca", "--default", *OPERATOR)["changed"] is True
    told = rules(instance, "rca", "--default", *OPERATOR)
    assert (told["changed"], told["rules"]) == (False, "gateway")
    assert [one["tag"] for one in trail(instance)] == ["operator:network:rules_set", "operator:network:rules_left"]
    assert trail(instance)[-1]["detail"] == {"network": "rca", "before": sha256}


def test_what_is_shown_can_be_set(instance: Path, tmp_path: Path) -> None:
    """The gateway's table as it is shown is a table that a network can begin with."""
    file = tmp_path / "depart.csv"
    file.write_text(dcc("network", "rules", "rca", "-c", instance / "dcc.toml").out, encoding="utf-8")
    assert rules(instance, "rca", "--set", file, *OPERATOR)["table"] == default_text()


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"group,label,feed,read\n10,x,34794-9,class:00\n",
         ("regles.csv, il manque la ligne other, qui vaut pour toute profession sans ligne\n"
         "regles.csv, ligne 2, feed : 34794-9 n'est pas un type du CI-SIS\n"
         "regles.csv, ligne 2, read : class:00 n'est pas une classe du CI-SIS\n")),
        (TABLE.encode("latin-1"), "regles.csv, ligne 2 : ce n'est pas du texte en UTF-8\n"),
        (b" " * (LARGEST + 1), "regles.csv, le fichier dépasse 64 Kio\n"),
    ],
)  # fmt: skip
def test_a_table_with_a_fault_is_not_taken(instance: Path, table: Path, octets: bytes, said: str) -> None:
    """Every fault is told with its line, exit 2; nothing is changed, nothing is in the trace."""
    table.write_bytes(octets)
    assert rules(instance, "rca", "--set", table, *OPERATOR, code=2) == said
    assert rules(instance, "rca")["rules"] == "gateway"
    assert trail(instance) == []


def test_usage(instance: Path, table: Path) -> None:
    """An unknown network, an absent file, both options, no name: one sentence each."""
    assert "aucun réseau" in rules(instance, "nowhere", code=1)
    assert "aucun réseau" in rules(instance, "nowhere", "--default", *OPERATOR, code=1)
    assert "absent ou illisible" in rules(instance, "rca", "--set", table.with_name("x.csv"), *OPERATOR, code=2)
    assert "pas les deux" in rules(instance, "rca", "--set", table, "--default", *OPERATOR, code=2)
    assert "--operator" in rules(instance, "rca", "--set", table, "--operator", " ", code=2)


def test_the_gateways_table_is_the_one_of_the_settings(instance: Path) -> None:
    """Where a network has none, what is shown is the table that the settings name."""
    (instance / "types.csv").write_text("group,label,feed,read\nother,x,*,*\n", encoding="utf-8")
    config = instance / "dcc.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("[gateway]", '[gateway]\nmatrix = "types.csv"', 1))
    assert rules(instance, "rca")["table"] == "group,label,feed,read\nother,x,*,*\n"
