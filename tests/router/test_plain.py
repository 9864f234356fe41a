"""Plain files of clinicians: folder by reference, type by keyword, identity from the folder (issue, facts §11 D)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dcc.mailbox import folders, outbox
from dcc.mailbox.records import ConsentState, Delivery, DeliveryState
from dcc.mailbox.references import is_valid, new_reference
from dcc.router.decision import Assignment, Filed, Held, Refused
from dcc.router.keywords import keywords, shown_keywords, type_of, types_named
from dcc.router.petition import forms
from dcc.templates.render import KINDS, render

PDF = ("cr.pdf", "application/pdf", b"%PDF-1.4 compte rendu")
GATEWAY = ["passerelle@gateway.test"]


def reference(kit: Any, folder: str = "f0") -> str:
    with kit.database.read() as conn:
        found = folders.folder(conn, folder)
    assert found is not None
    return str(found.reference)


def sent(kit: Any, subject: str, *files: tuple[str, str, bytes], text: str = "Bonjour", **headers: str) -> Any:
    fields = [("Subject", subject), ("From", "dra@rca.test"), *((k.replace("_", "-"), v) for k, v in headers.items())]
    return kit.read(kit.mail(*(files or (PDF,)), headers=fields, text=text))


def code_of(decision: Any) -> tuple[str, str | None]:
    return type(decision).__name__, None if decision.reason is None else decision.reason.code


def test_reply_to_a_notice_is_filed(kit: Any) -> None:
    """The reference of the notice's subject names the folder, the first line the type: filed as an N1 of its class."""
    subject = f"Re: Nouveau document dans un dossier qui vous est ouvert [{reference(kit)}]"
    decision = kit.decide(sent(kit, subject, text="\r\n CRH \r\nBien à vous"), to=GATEWAY)
    assert isinstance(decision, Filed), decision
    assert dict(decision.evidence)["folder"] == "reference"
    assert dict(decision.evidence)["identity"] == "the folder's, QUAL"
    (document,) = kit.settle(decision)
    assert (document.folder, document.type_code, document.class_code) == ("f0", "34112-3", "10")
    assert document.format_code == "urn:ihe:iti:xds-sd:pdf:2008"
    assert (document.author_id, document.author_structure) == ("899700000017", "1490000049")
    assert [(one.name, one.role) for one in document.parts] == [("cr.pdf", "attachment")]


@pytest.mark.parametrize(
    ("file", "form"),
    [
        (("a.jpg", "image/jpeg", b"\xff\xd8\xff\xe0x"), "urn:ihe:iti-fr:xds-sd:jpeg:2010"),
        (("a.tif", "image/tiff", b"II*\x00x"), "urn:ihe:iti-fr:xds-sd:tiff:2010"),
        (("a.rtf", "application/rtf", b"{\\rtf1 x}"), "urn:ihe:iti-fr:xds-sd:rtf:2010"),
        (("a.txt", "text/plain", "compte rendu é".encode()), "urn:ihe:iti:xds-sd:text:2008"),
        (("a.bin", "application/octet-stream", b"%PDF-1.4"), "urn:ihe:iti:xds-sd:pdf:2008"),
        (("a.png", "image/png", b"\x89PNG\r\n\x1a\nx"), None),
    ],
)
def test_files_that_may_be_sent(kit: Any, file: tuple[str, str, bytes], form: str | None) -> None:
    """PDF, pictures, RTF and text; the bytes tell what a file is."""
    decision = kit.decide(sent(kit, f"RCP [{reference(kit)}]", file))
    assert isinstance(decision, Filed)
    assert decision.new[0].deposited.format_code == form


def test_folder_address_names_the_folder(kit: Any) -> None:
    """For software, the folder's opaque address in place of the reference."""
    decision = kit.decide(sent(kit, "ACP"))
    assert isinstance(decision, Filed)
    assert decision.new[0].deposited.type_code == "60568-3"


def test_subject_is_never_an_identity(kit: Any) -> None:
    """Acceptance 44: a PDF, the patient named in the subject, no reference: held, nothing proposed by the name."""
    decision = kit.decide(sent(kit, "CRH PAT-TROIS DOMINIQUE 28/03/1979"), to=GATEWAY)
    assert code_of(decision) == ("Held", "D2R-REQ02")
    assert decision.candidate is None
    assert "PAT-TROIS" not in repr(decision.reason)


def test_missing_type_is_asked_back(kit: Any) -> None:
    """Without a keyword it is held; the sentence lists the words and the reference."""
    decision = kit.decide(sent(kit, f"Compte rendu [{reference(kit)}]"), to=GATEWAY)
    assert code_of(decision) == ("Held", "D2R-REQ05")
    assert decision.candidate == "f0"
    for word in ("RCP", "ACP", "CRH", "CONSULT", "ORDO", reference(kit)):
        assert word in decision.reason.sender_fr
    assert code_of(kit.decide(sent(kit, "RCP et ORDO"))) == ("Held", "D2R-REQ06")


def test_subject_counts_before_the_first_line(kit: Any) -> None:
    """One keyword in the subject is an answer, whatever the first line says."""
    decision = kit.decide(sent(kit, "Ordo du jour", text="RCP"))
    assert isinstance(decision, Filed)
    assert decision.new[0].deposited.type_code == "57833-6"


def test_mistyped_reference_is_told(kit: Any) -> None:
    """A wrong check character and an unknown reference are told apart, and name no folder."""
    right = reference(kit)
    for place in (2, 3, 4, 5, 7, 8, 9, 10):
        wrong = right[:place] + ("2" if right[place] != "2" else "3") + right[place + 1 :]
        assert not is_valid(wrong)
        assert code_of(kit.decide(sent(kit, f"RCP [{wrong}]"), to=GATEWAY)) == ("Held", "D2R-REF03")
    other = new_reference(lambda size: bytes(range(size)))
    assert code_of(kit.decide(sent(kit, f"RCP [{other}]"), to=GATEWAY)) == ("Held", "D2R-REF02")


def test_reference_that_names_no_folder_beside_the_address(kit: Any) -> None:
    """Decision 0014: the folder's address, and in the subject another reference, unknown or mistyped: for a person."""
    unknown = new_reference(lambda size: bytes(range(size)))
    right = reference(kit)
    mistyped = right[:-1] + ("2" if right[-1] != "2" else "3")
    assert code_of(kit.decide(sent(kit, f"RCP [{unknown}]"))) == ("Held", "D2R-REF02")
    assert code_of(kit.decide(sent(kit, f"RCP [{mistyped}]"))) == ("Held", "D2R-REF03")
    assert isinstance(kit.decide(sent(kit, "RCP D-2024-0012")), Filed)


def test_signed_text_must_name_the_same_folder(kit: Any) -> None:
    """A subject is not always signed: a reference in the signed text, as in a quoted notice, must be the same."""
    quoted = f"RCP\r\n> Un document vient d'être classé dans le dossier {reference(kit)}, qui vous est ouvert."
    assert isinstance(kit.decide(sent(kit, f"Re: [{reference(kit)}]", text=quoted), to=GATEWAY), Filed)
    redirected = sent(kit, f"Re: [{reference(kit, 'f1')}]", text=quoted)
    assert code_of(kit.decide(redirected, to=GATEWAY)) == ("Held", "D2R-REF01")


def test_reference_is_not_a_right(kit: Any, people_of: Any, constants: Any) -> None:
    """Mandate, opposition, consent and profession are checked as always."""
    request = sent(kit, f"ORDO [{reference(kit)}]")
    assert code_of(kit.decide(request, of=people_of["drc"], to=GATEWAY)) == ("Refused", "D2R-MAN01")
    assert code_of(kit.decide(request, of=people_of["nurse"], to=GATEWAY)) == ("Refused", "D2R-TYP02")
    kit.write(lambda conn: folders.record_consent(conn, "f0", state=ConsentState.WITHDRAWN, at=constants["now"]))
    assert code_of(kit.decide(request, to=GATEWAY)) == ("Refused", "D2R-CNS02")


def test_staff_is_nobodys_author(kit: Any, people_of: Any) -> None:
    """Acceptance 22: a secretary's plain file names no responsible professional."""
    assert code_of(kit.decide(sent(kit, "RCP"), of=people_of["secretary"])) == ("Refused", "D2R-TYP04")


def test_automaton_files_for_its_structure(kit: Any, people_of: Any) -> None:
    """An organisation's plain file has its structure and no person as author."""
    decision = kit.decide(sent(kit, "BIO"), of=people_of["lab"])
    assert isinstance(decision, Filed), decision
    (document,) = kit.settle(decision)
    assert (document.author_id, document.author_structure) == (None, "1490000049")


@pytest.mark.parametrize(
    ("subject", "text", "file"),
    [
        ("RCP 255081416802538", "", PDF),
        ("RCP", "patiente 2 55 08 14 168 025 38", PDF),
        ("RCP", "", ("255081416802538.pdf", "application/pdf", b"%PDF")),
        ("RCP", "", ("cr.txt", "text/plain", b"INS 255081416802538 suite")),
        ("RCP", "", ("cr.pdf", "application/pdf", b"%PDF-1.4 /Title (CR 255081416802538)")),
    ],
)
def test_matricule_of_another_patient(kit: Any, subject: str, text: str, file: tuple[str, str, bytes]) -> None:
    """A matricule with a right key that is not the folder's holds the deposit, wherever it stands."""
    decision = kit.decide(sent(kit, subject, file, text=text))
    assert code_of(decision) == ("Held", "904")
    assert decision.candidate == "f0"


def test_matricule_of_the_folder_is_welcome(kit: Any) -> None:
    """The folder's own matricule agrees; a number with a wrong key is no matricule."""
    numbers = ("cr.pdf", "application/pdf", b"%PDF-1.4 2 5 5 0 8 1 4 1 6 8 0 2 5 3 8 re f")
    assert isinstance(kit.decide(sent(kit, "RCP", numbers)), Filed)
    assert isinstance(kit.decide(sent(kit, "RCP 279035121518989 tel 0556000000 279035121518988")), Filed)


def test_loose_cda_must_agree_with_the_folder(kit: Any, constants: Any) -> None:
    """A CDA attached without an archive is a document by itself: its own patient and type count."""
    cda = ("cr.xml", "text/xml", kit.cda())
    decision = kit.decide(sent(kit, f"[{reference(kit)}]", cda, PDF), to=GATEWAY)
    assert isinstance(decision, Filed)
    assert (decision.new[0].deposited.type_code, len(decision.deposit.attachments)) == ("34794-8", 2)
    other = ("cr.xml", "text/xml", kit.cda(patient=constants["p1"]))
    assert code_of(kit.decide(sent(kit, f"RCP [{reference(kit)}]", other), to=GATEWAY)) == ("Held", "904")


def test_unqualified_identity_waits(kit: Any) -> None:
    """Identity from the folder means a qualified one (facts §7)."""
    from sqlalchemy import update

    from dcc.mailbox.schema import patients

    kit.write(lambda conn: conn.execute(update(patients).values(status="VALI")))
    assert code_of(kit.decide(sent(kit, "RCP"))) == ("Held", "D2R-IDN01")


def test_same_file_again(kit: Any) -> None:
    """The same file of the same type is one document; another type or another folder is another."""
    (first,) = kit.settle(kit.decide(sent(kit, "RCP")))
    again = kit.decide(sent(kit, f"Re: RCP [{reference(kit)}]", text="encore"), to=GATEWAY)
    assert isinstance(again, Filed)
    assert ([one.id for one in again.known], again.new) == ([first.id], ())
    assert again.reason is not None
    assert again.reason.code == "D2R-DUP00"
    (other,) = kit.settle(kit.decide(sent(kit, "CRH")))
    (elsewhere,) = kit.settle(kit.decide(sent(kit, "RCP"), to=["dossier+bbbb@rca.test"]))
    assert len({first.unique_id, other.unique_id, elsewhere.unique_id}) == 3


def test_several_files_are_several_documents(kit: Any) -> None:
    """Each file is a document of the type; the same file twice is one; a visiting card is none."""
    decision = kit.decide(
        sent(kit, "RCP", PDF, PDF, ("b.txt", "text/plain", b"suite"), ("moi.vcf", "text/vcard", b"BEGIN:VCARD"))
    )
    assert isinstance(decision, Filed)
    assert len(decision.new) == 2
    assert len(decision.deposit.attachments) == 4


def test_logo_of_a_signature_is_no_document(kit: Any) -> None:
    """A picture with a Content-ID beside a PDF is kept and not filed as a document of its own."""
    mail = kit.mail(
        PDF, ("logo.png", "image/png", b"\x89PNG\r\n\x1a\nx"), headers=(("Subject", "RCP"), ("From", "d@x"))
    )
    mail = mail.replace(b'attachment; filename="logo.png"', b'inline; filename="logo.png"\r\nContent-ID: <logo@x>')
    decision = kit.decide(kit.read(mail))
    assert isinstance(decision, Filed)
    (document,) = kit.settle(decision)
    assert [(one.name, one.role) for one in document.parts] == [("cr.pdf", "attachment"), ("logo.png", "inline")]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (("x.exe", "application/octet-stream", b"MZ"), "D2R-CNT01"),
        (("x.pdf", "application/pdf", b"MZ\x90"), "D2R-CNT01"),
        (("x.docx", "application/zip", b"PK\x03\x04"), "D2R-CNT01"),
        (("x.html", "text/html", b"<html>"), "D2R-CNT01"),
        (("x.bin", "application/octet-stream", bytes(range(256))), "D2R-XDM01"),
        (("x.pdf", "application/pdf", b""), "D2R-XDM01"),
        (("x.dat", "application/ms-tnef", b"x"), "D2R-CNT01"),
    ],
)
def test_unsafe_and_unknown_files(kit: Any, file: tuple[str, str, bytes], code: str) -> None:
    """Programs, pages, office files and unknown octets are refused, alone and beside a PDF."""
    for files in ((file,), (PDF, file)):
        assert code_of(kit.decide(sent(kit, "RCP", *files))) == ("Refused", code)


def test_unsafe_beside_an_archive(kit: Any) -> None:
    """A program beside IHE_XDM.zip refuses the deposit."""
    files = (("IHE_XDM.zip", "application/zip", kit.xdm()), ("x.exe", "application/octet-stream", b"MZ"))
    assert code_of(kit.decide(sent(kit, "x", *files))) == ("Refused", "D2R-CNT01")


def test_answering_a_report_files_into_its_folder(kit: Any, constants: Any) -> None:
    """A report's subject cannot carry the reference: In-Reply-To of the mail we sent to this mailbox does."""
    now = constants["now"]

    def owed(number: int, mailbox: str) -> Delivery:
        return Delivery(
            f"r{number}", f"k{number}", "report", mailbox, None, "f0", None, (), None, DeliveryState.SENT, now, now,
            message_id=f"<r{number}@gateway.test>",
        )  # fmt: skip

    def write(conn: Any) -> None:
        for number, mailbox in ((1, "dra@rca.test"), (2, "drb@rca.test")):
            outbox.enqueue_all(conn, [owed(number, mailbox)])
            outbox.mark_sealed(conn, f"r{number}", message_id=f"<r{number}@gateway.test>", sealed_file="x.eml")

    kit.write(write)
    decision = kit.decide(sent(kit, "Re: XDM/1.0/DDM+x", text="RCP", In_Reply_To="<r1@gateway.test>"), to=GATEWAY)
    assert isinstance(decision, Filed), decision
    assert dict(decision.evidence)["folder"] == "answer"
    stolen = sent(kit, "Re: XDM/1.0/DDM+x", text="RCP", In_Reply_To="<r2@gateway.test>")
    assert code_of(kit.decide(stolen, to=GATEWAY)) == ("Held", "D2R-REQ02")


def test_person_assigns_folder_and_type(kit: Any, people_of: Any) -> None:
    """A person's decision replaces folder, identity and type; rights are checked as always."""
    request = sent(kit, "pour vous")
    with kit.database.read() as conn:
        from dcc.router.decide import decide

        def ask(of: Any, kind: tuple[str, str] | None) -> Any:
            return decide(
                request, kit.sender(of), conn=conn, envelope_recipients=GATEWAY, now=kit_now(), environment="test",
                rules=kit.rules, assigned=Assignment("f0", kind, "a-officer"),
            )  # fmt: skip

        filed = ask(people_of["dra"], type_of("RCP"))
        assert isinstance(filed, Filed), filed
        assert dict(filed.evidence)["identity"] == "person a-officer"
        assert code_of(ask(people_of["dra"], None)) == ("Held", "D2R-REQ05")
        assert code_of(ask(people_of["drc"], type_of("RCP"))) == ("Refused", "D2R-MAN01")


def kit_now() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_keywords_name_known_types() -> None:
    """Every keyword names a type of JDV_J07 and has its French label; words are whole, case and accents do not count."""
    assert {"RCP", "ACP", "CRH", "CONSULT", "ORDO"} <= set(keywords())
    assert all(one.label for one in keywords().values())
    assert types_named("fiche rcp du 12") == (("34794-8", "2.16.840.1.113883.6.1"),)
    assert types_named("synthèse") == types_named("SYNTHESE") != ()
    assert types_named("MARCPAUL XRCP RCPX") == ()
    assert types_named(None) == ()
    assert type_of("34112-3") == ("34112-3", "2.16.840.1.113883.6.1")
    assert type_of("inconnu") is None
    assert shown_keywords().startswith("RCP, ACP, CRH")


def test_keywords_are_no_words_of_forms() -> None:
    """A keyword never begins one of the forms that people send, and no form names a type."""
    words = [word for form in forms().values() for word in form.words]
    assert [word for word in words if types_named(word)] == []
    assert not {word.split()[0] for word in words} & set(keywords())


def test_our_own_subjects_hold_no_keyword(kit: Any) -> None:
    """Answering one of our mails never names a type by accident."""
    with kit.database.read() as conn:
        folder = folders.folder(conn, "f0")
    context = {"folder": folder, "subject": "", "documents": [], "code": None, "already": False, "sealed": False}
    extra = dict.fromkeys(
        (
            "why",
            "without_mandate",
            "masked",
            "misnamed",
            "opened",
            "message",
            "sentence",
            "sentence_en",
            "replaces",
            "depositor",
        ),
        "",
    )
    network = type("N", (), {"name": "R", "support_phone": "0", "support_mail": "s@x"})()
    for kind in ("notice", "acknowledgement", "refusal", "held"):
        assert kind in KINDS
        for language in ("fr", "en"):
            made = render(kind, language, {**extra, **context, "network": network})
            assert types_named(made.subject) == ()


def test_refused_and_held_are_values(kit: Any) -> None:
    """Whatever a plain mail lacks, the decision is held or refused with a reason of the table."""
    for subject in ("", "RCP", "x" * 400, "D-7F3K-9QXA", "=?utf-8?q?RCP?="):
        decision = kit.decide(sent(kit, subject), to=GATEWAY)
        assert isinstance(decision, Held | Refused)
    assert replace(kit.sender(), structure=None).structure is None
