"""`dcc audit verify|export`: the trace exported line by line, and one altered byte found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terminal import dcc
from workedinstance import Worked


def altered(own: Path, statement: str) -> None:
    """Change the trail behind the gateway's back, as somebody with the database file could."""
    connection = sqlite3.connect(own / "var/dcc.sqlite")
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


def test_intact(worked: Worked, ask: Callable[..., Any]) -> None:
    """An untouched trail verifies: exit 0, how many records, and the last hash to write down."""
    told = ask("audit", "verify")
    assert (told["ok"], told["first_bad"], told["problem"]) == (True, None, None)
    assert told["count"] == len(dcc("audit", "export", "-c", worked.directory / "dcc.toml").out.splitlines())
    assert dcc("audit", "verify", "-c", worked.directory / "dcc.toml").out.startswith("trace intacte")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = actor || 'x' WHERE sequence = 3",
        "UPDATE audit SET code = 'D2R-MAN02' WHERE code = 'D2R-MAN01'",
        "DELETE FROM audit WHERE sequence = 4",
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "UPDATE audit SET at = datetime(at, '+1 second') WHERE sequence = 2",
    ],
)
def test_one_altered_byte(statement: str, own: Path) -> None:
    """A record changed or removed is found: exit 1, where and what."""
    altered(own, statement)
    done = dcc("audit", "verify", "-c", own / "dcc.toml", "--json")
    assert (done.code, done.json["ok"]) == (1, False)
    assert done.json["first_bad"] is not None
    assert done.json["problem"]
    assert "TRACE ROMPUE" in dcc("audit", "verify", "-c", own / "dcc.toml").out


def test_export(worked: Worked) -> None:
    """One JSON object a line, oldest first: actor, certificate, Message-ID, decision and code of every message."""
    done = dcc("audit", "export", "-c", worked.directory / "dcc.toml")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [one["sequence"] for one in lines] == list(range(len(lines)))
    for told in (worked.filed.json, worked.refused.json, worked.held.json):
        (end,) = (one for one in lines if one["message"] == told["id"] and one["tag"].endswith(told["state"]))
        assert end["code"] == (told["reason"] or {}).get("code")
        assert end["certificate"] == told["signer"]["certificate_sha256"]
        assert end["mail_message_id"].startswith("<")
    assert dcc("audit", "export", "-c", worked.directory / "dcc.toml", "--json").out == done.out
    for patient in worked.cast.told["patients"]:
        assert patient["ins"] not in done.out
        assert patient["birth_name"] not in done.out


def test_database_and_certificate_suffice(worked: Worked, own: Path) -> None:
    """With `--certificate` no key and no password is needed; another's certificate proves nothing."""
    certificate = own / worked.cast.told["gateway"]["signing_certificate"]
    for name in ("signature.p12", "dechiffrement.p12", "audit.pem", "key-encryption-keys.json"):
        (own / "keys" / name).unlink()
    assert dcc("audit", "verify", "-c", own / "dcc.toml").code == 78
    assert dcc("audit", "verify", "-c", own / "dcc.toml", "--certificate", certificate).code == 0
    other = own / worked.cast.person("gp")["card"]["certificate"]
    assert dcc("audit", "verify", "-c", own / "dcc.toml", "--certificate", other).code == 1
    both = ("--certificate", other, "--certificate", certificate)
    assert dcc("audit", "verify", "-c", own / "dcc.toml", *both).code == 0


def test_a_certificate_that_is_none(own: Path) -> None:
    """A certificate that is absent or no certificate: exit 2, one line."""
    for path in (own / "absent.pem", own / "dcc.toml"):
        done = dcc("audit", "verify", "-c", own / "dcc.toml", "--certificate", path)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
