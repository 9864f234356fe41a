"""`dcc migrate`: the database made, brought up to this version's schema, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcc.mailbox.migrate import head
from terminal import dcc


def test_down_and_up(own: Path) -> None:
    """Up is without effect when it is done; down wants a yes, rows or not; up again makes a database that checks out."""
    config = own / "dcc.toml"
    assert dcc("migrate", "-c", config, "--json").json == {"migrated": True, "revision": head()}
    refused = dcc("migrate", "-c", config, "--to", "base")
    assert (refused.code, "--yes" in refused.err) == (2, True)
    assert dcc("message", "list", "-c", config).code == 0
    assert dcc("migrate", "-c", config, "--to", "base", "--yes").code == 0
    for command in (("message", "list"), ("check-config",), ("account", "list")):
        done = dcc(*command, "-c", config)
        assert done.code == 78
        assert done.err == "database.url : la base n'a pas le schéma de cette version (dcc migrate)\n"
    assert dcc("migrate", "-c", config).code == 0
    assert dcc("check-config", "-c", config).code == 0
    assert dcc("message", "list", "-c", config, "--json").json == []


def test_it_makes_the_database(instance: Path) -> None:
    """Where there is no database, migrate makes it, readable by its owner only."""
    (instance / "var/dcc.sqlite").unlink()
    assert dcc("migrate", "-c", instance / "dcc.toml").code == 0
    assert (instance / "var/dcc.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "environment", "code"),
    [
        (("--to", "9999", "--yes"), {}, 2),
        ((), {"DCC_DATABASE__URL": "sqlite:///absent/dcc.sqlite"}, 78),
        ((), {"DCC_DATABASE__URL": "postgresql://dcc@127.0.0.1:1/dcc"}, 3),
    ],
)
def test_what_cannot_be(options: tuple[str, ...], environment: dict[str, str], code: int, instance: Path) -> None:
    """An unknown version, a folder that is not there, a server that does not answer: one line and its exit code."""
    done = dcc("migrate", "-c", instance / "dcc.toml", *options, environment=environment)
    assert (done.code, done.out, len(done.err.splitlines())) == (code, "", 1)
