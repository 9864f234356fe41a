"""Acceptance G, H and I, cases 38 to 45: messages out, other inputs, the trace; through the whole pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dcc.mailbox.records import Message
from dcc.mailbox.schema import audit
from desk import DR_A, DR_B, DR_C, PDF, ZIP, Desk, end

REPORT = ("cr.pdf", PDF, b"%PDF-1.4 compte rendu")


def gateway_address(desk: Desk) -> str:
    return str(desk.cast.told["gateway"]["address"])


def test_case_38_subject_of_a_report(desk: Desk, shared: Path) -> None:
    """Case 38: the inner subject of LDL-SES: label cut at 40, birth name in capitals, no accents; the outer one neutral."""
    message = desk.deposit((shared / "samples/cda/LDL-SES_2022.01.xml").read_bytes())
    outer, inner = desk.mail_to(DR_B, message)
    expected = "XDM/1.0/DDM+Lettre de liaison a la sortie d'un etabl PAT-TROIS DOMINIQUE 28/03/1979"
    assert " ".join(str(inner["Subject"]).split()) == expected
    assert "PAT-TROIS" not in str(outer["Subject"])
    assert "1979" not in str(outer["Subject"])


def test_case_39_two_documents(desk: Desk) -> None:
    """Case 39: two documents: "2 documents" in the subject, both codes, INS O, the product."""
    message = desk.deposit(desk.cda(), desk.cda(type_code="60568-3"))
    assert end(message) == ("filed", None)
    outer, inner = desk.mail_to(DR_B, message)
    assert str(inner["Subject"]).startswith("XDM/1.0/DDM+2 documents ")
    assert inner["X-MSS-CODECDA"] == "34794-8,60568-3"
    assert inner["X-MSS-INS"] == "O"
    assert inner["X-MSS-NIL"]
    assert not [name for name in outer.keys() if name.upper().startswith("X-MSS")]  # noqa: SIM118


def test_case_40_mail_without_cda(desk: Desk) -> None:
    """Case 40: a mail without CDA: X-MSS-CODECDA and X-MSS-INS absent, X-MSS-NIL present."""
    message = desk.deposit()
    _, inner = desk.mail_to(DR_A, message)
    assert inner["X-MSS-NIL"]
    assert inner["X-MSS-CODECDA"] is None
    assert inner["X-MSS-INS"] is None


BOUNCE = (
    b"From: MAILER-DAEMON@chd.example\r\nTo: x\r\nSubject: Undelivered\r\nContent-Type: multipart/report; "
    b"report-type=delivery-status; boundary=r\r\n\r\n--r\r\nContent-Type: message/delivery-status\r\n\r\n"
    b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; nobody@x\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--r--\r\n"
)


@pytest.mark.parametrize("what", ["auto-replied", "bounce", "null sender", "sealed"])
def test_case_41_never_answered(desk: Desk, what: str) -> None:
    """Case 41: an automatic reply, a bounce, an empty Return-Path: done, and never answered."""
    mailbox = desk.cast.person(DR_A)["mailbox"]
    plain = f"From: {mailbox}\r\nSubject: Absent\r\n".encode()
    if what == "sealed":
        entity = desk.entity(text="Absent", From=mailbox, Auto_Submitted="auto-replied")
        message = desk.send(entity)
    else:
        raw = {
            "auto-replied": plain + b"Auto-Submitted: auto-replied\r\n\r\nAbsent\r\n", "bounce": BOUNCE,
            "null sender": plain + b"\r\nAbsent\r\n",
        }[what]  # fmt: skip
        message = desk.receive(raw, mail_from="" if what != "auto-replied" else mailbox)
    assert end(message) == ("done", "D2R-REP02")
    assert desk.deliveries(message) == {}


@pytest.mark.parametrize("sender", [DR_A, DR_C])
def test_case_41_sealed_mail_with_an_empty_return_path(desk: Desk, sender: str) -> None:
    """Case 41: whatever comes with the null sender, filed or refused, its sender is not answered; readers are told."""
    archive = desk.xdm(desk.cda(sender))
    raw = desk.seal(desk.entity(("IHE_XDM.zip", ZIP, archive)), sender)
    message = desk.receive(raw, mail_from="")
    assert message.state.value == ("filed" if sender == DR_A else "refused")
    assert sender not in desk.deliveries(message)
    assert (desk.deliveries(message) != {}) is (sender == DR_A)


def test_receipt_signed_in_clear(desk: Desk) -> None:
    """A reader's client may sign its receipt and not encrypt it: matched and done, never answered (contract.md)."""
    deposit = desk.deposit()
    desk.announce()
    sent = desk.deliveries(deposit)[DR_B]
    entity = (
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=r\r\n\r\n--r\r\n"
        "Content-Type: text/plain\r\n\r\nlu\r\n--r\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; {sent.mailbox}\r\nOriginal-Message-ID: {sent.message_id}\r\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n\r\n--r--\r\n"
    )
    message = desk.send(entity.encode(), DR_B, encrypted=False)
    assert end(message) == ("done", "D2R-REP01")
    assert desk.deliveries(message) == {}
    assert desk.deliveries(deposit)[DR_B].state.value == "read"


def test_case_41_two_gateways(desk: Desk) -> None:
    """Case 41: what one gateway answers, another does not answer: nothing more is exchanged."""
    refused = desk.deposit(sender=DR_C)
    desk.announce()
    delivery = desk.deliveries(refused)[DR_C]
    raw = (desk.sink / delivery.mailbox / "new" / f"{delivery.id}.dcc").read_bytes()
    message = desk.receive(raw, mail_from="depot@rca.dcc.example")
    assert message.state.value in {"refused", "held", "done"}
    assert desk.deliveries(message) == {}


@pytest.mark.parametrize("how", ["file", "text"])
def test_case_42_apicrypt(desk: Desk, how: str) -> None:
    """Case 42: an .apz file, or a body with $APICRYPT: refused with the reason, unread."""
    entity = (
        desk.entity(("cr.apz", "application/octet-stream", b"x")) if how == "file" else desk.entity(text="$APICRYPT\n")
    )
    message = desk.send(entity)
    assert end(message) == ("refused", "D2R-APZ01")
    assert desk.told(message) == ("refusal", "D2R-APZ01")


HPRIM = "\r\n".join(
    ("C1", "PAT-TROIS", "DOMINIQUE", "28 avenue", "75007 PARIS", "28/03/1979", "2790351215189 89", "D1", "01/01/2026",
     "LAB", "DR", "texte", "****FIN****", "****FINFICHIER****", "")
)  # fmt: skip


def test_case_43_hprim(desk: Desk) -> None:
    """Case 43: HPRIM whose header has 11 lines: held 903, its patient shown to an identity officer, never filed alone."""
    message = desk.send(desk.entity(("cr.hpr", "application/octet-stream", HPRIM.encode("latin-1"))), subject="RCP")
    assert end(message) == ("held", "D2R-REQ03")
    assert _ans(message) == "903"
    assert desk.documents() == []
    from dcc.gateway.reconcile import decider, examine

    with desk.services.database.read() as conn:
        officer = decider(conn, desk.cast.person("administrator")["mailbox"])
    assert officer is not None
    seen = examine(desk.services, message.id, officer, desk.now)
    assert seen is not None
    assert [(one.birth_name, one.first_given, one.birth_date) for one in seen.identities] == [
        ("PAT-TROIS", "DOMINIQUE", "19790328")
    ]
    assert [one.folder.id for one in seen.candidates] == [desk.folder().id]


def _ans(message: Message) -> str:
    from dcc.router.reasons import reason

    return reason(message.reason_code or "", **dict(message.reason_parameters)).ans


@pytest.mark.parametrize("subject", ["PAT-TROIS DOMINIQUE 28/03/1979", "RCP PAT-TROIS DOMINIQUE 28/03/1979"])
def test_case_44_subject_is_not_an_identity(desk: Desk, subject: str) -> None:
    """Case 44: a PDF only, the patient named in the subject: held for a person; the subject identifies nobody."""
    message = desk.plain(subject, REPORT, to=gateway_address(desk))
    assert end(message) == ("held", "D2R-REQ02")
    assert message.folder is None
    assert "PAT-TROIS" not in message.evidence


def test_case_44_reference_in_the_subject(desk: Desk) -> None:
    """Case 44, the other way: with the folder's reference and a keyword it is filed, and sent on with an archive."""
    reference = desk.folder().reference
    asked = desk.plain(f"Re: avis [{reference}]", REPORT, to=gateway_address(desk))
    assert end(asked) == ("held", "D2R-REQ05")
    message = desk.plain(f"Re: avis [{reference}]", REPORT, to=gateway_address(desk), text="CONSULT\n")
    assert end(message) == ("filed", None)
    (document,) = desk.documents()
    assert (document.type_code, document.author_id) == ("11488-4", desk.cast.person(DR_A)["idnps"])
    assert [part.name for part in document.parts] == ["cr.pdf"]
    _, report = desk.mail_to(DR_B, message)
    files = {part.get_filename(): part.get_payload(decode=True) for part in report.walk() if part.get_filename()}
    label = "CR ou fiche de consultation ou de visite"
    name = f"20260601_{label}_PAT-TROIS_DOMINIQUE_{reference}.pdf"
    assert set(files) == {"IHE_XDM.zip", name}
    assert files[name] == REPORT[2]
    assert report["X-MSS-CODECDA"] == "11488-4"
    archive: Any = files["IHE_XDM.zip"]
    again = desk.send(desk.entity(("IHE_XDM.zip", ZIP, archive)), DR_B)
    assert end(again) == ("refused", "D2R-DUP01")  # our own reader reads it: the same id, now as a CDA


def test_case_45_trace(desk: Desk) -> None:
    """Case 45: filed, refused and held leave actor, certificate, Message-ID, decision and code; one change is seen."""
    ends = [desk.deposit(), desk.deposit(sender=DR_C), desk.plain("x", REPORT, to=gateway_address(desk))]
    assert [one.state.value for one in ends] == ["filed", "refused", "held"]
    for message in ends:
        (record,) = [
            one for one in desk.records() if one["message"] == message.id and one["tag"].startswith("gateway:message:")
        ]
        assert record["actor"] == message.signer
        assert record["certificate"] == message.signer_certificate
        assert record["mail_message_id"].startswith("<")
        assert (record["decision"], record["code"]) == end(message)
    assert desk.verified()
    last = desk.records()[-1]["sequence"]
    desk.write(lambda conn: conn.execute(update(audit).where(audit.c.sequence == last).values(decision="filed?")))
    assert not desk.verified()
