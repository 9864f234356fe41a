"""The commands about networks, accounts, folders, consents, mandates and delegations: what they change, and its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dcc.gateway.cast_reader import Cast
from dcc.gateway.services import open_database
from dcc.gateway.settings import load_settings
from dcc.mailbox import outbox
from terminal import Done, dcc

OPERATOR = ("--operator", "A. Martin")
PATIENT = (
    "--ins", "297022A02077878", "--oid", "1.2.250.1.213.1.4.10", "--birth-name", "PAT-NEUF", "--given-names", "JEANNE ROSE",
    "--sex", "F", "--birth-date", "1997-02-14", "--birth-place", "2A020",
)  # fmt: skip


@pytest.fixture
def cast(instance: Path) -> Cast:
    """The cast of the test's own instance."""
    return Cast.load(instance)


def run(instance: Path, *arguments: str, code: int = 0) -> Any:
    """One command with --json; its document."""
    done: Done = dcc(*arguments, "-c", instance / "dcc.toml", "--json")
    assert done.code == code, done.err
    return done.json if code == 0 else done.err


def tags(instance: Path) -> list[str]:
    done = dcc("audit", "export", "-c", instance / "dcc.toml")
    return [json.loads(line)["tag"] for line in done.out.splitlines()]


def test_network_is_added_with_its_form(instance: Path, tmp_path: Path) -> None:
    """A network joins with its addresses, and publishes a form; an address is one network's only."""
    words = tmp_path / "form.txt"
    words.write_text("Information du patient.", encoding="utf-8")
    address = ("--address", "depot@neuro.dcc.example", "--support-phone", "05 00 00 00 02")
    more = (*address, "--support-mail", "support@neuro.dcc.example", "--name", "Réseau neuro", *OPERATOR)
    added = run(instance, "network", "add", "neuro", *more, "--registration", "inscription@neuro.dcc.example")
    assert (added["id"], added["domain"]) == ("neuro", "neuro.dcc.example")
    assert "est déjà" in run(instance, "network", "add", "autre", *more, code=1)
    form = ("--version", "2026-1", "--title", "Information", "--text", str(words), *OPERATOR)
    assert run(instance, "network", "form", "neuro", *form)["version"] == "2026-1"
    assert "existe déjà" in run(instance, "network", "form", "neuro", *form, code=1)
    assert {one["id"] for one in run(instance, "network", "list")} == {"rca", "perinat", "neuro"}
    assert tags(instance)[-2:] == ["operator:network:added", "operator:form:published"]
    more_forms = ("--version", "2026-2", "--title", "Information", "--text", str(words), "--language", "en", *OPERATOR)
    run(instance, "network", "form", "neuro", *more_forms)
    listed = run(instance, "network", "forms", "neuro")
    assert [(one["version"], one["language"]) for one in listed] == [("2026-2", "en"), ("2026-1", "fr")]
    assert listed[1]["text"] == "Information du patient."
    plain = dcc("network", "forms", "neuro", "-c", instance / "dcc.toml").out.splitlines()
    assert [one.split()[0] for one in plain] == ["2026-2", "2026-1"]
    assert run(instance, "network", "forms", "rca")[0]["version"] == "2009-1"
    assert "aucun réseau" in run(instance, "network", "forms", "absent", code=1)


def test_language_of_an_account(instance: Path, cast: Cast) -> None:
    """The language of an address changes in all its networks, or in one; what is so already leaves no trace."""
    gp, before = cast.person("gp")["mailbox"], len(tags(instance))
    changed = run(instance, "account", "language", gp, "en", "--network", "perinat", *OPERATOR)
    assert [(one["network"], one["language"]) for one in changed] == [("perinat", "en")]
    both = run(instance, "account", "language", gp, "en", *OPERATOR)
    assert {(one["network"], one["language"]) for one in both} == {("perinat", "en"), ("rca", "en")}
    assert tags(instance)[before:] == ["operator:account:language_chosen"] * 2
    assert {one["language"] for one in run(instance, "account", "show", gp)} == {"en"}
    assert run(instance, "account", "language", both[0]["id"], "fr", *OPERATOR)[0]["language"] == "fr"
    assert "fr ou en" in run(instance, "account", "language", gp, "de", *OPERATOR, code=2)
    assert "aucun compte" in run(instance, "account", "language", "x@x.example", "fr", *OPERATOR, code=1)


def test_folder_is_opened_with_consent_and_mandate(instance: Path, cast: Cast) -> None:
    """A folder opens on an identity and a published form; its creator is mandated; a second one is for a person."""
    creator = cast.person("oncologist")["mailbox"]
    asked = ("folder", "open", "--network", "rca", "--creator", creator, *PATIENT, *OPERATOR)
    assert "D2R-CNS03" in run(instance, *asked, "--form", "inconnu", code=1)
    opened = run(instance, *asked, "--form", "2009-1", "--identity-checked")
    shown = run(instance, "folder", "show", opened["reference"])
    assert shown["consent"]["state"] == "given"
    assert [(one["mailbox"], one["origin"]) for one in shown["mandates"]] == [(creator, "creator")]
    assert "D2R-FLD02" in run(instance, *asked, "--form", "2009-1", code=1)
    assert run(instance, "consent", "list", opened["id"])[0]["form_version"] == "2009-1"
    assert run(instance, "folder", "close", opened["id"], *OPERATOR) == {"folder": opened["id"], "closed": True}
    assert "déjà clos" in run(instance, "folder", "close", opened["id"], *OPERATOR, code=1)
    assert tags(instance)[-2:] == ["operator:folder:opened", "operator:folder:closed"]


def test_consent_is_withdrawn_and_given_again(instance: Path, cast: Cast) -> None:
    """A withdrawal stands until a new form is signed; both stay in the history."""
    folder = cast.folder("main")["reference"]
    run(instance, "consent", "withdraw", folder, *OPERATOR)
    assert "pas de consentement" in run(instance, "consent", "withdraw", folder, *OPERATOR, code=1)
    collector = ("--form", "2009-1", "--collected-by", cast.person("gp")["mailbox"], *OPERATOR)
    run(instance, "consent", "record", folder, *collector)
    assert [one["state"] for one in run(instance, "consent", "list", folder)] == ["given", "withdrawn", "given"]


def test_mandate_is_granted_and_revoked(instance: Path, cast: Cast) -> None:
    """A mandate has an origin and an end, and ends at once when it is revoked."""
    folder = cast.folder("main")["reference"]
    person = ("--person", cast.person("no_mandate")["mailbox"], *OPERATOR)
    granted = run(instance, "mandate", "grant", folder, *person, "--until", "2199-12-31")
    assert (granted["origin"], granted["until"]) == ("granted", "2200-01-01T00:00:00Z")
    assert "déjà passée" in run(instance, "mandate", "grant", folder, *person, "--until", "2020-01-01", code=1)
    run(instance, "mandate", "revoke", granted["id"], "--folder", folder, *OPERATOR)
    assert run(instance, "mandate", "revoke", granted["id"], "--folder", folder, *OPERATOR, code=1)
    (listed,) = [one for one in run(instance, "mandate", "list", folder) if one["id"] == granted["id"]]
    assert listed["revoked_at"] is not None
    second = cast.folder("second")["reference"]
    assert "aucun compte de ce réseau" in run(instance, "mandate", "grant", second, *person, code=1)


def test_delegation_goes_from_a_professional_to_a_secretary(instance: Path, cast: Cast) -> None:
    """A delegation binds a secretary and a professional of one network; it ends at once when it is revoked."""
    secretary, doctor = cast.person("secretary")["mailbox"], cast.person("oncologist")["mailbox"]
    given = run(instance, "delegation", "add", "--secretary", secretary, "--professional", doctor, *OPERATOR)
    assert [one["id"] for one in run(instance, "delegation", "list", "--network", "rca")] == [given["id"]]
    assert run(instance, "delegation", "list", "--network", "perinat") == []
    wrong = ("delegation", "add", "--secretary", doctor, "--professional", secretary, *OPERATOR)
    assert "d'un professionnel à une secrétaire" in run(instance, *wrong, code=1)
    assert run(instance, "account", "show", secretary)[0]["delegations"][0]["id"] == given["id"]
    run(instance, "delegation", "revoke", given["id"], *OPERATOR)
    assert "plus dans cet état" in run(instance, "delegation", "revoke", given["id"], *OPERATOR, code=1)


def test_account_is_refused(instance: Path, cast: Cast) -> None:
    """A refused account is refused in the list and in the trail."""
    mailbox = cast.person("no_mandate")["mailbox"]
    assert run(instance, "account", "refuse", mailbox, "--reason", "hors réseau", *OPERATOR)[0]["state"] == "refused"
    assert tags(instance)[-1] == "operator:account:refused"


def test_people_are_told_of_an_operators_decision(instance: Path, cast: Cast) -> None:
    """Refused with a reason, validated again: a mail is owed for each, the reason is not in clear; a suspension owes none."""
    mailbox = cast.person("no_mandate")["mailbox"]
    for words in (("refuse", mailbox, "--reason", "hors réseau"), ("validate", mailbox), ("validate", mailbox)):
        run(instance, "account", *words, *OPERATOR)
    run(instance, "account", "suspend", mailbox, *OPERATOR)
    with open_database(load_settings(instance / "dcc.toml", {})) as database, database.read() as conn:
        owed = [dict(one.parameters) for one in outbox.deliveries(conn) if one.kind == "account_decided"]
    owed.sort(key=lambda one: one["state"])  # both may be of one second
    assert [one["state"] for one in owed] == ["refused", "validated"]
    assert "hors" not in owed[0].pop("motive")


def test_trace_of_a_patient(instance: Path, cast: Cast, tmp_path: Path) -> None:
    """The patient's trace tells who did what, as text, JSON and PDF; asking for it leaves its own record."""
    folder = cast.folder("main")["reference"]
    mailbox = cast.person("no_mandate")["mailbox"]
    run(instance, "mandate", "grant", folder, "--person", mailbox, *OPERATOR)
    paper = tmp_path / "trace.pdf"
    rows = run(instance, "patient", "trace", "--folder", folder, "--pdf", str(paper), *OPERATOR)
    assert (rows[-1]["who"], rows[-1]["did"]) == ("A. Martin", "a donné un mandat à")
    assert mailbox in rows[-1]["what"]
    assert paper.read_bytes().startswith(b"%PDF")
    assert tags(instance)[-1] == "operator:folder:traced"
    ins = cast.patient("main").ins
    oid = ("--oid", "1.2.250.1.213.1.4.10")
    assert len(run(instance, "patient", "trace", "--ins", ins, *oid, *OPERATOR)) == len(rows) + 1
    run(instance, "patient", "trace", "--ins", "000000000000000", *oid, *OPERATOR, code=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ("mandate", "grant", "D-2222-2222"),
        ("patient", "trace"),
        ("mandate", "grant", "D-2222-2222", "--person", "a@x.example", "--until", "demain"),
    ],
)
def test_wrong_use(instance: Path, arguments: tuple[str, ...]) -> None:
    """A command that lacks something says what, and exits 2."""
    assert run(instance, *arguments, *OPERATOR, code=2)
