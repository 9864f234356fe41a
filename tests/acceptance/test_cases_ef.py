"""Acceptance E and F, cases 31 to 37: duplicates, versions, deletion, masks; through the whole pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcc.mailbox.records import DocumentStatus, Message
from desk import DR_A, DR_B, Desk, end
from hl7make import Hl7
from terminal import dcc

HL7 = "application/hl7-v2"
STRUCTURE = "CH^^^^^A&1.2.250.1.71.4.2.2&ISO^FINEG^^^10B0057881"


def sent(desk: Desk, made: Hl7, sender: str = DR_A) -> Message:
    return desk.send(desk.entity(("message.hl7", HL7, made.data())), sender)


def test_case_31_same_mail_twice(desk: Desk) -> None:
    """Case 31: byte for byte, or wrapped anew: one document, "déjà intégré", MDN processed, nothing announced twice."""
    cda = desk.cda()
    archive = desk.entity(("IHE_XDM.zip", "application/zip", desk.xdm(cda)))
    raw = desk.seal(archive)
    mailbox = desk.cast.person(DR_A)["mailbox"]
    first = desk.receive(raw, mail_from=mailbox)
    again = desk.receive(raw, mail_from=mailbox)
    anew = desk.deposit(cda, receipt=True)
    for message in (again, anew):
        assert end(message) == ("filed", "D2R-DUP00")
        assert message.documents == first.documents
        assert set(desk.deliveries(message)) == {DR_A}
        assert desk.told(message) == ("acknowledgement", "D2R-DUP00")
    _, inner = desk.mail_to(DR_A, anew)
    assert b"MDN-sent-automatically; processed" in inner.as_bytes()
    assert len(desk.documents()) == 1


def test_case_32_same_id_other_bytes(desk: Desk) -> None:
    """Case 32: the same CDA id with another hash: refused D2R-DUP01."""
    cda = desk.cda()
    assert end(desk.deposit(cda)) == ("filed", None)
    assert end(desk.deposit(cda.replace(b"Proposition", b"Propositiom"))) == ("refused", "D2R-DUP01")


def test_case_33_annule_et_remplace(desk: Desk, shared: Path) -> None:
    """Case 33: Microbiologie V1, then V2 patched: V1 superseded, V2 current, both readable; "annule et remplace"."""
    folder = shared / "samples/cda"
    one = desk.deposit((folder / "BIO-CR-BIO_2024.01_Microbiologie_V1.xml").read_bytes())
    v2 = (folder / "BIO-CR-BIO_2024.01_Microbiologie_V2.xml").read_bytes()
    assert end(desk.deposit(v2)) == ("refused", "900")
    two = desk.deposit(v2.replace(b"1.2.250.1.213.1.1.1.55.12345.13", b"1.2.250.1.213.1.1.1.55.2024.8.1"))
    assert end(two) == ("filed", None)
    assert {found.message: found.status.value for found in desk.documents()} == {
        one.id: "superseded", two.id: "current",
    }  # fmt: skip
    for document in desk.documents():
        with desk.services.blobs.open(document.parts[0].blob) as source:
            assert source.read(5) in (b"<?xml", b"\xef\xbb\xbf<?")
    _, report = desk.mail_to(DR_B, two)
    text = next(part for part in report.walk() if part.get_content_type() == "text/plain")
    assert "annule et remplace" in text.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_case_34_replaced_by_another_structure(desk: Desk) -> None:
    """Case 34: a replacement by a structure other than the original author's: refused 901."""
    cda = desk.cda(unique_id="2.25.5")
    assert end(desk.deposit(cda)) == ("filed", None)
    theirs = desk.cda("pathologist", unique_id="2.25.6", replaces="2.25.5").replace(
        b'<versionNumber value="1"/>', b'<versionNumber value="2"/>'
    )
    assert end(desk.deposit(theirs, sender="pathologist")) == ("refused", "901")
    assert [one.status for one in desk.documents()] == [DocumentStatus.CURRENT]


def test_case_35_deletion(desk: Desk, tmp_path: Path) -> None:
    """Case 35: ORC CA by somebody else is 901; by the author: marked deleted, not served, traced, acknowledged AA."""
    cda = desk.cda(unique_id="2.25.5")
    filed = desk.deposit(cda)
    cancel = Hl7([("34794-8", "XML", cda)], kind="ORU^R01^ORU_R01", order="CA", status="D")
    other = sent(desk, cancel, "pathologist")
    assert end(other) == ("refused", "901")
    _, answer = desk.mail_to("pathologist", other)
    assert b"MSA|AE|MSG015" in _ack(answer)
    message = sent(desk, cancel)
    assert end(message) == ("done", "D2R-DEL00")
    assert message.documents == filed.documents
    (document,) = desk.documents()
    assert document.status is DocumentStatus.DELETED
    assert desk.told(message) == ("acknowledgement", "D2R-DEL00")
    _, answer = desk.mail_to(DR_A, message)
    assert b"MSA|AA|MSG015" in _ack(answer)
    got = dcc(
        "document", "get", document.id, "-c", desk.cast.directory / "dcc.toml", "--out", tmp_path / "out",
        "--operator", "x",
    )  # fmt: skip
    assert got.code == 1
    assert not (tmp_path / "out").exists()
    (record,) = [one for one in desk.records() if one["message"] == message.id and one["code"] == "D2R-DEL00"]
    assert record["document"] == document.id
    assert end(sent(desk, cancel)) == ("done", "D2R-DEL00")


def test_case_35_what_was_not_sent_yet_is_withheld(desk: Desk) -> None:
    """Case 35: a report that still waits when its document is deleted is not sent (D2R-DEL01)."""
    cda = desk.cda(unique_id="2.25.5")
    filed = desk.deposit(cda)
    sent(desk, Hl7([], kind="MDM^T04^MDM_T02", order=None, parent_id="2.25.5"))
    desk.announce()
    report = desk.deliveries(filed)[DR_B]
    assert (report.state.value, report.reason) == ("withheld", "D2R-DEL01")


def _ack(mail: Any) -> bytes:
    part = next(one for one in mail.walk() if one.get_filename() == "acquittement.hl7")
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def test_case_36_masked_document(desk: Desk) -> None:
    """Case 36: MASQUE_PS in METADATA: filed, announced to no professional but its author."""
    message = desk.deposit(desk.cda(), masks=("MASQUE_PS",))
    assert end(message) == ("filed", None)
    assert "MASQUE_PS" in desk.documents()[0].confidentiality
    assert set(desk.deliveries(message)) == {DR_A}
    _, told = desk.mail_to(DR_A, message)
    text = next(one for one in told.walk() if one.get_content_type() == "text/plain").get_payload(decode=True)
    assert isinstance(text, bytes)
    assert "masqué aux professionnels".encode() in text
    assert "annoncé à l'équipe".encode() not in text


def test_case_36_masked_by_hl7(desk: Desk) -> None:
    """Case 36: MASQUE_PS = Y with DESTMSSANTEPS = Y is no listed combination: refused; alone it masks."""
    made = Hl7([("34794-8", "XML", desk.cda())], flags={"MASQUE_PS": "Y", "DESTMSSANTEPS": "Y"})
    assert end(sent(desk, made)) == ("refused", "D2R-HLM01")
    message = sent(desk, replace(made, flags={"MASQUE_PS": "Y", "DESTMSSANTEPS": "N"}))
    assert end(message) == ("filed", None)
    assert set(desk.deliveries(message)) == {DR_A}


def test_case_36_masked_afterwards(desk: Desk) -> None:
    """Case 36: its author masks a document that is filed already: reports that still wait are withheld (D2R-MSK01)."""
    cda = desk.cda()
    first = desk.deposit(cda)
    again = desk.deposit(cda, masks=("MASQUE_PS",))
    assert end(again) == ("filed", "D2R-MSK03")
    assert again.documents == first.documents
    assert desk.told(again) == ("acknowledgement", "D2R-MSK03")
    assert "MASQUE_PS" in desk.documents()[0].confidentiality
    desk.announce()
    report = desk.deliveries(first)[DR_B]
    assert (report.state.value, report.reason) == ("withheld", "D2R-MSK01")


def test_acknowledgement_of_an_hl7_message_beside_a_receipt(desk: Desk) -> None:
    """A receipt that was asked for and the application's acknowledgement come in one sealed mail (RFC 6522 §3)."""
    made = Hl7([("34794-8", "XML", desk.cda())])
    message = desk.send(desk.entity(("message.hl7", HL7, made.data())), receipt=True)
    assert end(message) == ("filed", None)
    outer, inner = desk.mail_to(DR_A, message)
    kinds = [one.get_content_type() for one in inner.walk()]
    assert kinds == ["multipart/report", "text/plain", "message/disposition-notification", "text/plain", HL7]
    assert b"MSA|AA|MSG015\r" in _ack(inner)
    assert "MSG015" not in str(outer)


@pytest.mark.parametrize("masks", [("INVISIBLE_PATIENT",), ()])
def test_case_37_never_to_the_patient(desk: Desk, masks: tuple[str, ...]) -> None:
    """Case 37: INVISIBLE_PATIENT: no mail to the patient's address, whatever the recipients named; nor to any other."""
    recipient = (
        b"<informationRecipient><intendedRecipient><id root='1.2.250.1.213.1.4.10' extension='279035121518989'/>"
        b"<telecom value='mailto:279035121518989@patient.mssante.fr'/></intendedRecipient></informationRecipient>"
    )
    cda = desk.cda().replace(b"<legalAuthenticator>", recipient + b"<legalAuthenticator>", 1)
    message = desk.deposit(cda, masks=masks)
    assert end(message) == ("filed", None)
    desk.announce()
    mailboxes = {one.mailbox for one in desk.deliveries(message).values()}
    assert not any(one.endswith("@patient.mssante.fr") for one in mailboxes)
    assert mailboxes <= {one["mailbox"] for one in desk.cast.told["people"]}
    assert not (desk.sink / "279035121518989@patient.mssante.fr").exists()
