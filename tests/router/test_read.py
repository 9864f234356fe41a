"""Which request a mail is: deposits, reports, and what waits for a person (facts/clinical.md §11)."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.router.request import Deposit, NotUnderstood, PlainDeposit, Report
from dcc.smime.headers import Headers
from dcc.smime.workfile import MEMORY

ZIP = "application/zip"


def reason_of(found: object) -> tuple[str, str]:
    assert isinstance(found, NotUnderstood), found
    return found.reason.code, found.reason.outcome


def test_deposit_with_its_readable_copy(kit: Any) -> None:
    """An archive and a PDF are one deposit; every decoded attachment is a part, with its digest."""
    mail = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), ("rapport é.pdf", "application/pdf", b"%PDF-1.4"))
    found = kit.read(mail)
    assert isinstance(found, Deposit)
    assert [(one.name, one.role, one.size) for one in found.attachments][1] == ("rapport é.pdf", "attachment", 8)
    assert found.attachments[1].open().read() == b"%PDF-1.4"


def test_mss_fields_are_compared(kit: Any) -> None:
    """X-MSS-CODECDA and X-MSS-INS that say something else than the documents are findings, never a refusal."""
    right = (("From", "a@b"), ("X-MSS-CODECDA", "34794-8"), ("X-MSS-INS", "O"))
    wrong = (("From", "a@b"), ("X-MSS-CODECDA", "34794-8, 60568-3"), ("X-MSS-INS", "N"))
    archive = ("IHE_XDM.zip", ZIP, kit.xdm())
    assert kit.read(kit.mail(archive, headers=right)).findings == ()
    assert kit.read(kit.mail(archive, headers=wrong)).findings == ("codecda-differs", "mss-ins-differs")


def test_archive_is_known_by_its_bytes(kit: Any) -> None:
    """An archive labelled octet-stream is still read."""
    found = kit.read(kit.mail(("data.bin", "application/octet-stream", kit.xdm())))
    assert isinstance(found, Deposit)


def test_forwarded_mail_is_opened(kit: Any) -> None:
    """A deposit forwarded as an attached mail is found (facts §3.2)."""
    inner = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()))
    outer = (
        b"From: dra@rca.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
        b"--o\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--o--\r\n"
    )
    assert isinstance(kit.read(outer), Deposit)


def test_wrapped_headers_count(kit: Any) -> None:
    """The whole mail as message/rfc822 (RFC 8551 §3.1): its own headers count."""
    headers = (("Subject", "[D-7F3K-9QXA] x"), ("Message-ID", "<in@x>"), ("From", "a@b"))
    inner = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), headers=headers)
    found = kit.read(
        b"Content-Type: message/rfc822\r\n\r\n" + inner,
        outer=Headers((("Subject", b" ..."), ("Message-ID", b" <out@x>"))),
    )
    assert isinstance(found, Deposit)
    assert found.envelope.message_id == "<in@x>"
    assert found.envelope.subject == "[D-7F3K-9QXA] x"
    assert "subject-differs-outside" in found.envelope.findings


def test_outer_headers_when_nothing_is_protected(kit: Any) -> None:
    """Without protected headers the outer ones serve, and the finding says so."""
    mail = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), headers=()).replace(b'; hp="cipher"', b"")
    found = kit.read(mail, outer=Headers((("Subject", b" outside"), ("Message-ID", b" <o@x>"))))
    assert found.envelope.subject == "outside"
    assert found.envelope.findings == ("headers-not-protected",)


@pytest.mark.parametrize(("path", "automatic"), [("dra@rca.test", True), ("other@rca.test", False), (None, False)])
def test_receipt_only_to_the_return_path(kit: Any, path: str | None, automatic: bool) -> None:
    """A receipt is automatic only when it goes to the Return-Path (volet LPS/MSS)."""
    headers = (("From", "dra@rca.test"), ("Disposition-Notification-To", "Dr A <dra@rca.test>"))
    found = kit.read(kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), headers=headers), return_path=path)
    assert found.envelope.receipt.to == "dra@rca.test"
    assert found.envelope.receipt.automatic is automatic


def test_pdf_alone_is_a_plain_deposit(kit: Any) -> None:
    """A PDF alone is a plain deposit; its subject names nobody and no type (acceptance 44 decides on it)."""
    mail = kit.mail(("cr.pdf", "application/pdf", b"%PDF"), headers=(("Subject", "PAT-TROIS DOMINIQUE"),))
    found = kit.read(mail)
    assert isinstance(found, PlainDeposit)
    assert (found.types, found.why, [one.name for one in found.files]) == ((), None, ["cr.pdf"])


def test_text_alone_waits_for_a_person(kit: Any) -> None:
    """A signed mail without any file is held with its reason."""
    assert reason_of(kit.read(kit.mail())) == ("D2R-REQ01", "held")


def test_hprim_waits_for_a_person(kit: Any, shared: Path) -> None:
    """HPRIM is a plain deposit that only a person may file (903), known by its name or by its marks."""
    for sample in ("synthetic_hprim_medecin.hpr", "synthetic_hprim_sante_ORU.hpr"):
        data = (shared / "samples/hl7" / sample).read_bytes()
        for name in ("cr.hpr", "cr.txt"):
            found = kit.read(kit.mail((name, "application/octet-stream", data)))
            assert isinstance(found, PlainDeposit)
            assert found.why is not None
            assert (found.why.code, found.why.ans) == ("D2R-REQ03", "903")
            assert [(one.family_name, one.given_name, one.birth_date) for one in found.patients] == [
                ("PAT-TROIS", "DOMINIQUE", "28/03/1979")
            ]


@pytest.mark.parametrize(
    ("name", "text"), [("cr.apz", "Bonjour"), ("cr.txt", "$APICRYPT\r\nabc"), ("CR.APZ", "Bonjour")]
)
def test_apicrypt_is_refused_unread(kit: Any, name: str, text: str) -> None:
    """Acceptance 42: Apicrypt is refused with its reason."""
    assert reason_of(kit.read(kit.mail((name, "application/octet-stream", b"x"), text=text))) == (
        "D2R-APZ01",
        "refused",
    )


def test_truncated_base64_is_malformed(kit: Any) -> None:
    """A cut attachment is an error, never a shorter file."""
    mail = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm())).replace(b"=\r\n--b--", b"\r\n--b--")
    mail = mail if b"A\r\n--b--" in mail else mail.replace(b"\r\n--b--", b"A\r\n--b--")
    assert reason_of(kit.read(mail))[0] in {"D2R-MAL01", "D2R-XDM01"}


def test_unreadable_mime(kit: Any) -> None:
    """Too deep and unreadable structures end with a reason."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60))
    assert reason_of(kit.read(deep))[0] == "D2R-LIM01"
    assert reason_of(kit.read(b"no header line at all\r\n\r\nx"))[0] in {"D2R-MAL01", "D2R-REQ01"}


def test_answer_of_a_robot_inside_a_seal(kit: Any) -> None:
    """A sealed automatic reply is a report."""
    found = kit.read(kit.mail(headers=(("From", "a@b"), ("Auto-Submitted", "auto-replied"))))
    assert isinstance(found, Report)


@pytest.mark.parametrize("field", [("Precedence", "bulk"), ("Precedence", "list"), ("Auto-Submitted", "auto-replied")])
def test_marked_deposit_is_a_deposit(kit: Any, field: tuple[str, str]) -> None:
    """What software, or anybody on the way, writes on the outside of a sealed archive does not make it a report (I2)."""
    headers = (("From", "lab@rca.test"), field)
    assert isinstance(kit.read(kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), headers=headers)), Deposit)


def test_marked_file_is_read_and_an_answer_with_a_card_is_not(kit: Any) -> None:
    """A PDF sent as `bulk` is read as what it is; an automatic reply with a visiting card stays a report."""
    pdf = ("cr.pdf", "application/pdf", b"%PDF-1.4")
    assert not isinstance(kit.read(kit.mail(pdf, headers=(("From", "a@b"), ("Precedence", "bulk")))), Report)
    card = ("moi.vcf", "text/vcard", b"BEGIN:VCARD\r\nEND:VCARD\r\n")
    assert isinstance(kit.read(kit.mail(card, headers=(("From", "a@b"), ("Auto-Submitted", "auto-replied")))), Report)


def test_generated_deposit_is_a_deposit(kit: Any) -> None:
    """An automaton's `auto-generated` mail is a deposit, not an automatic reply."""
    headers = (("From", "lab@rca.test"), ("Auto-Submitted", "auto-generated"))
    assert isinstance(kit.read(kit.mail(("IHE_XDM.zip", ZIP, kit.xdm()), headers=headers)), Deposit)


def test_large_deposit_in_little_memory(kit: Any, tmp_path: Path) -> None:
    """A deposit of 30 MB is read within a work file's memory and a few megabytes; nothing is left on the disk."""
    mail = kit.mail(("IHE_XDM.zip", ZIP, kit.xdm(kit.cda(body=bytes(range(256)) * (88 << 10)))))
    tracemalloc.start()
    found = kit.read(mail, workdir=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, Deposit)
    assert len(mail) > 30 << 20
    assert peak < MEMORY + (4 << 20)
    assert list(tmp_path.glob("work-*")) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 6000), piece=st.binary(max_size=30), cut=st.integers(0, 6000))
def test_damaged_mails_never_crash(kit: Any, place: int, piece: bytes, cut: int) -> None:
    """Whatever is damaged in a mail, the request is a value."""
    whole = BASE.setdefault("mail", kit.mail(("IHE_XDM.zip", ZIP, kit.xdm())))
    damaged = (whole[:place] + piece + whole[place + len(piece) :])[: max(cut, 200)]
    assert isinstance(kit.read(damaged), Deposit | NotUnderstood | PlainDeposit | Report)


BASE: dict[str, bytes] = {}
