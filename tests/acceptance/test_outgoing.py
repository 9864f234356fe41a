"""What a reader gets is a valid MSSanté mail, for each shape of deposit; receipts are as the volet LPS/MSS says."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from email.message import Message as Mail
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from dcc.gateway.announce import Announcer
from dcc.gateway.sink import Sink
from dcc.mailbox.schema import patients
from dcc.router import reports
from dcc.smime.limits import Limits
from desk import DR_A, DR_B, PDF, ZIP, Desk, end
from hl7make import Hl7
from mssmail import COPY, archive_entries, checked, files_of, subject_of
from terminal import dcc

PAGE = b"%PDF-1.4 une page"


def received_again(desk: Desk, mail: Mail) -> str | None:
    """Our own reader's answer to what we sent, deposited by its reader: the same document, already there."""
    archive = files_of(mail)["IHE_XDM.zip"]
    return end(desk.send(desk.entity(("IHE_XDM.zip", ZIP, archive)), DR_B))[1]


def body(mail: Mail, kind: str) -> str:
    part = next(one for one in mail.walk() if one.get_content_type() == kind)
    data: Any = part.get_payload(decode=True)
    return str(data.decode())


def test_archive_as_it_came(desk: Desk) -> None:
    """An archive that is valid is passed on octet by octet, the one PDF beside it under the name of ECO.2.1.6."""
    archive = desk.xdm(desk.cda())
    message = desk.send(desk.entity(("a.zip", ZIP, archive), ("copie.pdf", PDF, PAGE)))
    _, mail = desk.mail_to(DR_B, message)
    checked(mail)
    files = files_of(mail)
    assert files.pop("IHE_XDM.zip") == archive
    ((name, data),) = files.items()
    assert COPY.fullmatch(name), name
    assert name.endswith(f"_PAT-TROIS_DOMINIQUE_{desk.folder().reference}.pdf")
    assert data == PAGE
    assert received_again(desk, mail) == "D2R-DUP00"


def test_copy_made_from_the_document(desk: Desk) -> None:
    """Without a PDF, the copy is made from the CDA; the mail's body shows the words of the report, as text and page."""
    message = desk.send(desk.entity(("IHE_XDM.zip", ZIP, desk.xdm(desk.cda()))))
    _, mail = desk.mail_to(DR_B, message)
    checked(mail)
    (name,) = set(files_of(mail)) - {"IHE_XDM.zip"}
    copy = files_of(mail)[name]
    assert COPY.fullmatch(name), name
    assert copy.startswith(b"%PDF-1.4")
    assert b"GTS_PDFA1" in copy
    for kind in ("text/plain", "text/html"):
        assert "Proposition thérapeutique de démonstration." in body(mail, kind)
    raw = next(str(part) for part in mail.walk() if part.get_filename() == name)
    assert "filename*=utf-8''" in raw  # RFC 2231: the label of the type has accents


def test_pdf_inside_the_document(desk: Desk, shared: Path) -> None:
    """The copy of an N1 document is the PDF inside it, unchanged."""
    message = desk.send(
        desk.entity(
            ("IHE_XDM.zip", ZIP, desk.xdm((shared / "samples/cda/DOC_NON_STRUCTURE_CDA-R2-N1.xml").read_bytes()))
        )
    )
    assert end(message)[0] == "filed"
    _, mail = desk.mail_to(DR_B, message)
    (entry,) = checked(mail)
    (copy,) = [data for name, data in files_of(mail).items() if name != "IHE_XDM.zip"]
    assert copy.startswith(b"%PDF")
    assert len(copy) == 326650
    assert entry["format"] == "urn:ihe:iti:xds-sd:pdf:2008"


@pytest.mark.parametrize("form", ["pdf", "text", "hl7", "archive without sizes"])
def test_archive_made_by_us(desk: Desk, form: str) -> None:
    """Plain files, HL7 messages and archives that do not say all a receiver checks are sent in an archive of ours."""
    subject = f"RCP [{desk.folder().reference}]"
    if form == "pdf":
        message = desk.plain(subject, ("avis.pdf", PDF, PAGE))
    elif form == "text":
        message = desk.plain(subject, ("avis.txt", "text/plain", "Avis : à revoir.".encode()))
    elif form == "hl7":
        made = Hl7([("34794-8", "XML", desk.cda())]).data()
        message = desk.send(desk.entity(("m.hl7", "application/hl7-v2", made)))
    else:
        message = desk.send(desk.entity(("IHE_XDM.zip", ZIP, _without_sizes(desk.xdm(desk.cda())))))
    assert end(message) == ("filed", None)
    _, mail = desk.mail_to(DR_B, message)
    checked(mail)
    names = [name for name in files_of(mail) if name.endswith(".pdf")]
    assert len(names) == 1
    assert COPY.fullmatch(names[0])
    if form == "pdf":
        assert files_of(mail)[names[0]] == PAGE
    if form == "text":
        assert "Avis : à revoir." in body(mail, "text/plain")
    # a plain file is known by its own octets, not by those of the CDA that was put around it
    assert received_again(desk, mail) == ("D2R-DUP01" if form in {"pdf", "text"} else "D2R-DUP00")


def _without_sizes(archive: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("METADATA.XML"):
                data, count = re.subn(rb'<Slot name="(size|hash)">.*?</Slot>', b"", data)
                assert count == 2
            new.writestr(name, data)
    return out.getvalue()


def test_every_sample_goes_out_whole(desk: Desk, shared: Path) -> None:
    """Round trip: each ANS sample that is filed is sent in a mail that an independent check and our own reader accept."""
    sent = 0
    for path in sorted((shared / "samples/cda").glob("*.xml")):
        message = desk.deposit(path.read_bytes())
        if end(message)[0] != "filed" or DR_B not in desk.deliveries(message):
            continue
        _, mail = desk.mail_to(DR_B, message)
        (entry,) = checked(mail)
        assert entry["document"] == path.read_bytes(), path.name
        assert received_again(desk, mail) == "D2R-DUP00", path.name
        sent += 1
    assert sent >= 8


def test_masked_document_beside_another(desk: Desk) -> None:
    """Of two documents in one archive, the masked one reaches nobody but its author: neither in it nor beside it (I4)."""
    open_one, masked = desk.cda(), desk.cda(type_code="60568-3").replace(b"Proposition", b"MASQUE-SECRET")
    archive = _masking(desk.xdm(open_one, masked), masked)
    message = desk.send(
        desk.entity(("IHE_XDM.zip", ZIP, archive), ("1.pdf", PDF, PAGE), ("2.pdf", PDF, b"%PDF-1.4 MASQUE-SECRET"))
    )
    assert end(message) == ("filed", None)
    assert len(message.documents) == 2
    _, mail = desk.mail_to(DR_B, message)
    (entry,) = checked(mail)
    assert entry["document"] == open_one
    assert mail["X-MSS-CODECDA"] == "34794-8"
    everything = [*files_of(mail).values(), mail.as_bytes(), body(mail, "text/plain").encode()]
    assert not any(b"MASQUE-SECRET" in one for one in everything)


def _masking(archive: bytes, masked: bytes) -> bytes:
    """The archive with MASQUE_PS on the entry of one document."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        number = next(name for name in old.namelist() if old.read(name) == masked)[-11:]
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("METADATA.XML"):
                head, mark, rest = data.partition(f"<Value>{number}</Value>".encode())
                assert mark
                code = re.search(
                    rb'<Classification [^>]*f4f85eac[^>]*nodeRepresentation="N">.*?</Classification>', rest
                )
                assert code is not None
                more = code[0].replace(b'nodeRepresentation="N"', b'nodeRepresentation="MASQUE_PS"')
                data = (
                    head
                    + mark
                    + rest.replace(
                        code[0], code[0] + re.sub(rb'id="urn:uuid:....', b'id="urn:uuid:0000', more, count=1), 1
                    )
                )
            new.writestr(name, data)
    return out.getvalue()


def test_document_deleted_before_it_was_sent(desk: Desk) -> None:
    """Of two documents, the one that is deleted meanwhile is not sent with the other."""
    kept, gone = desk.cda(), desk.cda(type_code="60568-3", unique_id="2.25.5")
    message = desk.deposit(kept, gone)
    deletion = Hl7([], kind="MDM^T04^MDM_T02", order=None, parent_id="2.25.5")
    assert end(desk.send(desk.entity(("m.hl7", "application/hl7-v2", deletion.data())))) == ("done", "D2R-DEL00")
    _, mail = desk.mail_to(DR_B, message)
    (entry,) = checked(mail)
    assert entry["document"] == kept
    assert b"2.25.5" not in b"".join(files_of(mail).values())


def test_identity_that_is_no_longer_qualified(desk: Desk) -> None:
    """Between filing and sending the identity lost its status: no matricule in METADATA, X-MSS-INS N (facts §7)."""
    message = desk.deposit()
    desk.write(lambda conn: conn.execute(update(patients).values(status="VALI")))
    _, mail = desk.mail_to(DR_B, message)
    assert mail["X-MSS-INS"] == "N"
    (entry,) = archive_entries(files_of(mail)["IHE_XDM.zip"])
    assert entry["patient"] is None


def test_receipt_of_a_filed_deposit(desk: Desk) -> None:
    """MDN asked for: three parts, the third the whole original mail; the subject is the deposit's, under the seal only."""
    subject = "XDM/1.0/DDM+Fiche RCP PAT-TROIS DOMINIQUE 28/03/1979"
    archive = desk.xdm(desk.cda())
    message = desk.send(desk.entity(("IHE_XDM.zip", ZIP, archive)), receipt=True, subject=subject)
    outer, mail = desk.mail_to(DR_A, message)
    assert "PAT-TROIS" not in str(outer["Subject"])
    assert subject_of(mail) == subject
    assert mail.get_content_type() == "multipart/report"
    text, fields, original = mail.get_payload()  # type: ignore[misc]
    assert text.get_content_type() == "text/plain"  # type: ignore[union-attr]
    assert b"MDN-sent-automatically; processed\r\n" in fields.as_bytes().replace(b"\n", b"\r\n")  # type: ignore[union-attr]
    assert b"Error:" not in fields.as_bytes()  # type: ignore[union-attr]
    assert original.get_content_type() == "message/rfc822"  # type: ignore[union-attr]
    (whole,) = original.get_payload()  # type: ignore[union-attr,misc]
    assert str(whole["Subject"]) == subject  # type: ignore[index]
    assert whole["From"]  # type: ignore[index]
    assert files_of(whole)["IHE_XDM.zip"] == archive  # type: ignore[arg-type]


@pytest.mark.parametrize("receipt", [True, False])
def test_receipt_of_a_refused_deposit(desk: Desk, receipt: bool) -> None:
    """KO: the field Error and the subject of the volet; without a request, a plain mail for the mailbox of errors."""
    subject = "XDM/1.0/DDM+Fiche RCP INCONNU ALICE 14/08/1955"
    cda = desk.cda().replace(b"279035121518989", b"255081416802538")
    message = desk.deposit(cda, to=gateway(desk), receipt=receipt, subject=subject)
    assert end(message) == ("refused", "904")
    outer, mail = desk.mail_to(DR_A, message)
    assert "INCONNU" not in str(outer)
    if receipt:
        assert subject_of(mail) == f"[KO Intégration système !][904] {subject}"
        assert b"Error: 904^" in mail.as_bytes()
    else:
        assert subject_of(mail) == f"[Erreur d'intégration !][904] {subject}"
        assert mail.get_content_type() == "multipart/alternative"


def gateway(desk: Desk) -> str:
    return str(desk.cast.told["gateway"]["address"])


def test_refusal_codes(desk: Desk) -> None:
    """A refusal for want of a right is 906 for software, with our own code in the words; the original is enclosed."""
    subject = "XDM/1.0/DDM+Fiche RCP PAT-TROIS DOMINIQUE 28/03/1979"
    message = desk.deposit(sender="no_mandate", receipt=True, subject=subject)
    assert end(message) == ("refused", "D2R-MAN01")
    _, mail = desk.mail_to("no_mandate", message)
    assert subject_of(mail) == f"[KO Intégration système !][906] {subject}"
    fields = next(one for one in mail.walk() if one.get_content_type() == "message/disposition-notification")
    assert b"automatic-action/MDN-sent-automatically; processed/error" in fields.as_bytes()
    (told,) = fields.get_payload()  # type: ignore[misc]
    error = "906^Vous n'avez pas de mandat pour ce dossier.^applicationErrorCondition"
    assert " ".join(str(told["Error"]).split()) == error  # type: ignore[index]
    assert [one.get_content_type() for one in mail.get_payload()] == [  # type: ignore[union-attr]
        "text/plain", "message/disposition-notification", "message/rfc822",
    ]  # fmt: skip
    plain = desk.deposit(sender="no_mandate", subject=subject)
    _, told = desk.mail_to("no_mandate", plain)
    assert subject_of(told) == f"[Erreur d'intégration !][906] {subject}"
    assert told.get_content_type() == "multipart/alternative"
    human = desk.deposit(sender="no_mandate", subject="Compte rendu de Mme X")
    _, told = desk.mail_to("no_mandate", human)
    assert subject_of(told) == "Votre envoi n'a pas été traité"


def test_receipt_without_a_seal_names_nobody(desk: Desk) -> None:
    """Who has no encryption certificate gets neither the original nor the subject of the deposit (I3)."""
    subject = "XDM/1.0/DDM+Fiche RCP PAT-TROIS DOMINIQUE 28/03/1979"
    message = desk.deposit(sender="no_encryption", receipt=True, subject=subject)
    desk.announce()
    one = desk.deliveries(message)["no_encryption"]
    raw = (desk.sink / one.mailbox / "new" / f"{one.id}.dcc").read_bytes()
    for word in (b"PAT-TROIS", b"DOMINIQUE", b"message/rfc822", b"disposition-notification"):
        assert word not in raw


def test_receipts_are_asked_for_where_configured(desk: Desk) -> None:
    """With `ask_receipts` a report asks for an MDN to the address it comes from, inside and outside the seal (ECO.2.3.2)."""
    settings = desk.services.settings
    asking = settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"ask_receipts": True})})
    desk.announcer = Announcer(replace(desk.services, settings=asking), Sink(desk.sink), lambda: desk.now)
    outer, mail = desk.mail_to(DR_B, desk.deposit())
    assert mail["Disposition-Notification-To"] == outer["Disposition-Notification-To"] == gateway(desk)
    _, told = desk.mail_to(DR_A, desk.deposit())
    assert told["Disposition-Notification-To"] is None


def test_document_made_readable_by_the_command(desk: Desk, tmp_path: Path) -> None:
    """`dcc document get --readable` writes the page and the PDF beside the parts, for their owner only."""
    (document,) = desk.deposit().documents
    config, out = desk.cast.directory / "dcc.toml", tmp_path / "out"
    got = dcc("document", "get", document, "-c", config, "--out", out, "--operator", "x", "--readable", "--json")
    assert got.code == 0
    page, pdf = out / f"{document}.html", out / f"{document}.pdf"
    assert "Proposition thérapeutique de démonstration." in page.read_text(encoding="utf-8")
    assert pdf.read_bytes().startswith(b"%PDF-1.4")
    assert {path.stat().st_mode & 0o777 for path in (page, pdf)} == {0o600}
    assert {str(page), str(pdf)} <= {one["path"] for one in got.json}


@pytest.mark.parametrize("form", ["new", "old"])
def test_both_forms_of_an_error_receipt(form: str) -> None:
    """The receipt of v1.1.3 and the older one, which is not RFC 8098, say the same (facts §3.2)."""
    new = b"Disposition: automatic-action/MDN-sent-automatically; processed/error\r\nError: 902^x^applicationErrorCondition"
    old = b"Disposition: automatic-action/MDN-sent-automatically; processed/Error: 902^x^applicationErrorCondition"
    raw = (
        b"From: a@b\r\nContent-Type: multipart/report; report-type=disposition-notification; boundary=r\r\n\r\n--r\r\n\r\nx"
        b"\r\n--r\r\nContent-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822;a@b\r\n"
        b"Original-Message-ID: <o@dcc>\r\n" + (new if form == "new" else old) + b"\r\n\r\n--r--\r\n"
    )
    found = reports.recognise(io.BytesIO(raw), len(raw), limits=Limits(), mail_from="a@b")
    assert found is not None
    assert (found.outcome, found.error, found.original_message_ids) == ("error", "902", ("<o@dcc>",))
