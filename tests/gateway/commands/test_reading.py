"""The commands that only look: `dcc message|held|folder|account|outbox list|show`, in the shapes of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terminal import dcc
from workedinstance import Worked

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Ask = Callable[..., Any]


def test_message_list(worked: Worked, ask: Ask) -> None:
    """Every message, newest first or by state, by the id that the 250 told."""
    found = {one["id"]: one["state"] for one in ask("message", "list")}
    assert found == {
        worked.filed.json["id"]: "filed", worked.refused.json["id"]: "refused", worked.held.json["id"]: "held",
    }  # fmt: skip
    assert [one["id"] for one in ask("message", "list", "--state", "refused")] == [worked.refused.json["id"]]
    assert len(ask("message", "list", "--limit", "2")) == 2


def test_message_show(worked: Worked, ask: Ask) -> None:
    """State, reason, signer, folder, documents, times, and each stage with its duration."""
    told = ask("message", "show", worked.filed.json["id"])
    assert set(told) >= {
        "id", "state", "reason", "signer", "folder", "documents", "received_at", "settled_at", "stages",
    }  # fmt: skip
    assert TIME.fullmatch(told["received_at"])
    assert TIME.fullmatch(told["settled_at"])
    assert [set(one) for one in told["stages"]] == [{"name", "at", "ms"}] * len(told["stages"])
    assert [one["name"] for one in told["stages"]][:4] == ["opened", "identified", "read", "decided"]
    assert told["signer"]["role"] == "automaton"
    refused = ask("message", "show", worked.refused.json["id"])
    assert set(refused["reason"]) == {"code", "sender", "operator"}


def test_message_for_a_person(worked: Worked) -> None:
    """Without --json the same is told in lines: the end, the reason in words, the checks."""
    done = dcc("message", "show", worked.refused.json["id"], "-c", worked.directory / "dcc.toml")
    assert (done.code, done.err) == (0, "")
    assert worked.refused.json["id"] in done.out.splitlines()[0]
    assert "D2R-MAN01" in done.out
    assert "mandat" in done.out
    listed = dcc("message", "list", "-c", worked.directory / "dcc.toml")
    assert len(listed.out.splitlines()) == 3


def test_folder_show(worked: Worked, ask: Ask) -> None:
    """A folder by id, reference or address: documents, consent, mandates and deliveries, in the contract's names."""
    entry = worked.cast.folder("main")
    told = ask("folder", "show", entry["id"])
    assert told == ask("folder", "show", entry["reference"]) == ask("folder", "show", entry["address"].upper())
    (one,) = told["documents"]
    assert set(one) >= {
        "id", "type_code", "title", "author", "depositor", "received_at", "status", "supersedes", "message", "parts",
    }  # fmt: skip
    assert (one["type_code"], one["status"], one["message"]) == ("11502-2", "current", worked.filed.json["id"])
    assert told["consent"]["state"] == "given"
    assert len(told["mandates"]) == len(entry["mandates"])
    assert {one["origin"] for one in told["mandates"]} == {"creator", "granted", "vitale"}


def test_deliveries(worked: Worked, ask: Ask) -> None:
    """One delivery for each reader: the report sealed, or the notice where there is no certificate; and the answers."""
    told = ask("folder", "show", worked.cast.folder("main")["id"])["deliveries"]
    assert all(
        set(one) >= {"mailbox", "kind", "state", "reason", "message_id", "sent_at"} and one["state"] == "sent"
        for one in told
    )
    filed = {(one["mailbox"], one["kind"]) for one in told if one["message"] == worked.filed.json["id"]}
    box = {person["key"]: person["mailbox"] for person in worked.cast.told["people"]}
    readers = {("report", key) for key in ("oncologist", "coordinator", "secretary", "gp", "pathologist")}
    assert filed == {(box[key], kind) for kind, key in readers} | {
        (box["no_encryption"], "notice"), (box["automaton"], "acknowledgement"),
    }  # fmt: skip
    assert all(one["message_id"].startswith("<") and TIME.fullmatch(one["sent_at"]) for one in told)


def test_folder_list_names_nobody(worked: Worked, ask: Ask) -> None:
    """Folders are listed by reference; no identity is shown, for a person neither."""
    assert {one["id"] for one in ask("folder", "list")} == {one["id"] for one in worked.cast.told["folders"]}
    config = worked.directory / "dcc.toml"
    shown = dcc("folder", "list", "-c", config).out
    shown += dcc("folder", "show", worked.cast.folder("main")["reference"], "-c", config).out
    for patient in worked.cast.told["patients"]:
        assert patient["birth_name"] not in shown
        assert patient["ins"] not in shown


def test_held(worked: Worked, ask: Ask) -> None:
    """What waits for a person, with the reason."""
    (one,) = ask("held", "list")
    assert (one["id"], one["reason"]["code"]) == (worked.held.json["id"], "904")
    assert ask("held", "show", one["id"])["state"] == "held"


def test_account_list(worked: Worked, ask: Ask) -> None:
    """Every account, with whether there is a certificate, not the certificate itself."""
    told = ask("account", "list")
    by_role = {one["role"]: one for one in told}
    assert by_role["no_encryption"]["encryption_certificate"] is False
    assert by_role["gp"]["encryption_certificate"] is True
    assert {one["state"] for one in told} == {"validated"}
    assert "no_account" not in by_role


def test_outbox_list(worked: Worked, ask: Ask) -> None:
    """Outgoing mails, all, of one message, or of one folder."""
    everything = ask("outbox", "list")
    main = worked.cast.folder("main")
    of_message = ask("outbox", "list", "--message", worked.filed.json["id"])
    assert len(of_message) == 7
    assert {one["id"] for one in of_message} < {one["id"] for one in everything}
    assert ask("outbox", "list", "--folder", main["reference"]) == ask("outbox", "list", "--folder", main["id"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("message", "show", "absent"), 1),
        (("held", "show", "absent"), 1),
        (("folder", "show", "absent"), 1),
        (("outbox", "list", "--folder", "absent"), 1),
        (("opposition", "list", "absent"), 1),
        (("message", "list", "--state", "lost"), 2),
        (("message", "list", "--limit", "0"), 2),
        (("message", "list", "--limit", "many"), 2),
        (("message", "list", "--limit", "99999999999999999999"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_not_there(arguments: tuple[str, ...], code: int, worked: Worked) -> None:
    """Nothing of that name: exit 1 and one line; a false option: exit 2; nothing on standard output."""
    done = dcc(*arguments, "-c", worked.directory / "dcc.toml", "--json")
    assert (done.code, done.out) == (code, "")
    assert done.err.strip()


def test_looking_changes_nothing(worked: Worked, ask: Ask) -> None:
    """Looking leaves no record and no file: the trail and the instance's files are as before."""
    before = len(dcc("audit", "export", "-c", worked.directory / "dcc.toml").out.splitlines())
    files = {path for path in Path(worked.directory).rglob("*") if path.suffix not in {".sqlite-wal", ".sqlite-shm"}}
    for command in (("message", "list"), ("folder", "list"), ("account", "list"), ("outbox", "list"), ("key", "list")):
        ask(*command)
    after = {path for path in Path(worked.directory).rglob("*") if path.suffix not in {".sqlite-wal", ".sqlite-shm"}}
    assert files == after
    assert len(dcc("audit", "export", "-c", worked.directory / "dcc.toml").out.splitlines()) == before
