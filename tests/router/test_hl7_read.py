"""HL7 v2 messages as deposits: identity, versions, masks, acknowledgement (facts/clinical.md §5, §11 E)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dcc.mailbox import documents as store
from dcc.mailbox.schema import patients
from dcc.router.decision import Filed
from dcc.router.distribute import receipt_parameters
from dcc.router.hl7_ack import acknowledgement, packed
from dcc.router.request import Deposit, NotUnderstood
from hl7make import Hl7

PDF = b"%PDF-1.4 compte rendu"


def read(kit: Any, made: Hl7, *more: tuple[str, str, bytes]) -> Any:
    return kit.read(kit.mail(("message.hl7", "application/hl7-v2", made.data()), *more))


def code_of(decision: Any) -> tuple[str, str | None]:
    return type(decision).__name__, None if decision.reason is None else decision.reason.code


def test_cda_inside_is_filed(kit: Any) -> None:
    """An MDM T02 with a CDA is filed as an archive's would be; the message is kept, and not passed on."""
    cda = kit.cda(unique_id="2.25.7")
    found = read(kit, Hl7([("34794-8", "XML", cda)], own_id="2.25.7^Organisation-Y"))
    decision = kit.decide(found, to=["passerelle@gateway.test"])
    assert isinstance(decision, Filed), decision
    (document,) = kit.settle(decision)
    assert (document.unique_id, document.type_code) == ("2.25.7", "34794-8")
    assert [(one.role, one.name) for one in document.parts] == [
        ("document", "document-1.xml"),
        ("source", "message.hl7"),
    ]
    assert document.parts[0].size == len(cda)


def test_oru_with_two_documents(kit: Any) -> None:
    """An ORU carries N1 and N3 of one result: two documents."""
    made = Hl7(
        [("11502-2", "XML", kit.cda(type_code="11502-2")), ("11502-2", "XML", kit.cda(PDF, type_code="11502-2"))],
        kind="ORU^R01^ORU_R01",
    )  # fmt: skip
    decision = kit.decide(read(kit, made))
    assert isinstance(decision, Filed)
    assert [one.deposited.structured for one in decision.new] == [True, False]


def test_pdf_inside_has_the_identity_of_the_message(kit: Any) -> None:
    """An encapsulated PDF: patient, type, author and id are those of the message; each trait must be equal."""
    made = Hl7([("11488-4", "PDF", PDF)], own_id="1.2.3.4", type_said="11488-4")
    decision = kit.decide(read(kit, made))
    assert isinstance(decision, Filed), decision
    (document,) = kit.settle(decision)
    assert (document.unique_id, document.type_code, document.author_id) == ("1.2.3.4", "11488-4", "899700000017")
    assert document.format_code == "urn:ihe:iti:xds-sd:pdf:2008"
    for change, code in (
        ({"name": "AUTRE^DOMINIQUE^DOMINIQUE MARIE-LOUISE^^^^L"}, "904"), ({"places": ""}, "905"), ({"ins": ""}, "903"),
        ({"places": "^^^^^^BDL^^63220"}, "904"),
    ):  # fmt: skip
        assert code_of(kit.decide(read(kit, replace(made, own_id="1.2.3.5", **change)))) == ("Held", code)


def test_message_and_document_must_agree(kit: Any) -> None:
    """Another INS is refused 904; another birth date or name is held; another birth place in PID alone is neither."""
    cda = [("34794-8", "XML", kit.cda())]
    other = "255081416802538^^^X&1.2.250.1.213.1.4.10&ISO^INS"
    assert code_of(kit.decide(read(kit, Hl7(cda, ins=other)))) == ("Refused", "904")
    for change in ({"birth": "19790329"}, {"name": "PAT-TROI^DOMINIQUE^^^^^L"}, {"sex": "M"}):
        decision = kit.decide(read(kit, Hl7(cda, **change)))
        assert code_of(decision) == ("Held", "904")
        assert decision.candidate == "f0"
    assert isinstance(kit.decide(read(kit, Hl7(cda, places="^^^^^^BDL^^63220"))), Filed)
    assert code_of(kit.decide(read(kit, Hl7(cda, ins="")))) == ("Held", "903")


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ({"MASQUE_PS": "Y", "DESTMSSANTEPS": "Y"}, "D2R-HLM01"),
        ({"INVISIBLE_PATIENT": "Y", "DESTMSSANTEPAT": "Y"}, "D2R-HLM01"),
        ({"MASQUE_PS": "Y", "DESTMSSANTEPS": "N"}, None),
    ],
)
def test_flags(kit: Any, flags: dict[str, str], code: str | None) -> None:
    """Acceptance 36: MASQUE_PS with DESTMSSANTEPS is refused; alone it masks the document."""
    decision = kit.decide(read(kit, Hl7([("34794-8", "XML", kit.cda())], flags=flags)))
    if code is not None:
        assert code_of(decision) == ("Refused", code)
    else:
        assert isinstance(decision, Filed)
        assert "MASQUE_PS" in decision.new[0].deposited.confidentiality


@pytest.mark.parametrize(
    ("kind", "order", "status", "expected"),
    [
        ("MDM^T02^MDM_T02", None, "F", "Filed"),
        ("MDM^T02^MDM_T02", "SC", "F", "Filed"),
        ("ORU^R01^ORU_R01", "NW", "F", "Filed"),
        ("MDM^T02^MDM_T02", "RO", "F", "900"),
        ("MDM^T04^MDM_T02", "RO", "F", "D2R-HLM02"),
        ("MDM^T10^MDM_T02", "NW", "C", "D2R-HLM02"),
        ("MDM^T02^MDM_T02", "NW", "D", "D2R-HLM02"),
        ("ORU^R01^ORU_R01", "RO", "C", "900"),
        ("MDM^T10^MDM_T02", None, "C", "900"),
    ],
)
def test_intents(kit: Any, kind: str, order: str | None, status: str, expected: str) -> None:
    """Event, ORC-1 and OBX-11 must say the same; a replacement that names nothing is 900."""
    made = Hl7([("34794-8", "XML", kit.cda())], kind=kind, order=order, status=status)
    decision = kit.decide(read(kit, made))
    assert expected == ("Filed" if isinstance(decision, Filed) else decision.reason.code)


def test_replacement(kit: Any) -> None:
    """T10: TXA-13 or the CDA's own RPLC names the current version; two answers are 900."""
    kit.settle(kit.decide(read(kit, Hl7([("34794-8", "XML", kit.cda(unique_id="2.25.5"))]))))

    def second(parent: str, **changes: Any) -> Any:
        cda = kit.cda(unique_id="2.25.6", version=2, **changes)
        made = Hl7([("34794-8", "XML", cda)], kind="MDM^T10^MDM_T02", order="RO", status="C", parent_id=parent)
        return kit.decide(read(kit, made))

    for decision in (second("2.25.5"), second("", replaces="2.25.5"), second("2.25.5^NS", replaces="2.25.5")):
        assert isinstance(decision, Filed)
        assert decision.new[0].supersedes is not None
        assert decision.new[0].supersedes.unique_id == "2.25.5"
    assert code_of(second("2.25.4", replaces="2.25.5")) == ("Refused", "900")
    assert code_of(second("2.25.404")) == ("Refused", "900")


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (Hl7([("34794-8", "XML", b"<not-a-cda/>")]), "D2R-XDM08"),
        (Hl7([("34794-8", "XML", b'<!DOCTYPE x [<!ENTITY a "b">]><ClinicalDocument/>')]), "D2R-XDM07"),
        (Hl7([]), "D2R-HLM03"),
        (Hl7([("00000-0", "PDF", PDF)], type_said="00000-0"), "D2R-TYP01"),
        (Hl7([("11488-4", "PDF", b"MZ\x90\x00")]), "D2R-CNT01"),
        (Hl7([], kind="ADT^A01^ADT_A01"), "D2R-REQ04"),
        (Hl7([], kind="ACK^T10^ACK"), "D2R-REQ04"),
    ],
)
def test_what_is_not_a_deposit(kit: Any, made: Hl7, code: str) -> None:
    """Each fault has its reason, and the application is named so that it can be acknowledged."""
    found = read(kit, made)
    assert isinstance(found, NotUnderstood)
    assert found.reason.code == code
    assert found.envelope.application is not None
    assert found.envelope.application.control_id == "MSG015"


def test_type_of_message_and_document_differ(kit: Any) -> None:
    """OBX-3 says another type than the CDA: D2R-XDM04."""
    assert code_of(kit.decide(read(kit, Hl7([("11488-4", "XML", kit.cda())])))) == ("Refused", "D2R-XDM04")


def test_two_messages_in_one_mail(kit: Any) -> None:
    """One mail, one HL7 message."""
    data = Hl7([("34794-8", "XML", kit.cda())]).data()
    found = read(kit, Hl7([("34794-8", "XML", kit.cda())]), ("b.hl7", "text/plain", data))
    assert code_of(kit.decide(found)) == ("Refused", "D2R-HLM05")


def test_masks_of_a_document_already_filed(kit: Any, people_of: Any) -> None:
    """The same document again: a mask that its author adds is obeyed, one that it would lift waits for a person."""
    cda = kit.cda(unique_id="2.25.5")
    kit.settle(kit.decide(read(kit, Hl7([("34794-8", "XML", cda)]))))
    again = Hl7([("34794-8", "XML", cda)], flags={"MASQUE_PS": "Y", "MODIF_CONF_CODE": "Y"})
    decision = kit.decide(read(kit, again))
    assert code_of(decision) == ("Filed", "D2R-MSK03")
    (masked,) = decision.masked
    assert masked.confidentiality == ("N", "MASQUE_PS")
    assert code_of(kit.decide(read(kit, again), of=people_of["drb"])) == ("Refused", "901")
    kit.write(lambda conn: store.set_confidentiality(conn, masked.id, masked.confidentiality))
    assert code_of(kit.decide(read(kit, again))) == ("Filed", "D2R-DUP00")
    assert code_of(kit.decide(read(kit, Hl7([("34794-8", "XML", cda)])))) == ("Held", "D2R-MSK02")


def test_samples(kit: Any, shared: Path) -> None:
    """Every MDM and ORU sample as a deposit: filed when its CDA is whole and of our domain, else its reason."""
    folder = shared / "samples/hl7"
    expected = {
        "MDM_LPS_from_MSSante_docB64_v1.0.hl7": ("Refused", "904"),  # another INS inside than in PID
        "MDM_LPS_from_MSSante_initial_v1.1.er7": ("Refused", "D2R-XDM08"),  # a sentence in place of the CDA
        "MDM_T02_CR_radio_initial_v2.1.er7": ("Refused", "D2R-XDM08"),
        "MDM_suppression_v2.0.er7": ("Refused", "904"),  # OID of production
        "ORU_R01_CR_bio_initial_b64_v2.1.hl7": ("Held", "904"),  # one given name and another birth place than P0's
        "ORU_R01_CR_bio_initial_short_v2.1.hl7": ("Refused", "D2R-XDM08"),
        "ORU_R01_suppression_short_v2.1.er7": ("Refused", "900"),  # nothing names what is deleted
    }
    for name, outcome in expected.items():
        found = kit.read(kit.mail((name, "application/octet-stream", (folder / name).read_bytes())))
        assert code_of(kit.decide(found)) == outcome, name
    with_cda = (folder / "ORU_R01_CR_bio_initial_b64_v2.1.hl7").read_bytes()
    found = kit.read(kit.mail(("x", "text/plain", with_cda)))
    assert isinstance(found, Deposit)
    assert found.documents[0].type_code == "11502-2"
    decision = kit.decide(found)
    assert decision.reason.parameter("detail") == "given_names,birth_place"
    kit.write(lambda conn: conn.execute(update(patients).values(given_names='["DOMINIQUE"]', birth_place="63220")))
    assert isinstance(kit.decide(found), Filed)  # with the identity that the sample has
    others = [one for one in folder.glob("*.[eh][rl]7") if one.name not in expected]
    assert len(others) == 7
    for file in others:  # ADT and ACK are no deposits
        found = kit.read(kit.mail((file.name, "application/octet-stream", file.read_bytes())))
        assert code_of(kit.decide(found)) == ("Held", "D2R-REQ04")


def test_replacement_documents_of_the_samples(kit: Any, shared: Path) -> None:
    """The two CDA that go with the messages replace documents that are not here: 900, by MDM T10 and ORU RO."""
    folder = shared / "samples/hl7"
    for name, code, kind in (
        ("CR_Radio_CDAN1_v2_remplacement.xml", "18748-4", "MDM^T10^MDM_T02"),
        ("SEGUR_CR_Bio_CDA_Niv3_v2.xml", "11502-2", "ORU^R01^ORU_R01"),
    ):
        made = Hl7([(code, "XML", (folder / name).read_bytes())], kind=kind, order="RO", status="C", type_said=code)
        assert code_of(kit.decide(read(kit, made))) in {("Refused", "900"), ("Held", "904")}, name


@pytest.mark.parametrize(("code", "ans", "line"), [
    (None, None, "MSA|AA|MSG015"), ("D2R-DUP00", None, "MSA|AA|MSG015"), ("D2R-DEL00", "906", "MSA|AA|MSG015"),
    ("902", "902", "MSA|AE|MSG015"), ("D2R-MAN01", "906", "MSA|AE|MSG015"),
])  # fmt: skip
def test_acknowledgement(kit: Any, constants: Any, code: str | None, ans: str | None, line: str) -> None:
    """AA when it is filed or done, AE with the ANS code otherwise; it names the message, and no patient."""
    found = read(kit, Hl7([("34794-8", "XML", kit.cda())]))
    application = found.envelope.application
    kept = packed(application)
    text = acknowledgement(kept, code=code, ans=ans, control_id="abc", at=constants["now"]).decode()
    lines = text.split("\r")
    assert lines[0].startswith("MSH|^~\\&|DCC|DCC|RIS-Y|Organisation-Y|20260601120000+0000||ACK^T02^ACK|abc|P|2.6|")
    assert lines[1] == line
    assert lines[-1] == ""
    assert (f"|{ans}^" in lines[2]) if "AE" in line else lines[2] == ""
    assert "PAT-TROIS" not in text
    assert dict(receipt_parameters(found.envelope, "processed"))["hl7"] == kept
