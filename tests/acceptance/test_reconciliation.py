"""The reconciliation queue from the command line: shown to the role, decided by name, audited; and why, in French."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dcc.cards.verdict import Verdict
from dcc.gateway.explain import FINDINGS, KINDS, STATES, VERDICTS, explained
from dcc.mailbox import folders, people
from dcc.mailbox.records import Account, AccountState, ConsentState, MessageState
from dcc.mailbox.references import new_reference
from dcc.mailbox.schema import messages
from desk import DR_A, DR_B, DR_C, PDF, Desk, end
from terminal import Done, dcc

ROOT = Path(__file__).resolve().parents[2]
OFFICER = "identito@rca.dcc.example"
REPORT = ("cr.pdf", PDF, b"%PDF-1.4 compte rendu")


@pytest.fixture
def officer(desk: Desk) -> str:
    """An identity officer of the network."""
    account = Account(
        "officer", "rca", "person", "500000000077081/IDV0001", "MARIE", "Anne", None, "300000000077081", OFFICER,
        "identity_officer", AccountState.VALIDATED,
    )  # fmt: skip
    desk.write(lambda conn: people.add_account(conn, account))
    return OFFICER


def run(desk: Desk, *arguments: str) -> Done:
    return dcc(*arguments, "-c", desk.cast.directory / "dcc.toml")


def mismatch(desk: Desk) -> Any:
    """A deposit whose CDA has another birth place than the folder."""
    cda = desk.cda().replace(b"<county>51215</county>", b"<county>51108</county>")
    message = desk.deposit(cda)
    assert end(message) == ("held", "904")
    return message


def test_traits_side_by_side(desk: Desk, officer: str) -> None:
    """The officer sees what was read beside what is held, and which trait differs; the look is in the trail."""
    message = mismatch(desk)
    told = run(desk, "held", "show", message.id, "--operator", officer, "--json").json
    (candidate,) = told["reconciliation"]["candidates"]
    assert (candidate["folder"], candidate["differing"], candidate["status"]) == (
        desk.folder().id,
        ["birth_place"],
        "QUAL",
    )
    (place,) = [one for one in candidate["traits"] if one["name"] == "birth_place"]
    assert (place["read"], place["held"], place["equal"]) == ("51108", "51215", False)
    text = run(desk, "held", "show", message.id, "--operator", officer).out
    assert "≠ lieu de naissance (code)" in text
    assert "lu : 51108" in text
    assert "= matricule INS" in text
    seen = [one for one in desk.records() if one["tag"] == "operator:identity:examined"]
    assert {(one["actor"], one["message"]) for one in seen} == {("officer", message.id)}
    assert desk.verified()


def test_identities_are_for_the_role_only(desk: Desk, officer: str) -> None:
    """Nobody else sees an identity: not an operator of the machine, not the depositor, not another network's officer."""
    message = mismatch(desk)
    for who in ("root", desk.cast.person(DR_A)["mailbox"]):
        done = run(desk, "held", "show", message.id, "--operator", who)
        assert done.code == 0
        assert "PAT-TROIS" not in done.out
        assert "réservé" in done.err
        assert run(desk, "held", "show", message.id, "--operator", who, "--json").json["reconciliation"] is None
        assert run(desk, "held", "assign", message.id, "--folder", desk.folder().reference, "--operator", who).code == 2

    def move(conn: Any) -> None:
        people.add_account(conn, replace(_account(conn), id="other", network="perinat", mailbox="x@perinat.example"))

    desk.write(move)
    for to in (None, desk.services.settings.gateway.address):  # by its folder, and by its signer's network alone
        if to is not None:
            message = desk.deposit(desk.cda().replace(b"<county>51215</county>", b"<county></county>"), to=to)
            forget = update(messages).where(messages.c.id == message.id).values(folder=None)
            with desk.services.database.begin() as conn:
                conn.execute(forget)
        other = run(desk, "held", "show", message.id, "--operator", "x@perinat.example", "--json")
        assert other.json["reconciliation"] is None
        assert "PAT-TROIS" not in other.out
        assert run(desk, "held", "show", message.id, "--operator", officer, "--json").json["reconciliation"] is not None
    for folder in ("main", "second"):
        refused = run(
            desk, "held", "assign", message.id, "--folder", folder_of_network(desk, folder), "--operator",
            "x@perinat.example",
        )  # fmt: skip
        assert refused.code == 1
        assert "pas adressé à votre réseau" in refused.err


def folder_of_network(desk: Desk, key: str) -> str:
    """The reference of the main folder, or of one in the second network."""
    if key == "main":
        return desk.folder().reference
    with desk.services.database.read() as conn:
        return next(one.reference for one in folders.list_folders(conn) if one.network == "perinat")


def _account(conn: Any) -> Account:
    found = people.get_account(conn, "officer")
    assert found is not None
    return found


def test_assigned_deposit_is_filed(desk: Desk, officer: str) -> None:
    """The officer's decision files the deposit as any other: rights checked, reader told; the trace names who decided."""
    message = mismatch(desk)
    reference = desk.folder().reference
    done = run(desk, "held", "assign", message.id, "--folder", reference, "--operator", officer, "--json")
    assert done.json == {"id": message.id, "state": "received", "folder": reference}
    desk.work(message)
    after = desk.message(message.id)
    assert end(after) == ("filed", None)
    assert json.loads(after.evidence)["decision"]["identity"] == "person officer"
    assert DR_B in desk.deliveries(after)
    assert [one["tag"] for one in desk.records() if one["actor"] == "officer"] == ["operator:identity:assigned"]
    shown = run(desk, "message", "show", message.id).out
    assert "Rapprochement : dossier" in shown
    assert run(desk, "held", "assign", message.id, "--folder", reference, "--operator", officer).code == 1


def test_assignment_is_not_a_right(desk: Desk, officer: str) -> None:
    """What was held for its identity is refused all the same without mandate or consent."""
    cda = desk.cda().replace(b"<county>51215</county>", b"<county>51108</county>")
    message = desk.deposit(cda, sender=DR_C)
    assert end(message) == ("held", "904")
    folder = desk.folder()
    run(desk, "held", "assign", message.id, "--folder", folder.id, "--operator", officer)
    desk.work(message)
    assert end(desk.message(message.id)) == ("refused", "D2R-MAN01")
    other = mismatch(desk)
    desk.write(lambda conn: folders.record_consent(conn, folder.id, state=ConsentState.WITHDRAWN, at=desk.now))
    run(desk, "held", "assign", other.id, "--folder", folder.address, "--operator", officer)
    desk.work(other)
    assert end(desk.message(other.id)) == ("refused", "D2R-CNS02")


def test_plain_file_gets_folder_and_type(desk: Desk, officer: str) -> None:
    """A PDF that named nothing: the officer says folder and type; without the type it waits on, an unknown one is refused."""
    message = desk.plain("pour le dossier", REPORT, to=str(desk.cast.told["gateway"]["address"]))
    assert end(message) == ("held", "D2R-REQ02")
    told = run(desk, "held", "show", message.id, "--operator", officer, "--json").json["reconciliation"]
    assert (told["needs_type"], told["candidates"], [one["name"] for one in told["files"]]) == (True, [], ["cr.pdf"])
    reference = desk.folder().reference
    ask = ("held", "assign", message.id, "--folder", reference, "--operator", officer)
    assert run(desk, *ask, "--type", "inconnu").code == 1
    assert run(desk, "held", "assign", message.id, "--folder", "D-2222-2222", "--operator", officer).code == 1
    assert run(desk, *ask).code == 0
    desk.work(message)
    assert end(desk.message(message.id)) == ("held", "D2R-REQ05")
    assert run(desk, *ask, "--type", "CONSULT").code == 0
    desk.work(message)
    assert end(desk.message(message.id)) == ("filed", None)
    assert [one.type_code for one in desk.documents()] == ["11488-4"]


def test_hprim_is_filed_by_a_person_only(desk: Desk, officer: str) -> None:
    """Acceptance 43, the other half: a person may file it, as a text of the type that she names."""
    hprim = b"C1\r\nPAT-TROIS\r\nDOMINIQUE\r\nx\r\n\r\n75007 PARIS\r\n28/03/1979\r\n\r\n****FIN****\r\n"
    message = desk.send(desk.entity(("cr.hpr", "application/octet-stream", hprim)), subject="BIO")
    assert end(message) == ("held", "D2R-REQ03")
    run(desk, "held", "assign", message.id, "--folder", desk.folder().id, "--operator", officer, "--type", "BIO")
    desk.work(message)
    assert end(desk.message(message.id)) == ("filed", None)
    (document,) = desk.documents()
    assert (document.type_code, document.format_code) == ("11502-2", "urn:ihe:iti:xds-sd:text:2008")


def test_held_message_that_cannot_be_read(desk: Desk, officer: str) -> None:
    """Nothing can be opened: nobody is proposed, and looking does not fail."""
    raw = desk.seal(desk.entity(REPORT)).replace(b"\r\n\r\n", b"\r\n\r\nAAAA", 1)
    message = desk.receive(raw, mail_from=desk.cast.person(DR_A)["mailbox"])
    if message.state is MessageState.HELD:
        told = run(desk, "held", "show", message.id, "--operator", officer, "--json").json
        assert told["reconciliation"]["identities"] == []


def test_reasons_are_told_in_french(desk: Desk, shared: Path) -> None:
    """`dcc message show` tells each check and what it rested on, without identity or content."""
    del shared
    filed, refused = desk.deposit(), desk.deposit(sender=DR_C)
    text = run(desk, "message", "show", filed.id).out
    for line in (
        "classé.", "chiffré pour la passerelle, signature intacte", "Carte : valable", "liste n° 1", "Contrôles passés :",
        "dossier : désigné par son adresse", "identité : égale trait pour trait à une identité qualifiée", "mandat :",
        "consentement : given",
    ):  # fmt: skip
        assert line in text, line
    assert "PAT-TROIS" not in text
    assert "279035121518989" not in text
    assert "motif D2R-MAN01 : Vous n'avez pas de mandat" in run(desk, "message", "show", refused.id).out


def test_every_state_and_verdict_has_a_word() -> None:
    """No state and no verdict is told by its code."""
    assert set(STATES) == {one.value for one in MessageState}
    assert set(VERDICTS) == {one.value for one in Verdict}
    sources = "".join(one.read_text(encoding="utf-8") for one in (ROOT / "router").glob("*.py"))
    assert [one for one in FINDINGS if f'"{one}"' not in sources] == []
    assert all(f"class {one}" in sources for one in KINDS)
    bare = {
        "id": "x", "state": "held", "received_at": "t", "settled_at": None, "reason": None, "evidence": {},
        "signer": None, "folder": None, "documents": [], "stages": [],
    }  # fmt: skip
    assert explained(bare)[0] == "Message x : en attente d'une personne."


def test_unknown_reference_beside_a_document(desk: Desk, officer: str) -> None:
    """Decision 0014: held with the folder of the identity beside it; a person files it where it belongs."""
    unknown = new_reference(lambda size: bytes(range(size)))
    gateway = desk.services.settings.gateway.address
    message = desk.deposit(to=gateway, subject=f"Compte rendu [{unknown}]")
    assert end(message) == ("held", "D2R-REF02")
    assert message.folder == desk.folder().id
    assert desk.documents() == []
    assert desk.told(message) == ("held", "D2R-REF02")
    assigned = run(desk, "held", "assign", message.id, "--folder", desk.folder().reference, "--operator", officer)
    assert assigned.code == 0, assigned.err
    desk.work(message)
    assert end(desk.message(message.id)) == ("filed", None)


def test_mistyped_reference_beside_a_document(desk: Desk) -> None:
    """Decision 0014: filed by the exact identity; the acknowledgement says what was wrong and where it was filed."""
    right = desk.folder().reference
    mistyped = right[:-1] + ("2" if right[-1] != "2" else "3")
    gateway = desk.services.settings.gateway.address
    message = desk.deposit(to=gateway, subject=f"Compte rendu [{mistyped}]")
    assert end(message) == ("filed", None)
    _, words = desk.mail_to(DR_A, message)
    text = next(part for part in words.walk() if part.get_content_type() == "text/plain")
    said = " ".join(text.get_payload(decode=True).decode().split())  # type: ignore[union-attr]
    assert "Une référence de dossier dans l'objet de votre mail est mal recopiée" in said
    assert f"désigne le dossier {right}" in said
    assert mistyped not in said
