"""Names that MSSanté fixes, readable copies beside the archive, and archives that may be passed on."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from dcc.mailbox.records import BlobRef, Document, Part
from dcc.router.composeparts import attachment_head
from dcc.router.copies import Readable, readable
from dcc.router.names import NAME_LENGTH, copy_name, mss_subject, without_accents
from dcc.router.passedon import may_pass_on
from dcc.smime.workfile import WorkFile

PDF = "application/pdf"


class Shelf:
    """Documents and attachments whose octets are at hand."""

    def __init__(self, kit: Any, constants: Any) -> None:
        self.kit, self.patient = kit, constants["p0"]
        (self.document,) = kit.settle(kit.decide(kit.deposit()))
        with kit.database.read() as conn:
            from dcc.mailbox import folders

            found = folders.folder(conn, kit.folder)
        assert found is not None
        self.folder = found
        self.held: dict[str, bytes] = {}

    def part(self, data: bytes, name: str = "a.pdf", kind: str = PDF, role: str = "attachment") -> Part:
        key = f"b{len(self.held)}"
        self.held[key] = data
        return Part(name, kind, len(data), "0", BlobRef(key, len(data), "0", 1, b""), role)

    def holding(self, data: bytes, number: int = 1, **changes: Any) -> Document:
        return replace(
            self.document, id=f"d{number}", parts=(self.part(data, "DOC.XML", "text/xml", "document"),), **changes
        )

    def open(self, part: Part) -> Any:
        return io.BytesIO(self.held[part.blob.id])

    def copies(self, *documents: Document, beside: tuple[Part, ...] = ()) -> Readable:
        return readable(documents, beside, self.patient, self.folder, self.open, WorkFile)

    def octets(self, found: Readable) -> dict[str, bytes]:
        return {
            one.name: self.held[one.part.blob.id] if one.part else b"".join(one.chunks() if one.chunks else ())
            for one in found.files
        }  # fmt: skip


@pytest.fixture
def shelf(kit: Any, constants: Any) -> Shelf:
    """A shelf with one filed document of P0."""
    return Shelf(kit, constants)


def test_subject(shelf: Shelf) -> None:
    """The label is cut at 40 signs even where a ligature makes two of one; nothing beyond ASCII is left in French names."""
    document = replace(shelf.document, type_code="x", title="Cœur " * 20)
    patient = replace(shelf.patient, birth_name="d’Ançœur-Øster", given_names=("Éloïse",))
    told = mss_subject([document], patient)
    label = told.removeprefix("XDM/1.0/DDM+").partition(" D'ANCOEUR-OSTER ")[0]
    assert len(label) <= 40
    assert told.endswith(" D'ANCOEUR-OSTER Eloise 28/03/1979")
    assert told.isascii()
    assert mss_subject([document] * 3, patient).startswith("XDM/1.0/DDM+3 documents D'")


def test_without_accents() -> None:
    """Accents and ligatures go, letters stay."""
    assert without_accents("Œdème, çà et là : łódź, straße, l’été") == "OEdeme, ca et la : lodz, strasse, l'ete"


def test_copy_name(shelf: Shelf) -> None:
    """Date of the act, label, NAME, given name, folder: five fields, whatever signs the values hold; of bounded length."""
    patient = replace(shelf.patient, birth_name="le_Gall/../x", given_names=("A:\u202eB",))
    document = replace(shelf.document, type_code="x", title="Avis\r\n" + "très long " * 40)
    name = copy_name(document, patient, shelf.folder, "20250102030405+0100")
    fields = name.removesuffix(".pdf").split("_")
    assert (fields[0], fields[2], fields[3], fields[4]) == ("20250102", "LE GALL .. X", "A B", shelf.folder.reference)
    assert fields[1].startswith("Avis très long")
    assert len(name) <= NAME_LENGTH
    assert not re.search(r'[/\\:*?"<>|\x00-\x1f\u202e]', name)
    assert copy_name(document, patient, shelf.folder, None).startswith("20260601_")


def test_names_beyond_ascii_are_rfc_2231() -> None:
    """A name with accents is encoded in both fields, and comes out as it went in."""
    from email import message_from_bytes

    for name in ("Été à l'hôpital.pdf", 'a"b.pdf', "plain.pdf"):
        head = attachment_head(name, PDF)
        assert head.isascii()
        assert message_from_bytes(head).get_filename() == name


def test_one_pdf_for_one_document(shelf: Shelf) -> None:
    """The sender's PDF is kept, octet by octet, under the name of ECO.2.1.6; other files keep their names."""
    document = shelf.holding(shelf.kit.cda())
    beside = (shelf.part(b"%PDF a", "copie.pdf"), shelf.part(b"x", "notes.txt", "text/plain"))
    found = shelf.octets(shelf.copies(document, beside=beside))
    assert list(found.values()) == [b"%PDF a", b"x"]
    assert list(found) == [copy_name(document, shelf.patient, shelf.folder, "20260601"), "notes.txt"]


def test_as_many_pdf_as_documents(shelf: Shelf) -> None:
    """Several PDFs for several documents keep their names: which belongs to which is not said; equal names are told apart."""
    documents = [shelf.holding(shelf.kit.cda(), number) for number in (1, 2)]
    beside = (shelf.part(b"%PDF a", "r.pdf"), shelf.part(b"%PDF b", "R.pdf"))
    assert shelf.octets(shelf.copies(*documents, beside=beside)) == {"r.pdf": b"%PDF a", "R-2.pdf": b"%PDF b"}


def test_fewer_pdf_than_documents(shelf: Shelf) -> None:
    """Where a copy is missing each document gets one of ours, and what came is passed on too."""
    documents = [shelf.holding(shelf.kit.cda(), number) for number in (1, 2)]
    found = shelf.octets(shelf.copies(*documents, beside=(shelf.part(b"%PDF a", "r.pdf"),)))
    assert len(found) == 3
    assert found["r.pdf"] == b"%PDF a"
    assert sum(b"GTS_PDFA1" in data for data in found.values()) == 2


@pytest.mark.parametrize(
    ("kind", "data", "ending"),
    [
        (PDF, b"%PDF-1.4 x", "pdf"), ("image/jpeg", b"\xff\xd8\xff\xe0x", "jpg"), ("text/rtf", b"{\\rtf1 x}", "rtf"),
        (PDF, b"MZ not a PDF", None), ("application/x-thing", b"x", None),
    ],
)  # fmt: skip
def test_body_of_an_unstructured_document(shelf: Shelf, kind: str, data: bytes, ending: str | None) -> None:
    """What an N1 document holds is attached as it is, if it is what its label says; else a page says where it is."""
    cda = shelf.kit.cda(body=data).replace(b"application/pdf", kind.encode())
    ((name, octets),) = shelf.octets(shelf.copies(shelf.holding(cda))).items()
    if ending is None:
        assert name.endswith(".pdf")
        assert b"GTS_PDFA1" in octets
    else:
        assert name.endswith(f".{ending}")
        assert octets == data


def test_plain_files(shelf: Shelf) -> None:
    """A plain PDF or image is its own copy; a text gets a PDF beside it and stands in the mail's body."""
    image = shelf.copies(shelf.holding(b"\x89PNG\r\n\x1a\nx"))
    assert [data for name, data in shelf.octets(image).items() if name.endswith(".png")] == [b"\x89PNG\r\n\x1a\nx"]
    assert image.readings == ()
    text = shelf.copies(shelf.holding("Ça va\n\nbien".encode("cp1252")))
    assert "Ça va" in text.readings[0].text
    assert sorted(name.rpartition(".")[2] for name in shelf.octets(text)) == ["XML", "pdf"]


def test_document_that_cannot_be_read_is_sent_all_the_same(shelf: Shelf) -> None:
    """A document that cannot be shown does not keep the report from its reader: the copy says so."""
    found = shelf.copies(shelf.holding(b"<ClinicalDocument"))
    assert "n'a pas pu être mis en forme" in found.readings[0].text
    assert b"GTS_PDFA1" in next(iter(shelf.octets(found).values()))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (None, True), (rb'<Slot name="size">.*?</Slot>', False), (rb'<Slot name="hash">.*?</Slot>', False),
        (rb'<ExternalIdentifier [^>]*58a6f841.*?</ExternalIdentifier>', False), (rb".*", False),
    ],
)  # fmt: skip
def test_archive_that_may_be_passed_on(shelf: Shelf, change: bytes | None, kept: bool) -> None:
    """An archive is passed on only where METADATA names size, hash and the patient; a damaged one never."""
    archive = shelf.kit.xdm()
    if change is not None:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, re.sub(change, b"", data, flags=re.DOTALL) if "METADATA" in name else data)
        archive = out.getvalue()
    part = shelf.part(archive, "IHE_XDM.zip", "application/zip", "archive")
    assert may_pass_on(part, shelf.patient, shelf.open, WorkFile) is kept
    assert not may_pass_on(part, replace(shelf.patient, ins="255081416802538"), shelf.open, WorkFile)
    assert not may_pass_on(part, replace(shelf.patient, status="VALI"), shelf.open, WorkFile) or not kept
    assert not may_pass_on(shelf.part(archive[:-9], "x.zip"), shelf.patient, shelf.open, WorkFile)
