"""The commands by which a named operator decides: held, account, opposition, outbox, document; each leaves its record."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dcc.gateway import cli
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import documents, outbox
from dcc.mailbox.records import DocumentStatus
from terminal import OPERATOR, Done, dcc
from workedinstance import Worked


def last_record(own: Path) -> dict[str, Any]:
    """The last line of the trail."""
    found: dict[str, Any] = json.loads(dcc("audit", "export", "-c", own / "dcc.toml").out.splitlines()[-1])
    return found


def run(own: Path, *arguments: str) -> Done:
    return dcc(*arguments, "-c", own / "dcc.toml", "--json")


def test_release(worked: Worked, own: Path) -> None:
    """A released message is worked on again from its received bytes; a second time it is not held any more."""
    held = worked.held.json["id"]
    assert run(own, "held", "release", held).json == {"id": held, "state": "received"}
    record = last_record(own)
    assert (record["tag"], record["actor"]) == ("operator:message:released", f"operator:{OPERATOR}")
    assert run(own, "message", "show", held).json["state"] == "received"
    assert run(own, "held", "release", held).code == 1


def test_refuse(worked: Worked, own: Path) -> None:
    """A refused message ends, its known sender is told, and the trail says who decided."""
    held = worked.held.json["id"]
    assert run(own, "held", "refuse", held, "--operator", "Dr Martin").json == {"id": held, "state": "refused"}
    told = run(own, "message", "show", held).json
    assert (told["state"], told["reason"]["code"]) == ("refused", "D2R-OPR01")
    assert last_record(own)["actor"] == "operator:Dr Martin"
    answers = [one for one in run(own, "outbox", "list", "--message", held).json if one["kind"] == "refusal"]
    assert [one["mailbox"] for one in answers] == [worked.cast.person("oncologist")["mailbox"]]
    assert run(own, "held", "refuse", held).code == 1
    assert run(own, "held", "refuse", worked.filed.json["id"]).code == 1
    assert dcc("audit", "verify", "-c", own / "dcc.toml").code == 0


def test_suspend_and_validate(worked: Worked, own: Path) -> None:
    """An account is suspended or validated by its id or its address, in every network that knows the address."""
    gp = worked.cast.person("gp")["mailbox"]
    told = run(own, "account", "suspend", gp.upper()).json
    assert {(one["network"], one["state"]) for one in told} == {("rca", "suspended"), ("perinat", "suspended")}
    assert last_record(own)["tag"] == "operator:account:suspended"
    (one,) = run(own, "account", "validate", told[0]["id"]).json
    assert (one["id"], one["state"]) == (told[0]["id"], "validated")
    assert run(own, "account", "suspend", "nobody@x.example").code == 1


def test_oppositions(worked: Worked, own: Path) -> None:
    """The patient's opposition to a person or a type is added, listed and lifted, for one folder."""
    folder, gp = worked.cast.folder("main"), worked.cast.person("gp")["mailbox"]
    person = run(own, "opposition", "add", folder["reference"], "--person", gp).json
    kind = run(own, "opposition", "add", folder["id"], "--type", "11488-4").json
    listed = run(own, "opposition", "list", folder["address"]).json
    assert {one["id"] for one in listed} == {person["id"], kind["id"]}
    assert (kind["type"], kind["account"], person["type"]) == ("11488-4", None, None)
    assert run(own, "opposition", "list", worked.cast.folder("second")["id"]).json == []
    assert run(own, "opposition", "remove", person["id"]).json == {"id": person["id"], "removed": True}
    assert last_record(own)["tag"] == "operator:opposition:removed"
    assert [one["id"] for one in run(own, "opposition", "list", folder["id"]).json] == [kind["id"]]
    assert run(own, "opposition", "remove", person["id"]).code == 1
    for wrong in ((), ("--person", gp, "--type", "11488-4")):
        assert run(own, "opposition", "add", folder["id"], *wrong).code == 2
    assert run(own, "opposition", "add", folder["id"], "--person", "nobody@x.example").code == 1


def test_outbox_retry(worked: Worked, own: Path) -> None:
    """A failed or uncertain mail is queued again with the same Message-ID; one that was sent is not."""
    (first, second, *_) = run(own, "outbox", "list", "--message", worked.filed.json["id"]).json
    assert run(own, "outbox", "retry", first["id"]).code == 1
    settings = load_settings(own / "dcc.toml", {})
    with open_services(settings) as services, services.database.begin() as conn:
        from sqlalchemy import update

        from dcc.mailbox.schema import outbox as table

        conn.execute(update(table).where(table.c.id == second["id"]).values(state="uncertain"))
    assert run(own, "outbox", "retry", second["id"]).json == {"id": second["id"], "state": "queued"}
    with open_services(settings) as services, services.database.read() as conn:
        found = outbox.get(conn, second["id"])
    assert found is not None
    assert (found.state.value, found.message_id) == ("queued", second["message_id"])
    assert last_record(own)["tag"] == "operator:delivery:retried"


def test_document_get(worked: Worked, own: Path, tmp_path: Path) -> None:
    """The parts of a document are written for their asker alone, octet for octet, and the trail says who asked."""
    (document,) = worked.filed.json["documents"]
    done = run(own, "document", "get", document, "--out", str(tmp_path / "pieces"))
    assert done.code == 0
    for one in done.json:
        path = Path(one["path"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one["sha256"]
        assert path.stat().st_size == one["size"]
        assert path.stat().st_mode & 0o077 == 0
    assert {one["name"] for one in done.json} >= {"IHE_XDM.zip", "copie.pdf"}
    assert not [path for path in (tmp_path / "pieces").iterdir() if "copie" in path.name]
    record = last_record(own)
    assert (record["tag"], record["document"]) == ("operator:document:read", document)
    assert run(own, "document", "get", "absent").code == 1


def test_a_deleted_document_is_not_given(worked: Worked, own: Path, tmp_path: Path) -> None:
    """A deleted document stays in the folder, marked, and its content is served no more."""
    (document,) = worked.filed.json["documents"]
    settings = load_settings(own / "dcc.toml", {})
    with open_services(settings) as services, services.database.begin() as conn:
        assert documents.mark(conn, document, DocumentStatus.DELETED)
    done = run(own, "document", "get", document, "--out", str(tmp_path / "pieces"))
    assert (done.code, done.out) == (1, "")
    assert "supprimé" in done.err


def test_a_damaged_document(worked: Worked, own: Path, tmp_path: Path) -> None:
    """A file that was changed on the disk is one sentence and exit 1, not half a document."""
    for path in (own / "var/documents").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"\0")
    done = run(own, "document", "get", worked.filed.json["documents"][0], "--out", str(tmp_path / "pieces"))
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)


@pytest.mark.parametrize(
    "command",
    [
        ("held", "release", "x"), ("held", "refuse", "x"), ("account", "validate", "x"), ("account", "suspend", "x"),
        ("opposition", "remove", "x"), ("outbox", "retry", "x"), ("document", "get", "x"), ("key", "rotate"),
        ("key", "rewrap"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_somebody_must_decide(command: tuple[str, ...], worked: Worked) -> None:
    """Nobody named: exit 2, and nothing is done; the trail never says that nobody decided."""
    done = dcc(*command, "-c", worked.directory / "dcc.toml", environment={"USER": ""})
    assert done.code == 2
    assert "--operator" in done.err


@pytest.mark.parametrize(("known", "named"), [(True, "martin"), (False, f"uid {os.getuid()}")])
def test_operator_is_the_login_name_where_no_user_is_set(
    monkeypatch: pytest.MonkeyPatch, known: bool, named: str
) -> None:
    """Services and containers set no USER: `--operator` is then the account that runs the command, or its number."""

    def login() -> str:
        if not known:
            raise KeyError(os.getuid())
        return "martin"

    names: list[str] = []
    monkeypatch.setattr(getpass, "getuser", login)
    monkeypatch.setattr(cli, "build", lambda _command: lambda **_: names.append(os.environ["USER"]))
    others = {key: value for key, value in os.environ.items() if key != "USER"}
    with patch.dict(os.environ, others, clear=True), pytest.raises(SystemExit):
        cli.main([])
    assert names == [named]
