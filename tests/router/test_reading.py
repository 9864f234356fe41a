"""CDA documents made readable: every word in order, bounded, nothing in them acts; as text, page and PDF."""

from __future__ import annotations

import base64
import io
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from dcc.router import reading
from dcc.router.blocks import Cell, Heading, Listing, Paragraph, Reading, Table
from dcc.router.narrative import CELLS, CHARACTERS, MORE
from dcc.router.pdfa import showable, srgb_profile
from dcc.router.reading import body_of, date, plain_reading, read_document
from dcc.router.readingpdf import reading_pdf
from dcc.router.xml import XmlRefusedError
from dcc.templates.render import reading_page

MADE = datetime(2026, 6, 1, 12, tzinfo=UTC)


def narrative(kit: Any, text: str) -> Reading:
    """A structured document whose only section holds this narrative text."""
    cda = kit.cda().replace(b"<text><paragraph>Texte</paragraph></text>", f"<text>{text}</text>".encode())
    return read_document(io.BytesIO(cda), len(cda))


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_facts_and_sections_in_order(kit: Any) -> None:
    """Title, patient, dates, author and establishment come first, with French labels, then the sections."""
    found = narrative(kit, "<paragraph>Un <content>deux</content></paragraph>trois<br/>quatre")
    assert found.title == "Fiche RCP"
    assert dict(found.facts) == {
        "Patient": "PAT-TROIS DOMINIQUE", "Date de naissance": "28/03/1979", "Sexe": "Féminin",
        "Matricule INS": "279035121518989", "Date du document": "01/06/2026 à 12:00",
        "Date de l'acte": "01/06/2026 à 12:00", "Auteur": "Test DRA, Médecin, CH TEST",
        "Responsable": "Test DRA, Médecin, CH TEST", "Établissement": "CH TEST",
    }  # fmt: skip
    assert found.blocks == (Heading("Avis"), Paragraph("Un deux"), Paragraph("trois\nquatre"))


def test_lists_and_tables(kit: Any) -> None:
    """Lists, headings of columns, cells that cover others, captions and tables within a cell are kept as what they are."""
    found = narrative(
        kit,
        "<list listType='ordered'><caption>À faire</caption><item>a</item><item>b<list><item>c</item></list></item></list>"
        "<table><caption>Résultats</caption><thead><tr><th colspan='2'>Examen</th></tr></thead>"
        "<tbody><tr><td rowspan='2'>x</td><td>y</td></tr><tr><td><table><tr><td>p</td><td>q</td></tr></table></td></tr>"
        "</tbody></table>",
    )
    assert found.blocks[1:] == (
        Paragraph("À faire"),
        Listing(("a", "b\n- c"), ordered=True),
        Table(
            ((Cell("Examen", True, columns=2),), (Cell("x", rows=2), Cell("y")), (Cell("p ; q"),)),
            head=1, caption="Résultats",
        ),
    )  # fmt: skip


def test_nothing_acts(kit: Any) -> None:
    """Links, pictures, markup in the text and signs that reverse reading are shown as text, or not at all."""
    found = narrative(
        kit,
        "<linkHtml href='javascript:alert(1)'>ici</linkHtml> &lt;script&gt;x&lt;/script&gt; {{ 7*7 }} "
        "&lt;img src='http://127.0.0.1:9/'/&gt; a\u202eb <renderMultiMedia referencedObject='i'/>",
    )
    page = reading_page(found)
    tree = html.fromstring(page)
    assert not tree.xpath("//script|//img|//a|//link|//iframe|//@href|//@src|//@onclick")
    assert "{{ 7*7 }}" in tree.text_content()
    assert "<script>x</script>" in tree.text_content()
    assert "\u202e" not in page
    pdf = reading_pdf(found, MADE)
    assert b"/URI" not in pdf
    assert b"/JavaScript" not in pdf


def test_page_is_accessible(kit: Any) -> None:
    """The page names its language, has one h1, headings that skip no level, and tables whose headings have a scope."""
    found = narrative(kit, "<table><thead><tr><th>A</th></tr></thead><tbody><tr><td>b</td></tr></tbody></table>")
    tree = html.fromstring(reading_page(found))
    assert tree.get("lang") == "fr"
    assert tree.xpath("//article/@lang") == ["fr-FR"]
    levels = [int(one.tag[1]) for one in tree.xpath("//h1|//h2|//h3|//h4|//h5|//h6")]
    assert levels == [1, 2]
    assert all(one.get("scope") in {"col", "row"} for one in tree.xpath("//th"))
    assert len(tree.xpath("//thead/tr/th")) == 1
    assert tree.xpath("string(//title)") == found.title


def test_long_documents_end(kit: Any) -> None:
    """What is too long to be shown ends with a sentence that says where the rest is; so does a table of many cells."""
    long = narrative(kit, "<paragraph>premier</paragraph><paragraph>" + "mot " * CHARACTERS + "</paragraph>")
    assert long.blocks[-2:] == (Paragraph("premier"), Paragraph(MORE))
    wide = narrative(kit, "<table>" + "<tr><td>1</td></tr>" * (CELLS + 1) + "</table><paragraph>après</paragraph>")
    assert wide.blocks[-1] == Paragraph(MORE)
    assert not any(isinstance(one, Table) for one in wide.blocks)
    short = long.shortened(3, "ailleurs")
    assert short.blocks == (Paragraph("ailleurs"),)


def test_tables_within_tables_cost_no_more_than_their_text(kit: Any) -> None:
    """Forty tables, each in a cell of the one before, are read once each, not once for each that is around them."""
    deep = "<table><tr><td>mot " * 40 + "</td></tr></table>" * 40
    begun = time.process_time()
    found = narrative(kit, deep)
    assert time.process_time() - begun < 2
    (table,) = [one for one in found.blocks if isinstance(one, Table)]
    assert words(table.rows[0][0].text) == ["mot"] * 40


@pytest.mark.parametrize(
    ("opened", "closed", "levels"),
    [
        ("<content>", "</content>", 230), ("<paragraph>", "</paragraph>", 230),
        ("<list><item>", "</item></list>", 115), ("<table><tr><td>", "</td></tr></table>", 76),
    ],
)  # fmt: skip
def test_deep_and_long(kit: Any, opened: str, closed: str, levels: int) -> None:
    """As deep as XML may be, with a text too long to be shown in its middle: read once, within the limits (I8)."""
    begun = time.process_time()
    shallow = narrative(kit, opened * levels + "fond" + closed * levels)
    assert "fond" in shallow.text
    long = narrative(kit, opened * levels + "mot, " * 1_000_000 + closed * levels)
    assert long.blocks[-1] == Paragraph(MORE)
    assert time.process_time() - begun < 20


def test_unstructured_text(kit: Any) -> None:
    """The text inside an N1 document is shown, a paragraph for each empty line."""
    cda = kit.cda(body="Première ligne\nsuite\n\nFin".encode()).replace(b"application/pdf", b"text/plain")
    found = read_document(io.BytesIO(cda), len(cda))
    assert found.blocks == (Paragraph("Première ligne\nsuite"), Paragraph("Fin"))


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_001])
def test_body_of_an_unstructured_document(kit: Any, size: int) -> None:
    """The octets inside an N1 document come out as they went in, whatever their number and the lines of the base64."""
    body = bytes(range(251)) * (size // 251 + 1)
    body = body[:size]
    cda = kit.cda(body=body)
    assert b"".join(body_of(io.BytesIO(cda), len(cda))) == body
    folded = cda.replace(base64.b64encode(body), base64.encodebytes(body)) if size else cda
    assert b"".join(body_of(io.BytesIO(folded), len(folded))) == body


PIECES = (
    "QUJD" * 9, "QUI=", "A", "   \r\n ", "<!-- QUJDQUJDQUJDQUJDQUJDQUJD -->", "<![CDATA[QUJDQUJDQUJDQUJDQUJD]]>", "&#81;UJD",
    "<i>QUJDQUJDQUJDQUJDQUJDQUJDQUJD</i>", "<?p QUJDQUJDQUJDQUJDQUJDQUJD?>", "]]>", "é", "</text><text>", "*",
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16-le", "utf-16-be"])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=8))
@settings(max_examples=150, deadline=None)
def test_body_wherever_the_blocks_are_cut(encoding: str, pieces: list[str]) -> None:
    """What needs no parser is no other than what the parser sees: comments, marked sections, elements, encodings."""
    text = (
        f'<?xml version="1.0" encoding="{encoding[:6] if encoding.startswith("utf-16") else encoding}"?>'
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text representation="B64">'
        f"{''.join(pieces)}</text></nonXMLBody></component></ClinicalDocument>"
    )
    cda = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"") + text.encode(encoding)
    assert _body(cda, 1 << 20) == _body(cda, 16)


def test_body_in_signs_of_two_octets() -> None:
    """A document in UTF-16 whose octets look like base64 holds ideographs, not a body."""
    head, _, tail = (
        '<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text representation="B64">|</text></nonXMLBody>'
        "</component></ClinicalDocument>"
    ).partition("|")
    cda = b"\xff\xfe" + head.encode("utf-16-le") + base64.b64encode(b"%PDF-1.4 " * 60) + tail.encode("utf-16-le")
    assert _body(cda, 16) == _body(cda, 1 << 20) == "ValueError"


def _body(cda: bytes, block: int) -> bytes | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        try:
            return b"".join(body_of(io.BytesIO(cda), len(cda)))
        except ValueError:
            return "ValueError"


@pytest.mark.parametrize(
    "damage",
    [
        lambda cda: cda[:-30],
        lambda cda: cda.replace(b'representation="B64">', b'representation="B64">*'),
        lambda cda: cda.replace(b'representation="B64">', b'representation="B64">A'),
        lambda cda: cda.replace(b"?>", b'?><!DOCTYPE a [<!ENTITY e "e">]>', 1),
    ],
)
def test_body_that_breaks_off(kit: Any, damage: Any) -> None:
    """A body whose base64 or XML is broken, or that declares entities, gives an error, never half a file."""
    cda = damage(kit.cda(body=b"%PDF-1.4 x"))
    with pytest.raises(ValueError):
        list(body_of(io.BytesIO(cda), len(cda)))


def test_hostile_xml_is_not_read(kit: Any) -> None:
    """A DOCTYPE is refused before anything is made of it."""
    cda = kit.cda().replace(b"?>", b'?><!DOCTYPE a SYSTEM "file:///etc/passwd">', 1)
    with pytest.raises(XmlRefusedError):
        read_document(io.BytesIO(cda), len(cda))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("20250615120000+0200", "15/06/2025 à 12:00"), ("20250615", "15/06/2025"), ("2025", "2025"),
        ("202506", "06/2025"), (None, ""), ("demain", ""),
    ],
)  # fmt: skip
def test_dates(value: str | None, told: str) -> None:
    """Dates are told as they are written, as precisely as they are known."""
    assert date(value) == told


def test_pdf_is_archival(kit: Any) -> None:
    """The PDF is PDF/A-1b in form: version 1.4, every font inside, XMP that agrees, an output intent, an identifier."""
    cda = kit.cda()
    pdf = reading_pdf(read_document(io.BytesIO(cda), len(cda)), MADE)
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf == reading_pdf(read_document(io.BytesIO(cda), len(cda)), MADE)
    fonts = set(re.findall(rb"/BaseFont /(\S+)", pdf))
    assert fonts
    assert all(b"+BitstreamVera" in one for one in fonts), fonts
    assert pdf.count(b"/FontFile2 ") == len(fonts)
    for forbidden in (b"/Encrypt", b"/JavaScript", b"/SMask", b"/CA ", b"/LZWDecode", b"/EmbeddedFiles", b"/AA "):
        assert forbidden not in pdf, forbidden
    assert re.search(rb"/ID\s*\[", pdf)
    assert b"/Lang (fr-FR)" in pdf
    assert b"/S /GTS_PDFA1" in pdf
    found = re.search(rb"<x:xmpmeta.*?</x:xmpmeta>", pdf, re.DOTALL)
    assert found is not None
    xmp = etree.fromstring(found[0])
    told = {one.tag.rpartition("}")[2]: one.text for one in xmp.iter() if isinstance(one.tag, str)}
    assert (told["part"], told["conformance"]) == ("1", "B")
    assert (told["CreateDate"], told["Producer"]) == ("2026-06-01T12:00:00Z", "DCC gateway")
    assert b"/CreationDate (D:20260601120000+00'00')" in pdf
    assert b"/Producer (DCC gateway)" in pdf
    metadata = pdf[pdf.rindex(b" obj", 0, found.start()) : found.start()]
    assert b"/Filter" not in metadata


def test_colour_profile() -> None:
    """The profile inside is one of version 2 for a display, of the length it says, with every tag within it."""
    profile = srgb_profile()
    assert int.from_bytes(profile[:4]) == len(profile)
    assert (profile[8], profile[12:24], profile[36:40]) == (2, b"mntrRGB XYZ ", b"acsp")
    tags = int.from_bytes(profile[128:132])
    for number in range(tags):
        entry = profile[132 + 12 * number : 144 + 12 * number]
        start, size = int.from_bytes(entry[4:8]), int.from_bytes(entry[8:12])
        assert start % 4 == 0
        assert start + size <= len(profile)


def test_signs_without_a_picture() -> None:
    """Signs that the fonts lack are told in words or as a question mark; French is whole."""
    assert showable("Œdème à l'œil gauche — 5 µg, 10 ≥ 9 €") == "Œdème à l'œil gauche — 5 µg, 10 ≥ 9 €"
    assert showable("IFN-α → ☐ 漢\u200b") == "IFN-alpha -> [ ] ?"


CELLS_OF = st.builds(Cell, st.text(max_size=30), st.booleans(), st.integers(1, 5), st.integers(1, 5))
BLOCKS = st.one_of(
    st.builds(Heading, st.text(max_size=40), st.integers(1, 5)),
    st.builds(Paragraph, st.text(max_size=200)),
    st.builds(Listing, st.lists(st.text(max_size=40), min_size=1, max_size=4).map(tuple), st.booleans()),
    st.builds(
        Table,
        st.lists(st.lists(CELLS_OF, min_size=1, max_size=5).map(tuple), min_size=1, max_size=5).map(tuple),
        st.integers(0, 2),
        st.none() | st.text(max_size=10),
    ),
)


@settings(max_examples=60)
@given(st.lists(BLOCKS, max_size=6))
def test_any_reading_can_be_shown(blocks: list[Any]) -> None:
    """Whatever a document holds, its text, its page and its PDF can be made."""
    reading = Reading("t", (("Patient", "x"),), tuple(blocks))
    assert reading.text
    html.fromstring(reading_page(reading))
    assert reading_pdf(reading, MADE).rstrip().endswith(b"%%EOF")


def test_cell_higher_than_a_page() -> None:
    """A cell that fits on no page is told as text."""
    tall = Table(((Cell("mot\n" * 370), Cell("x")),))
    pdf = reading_pdf(Reading("t", (), (tall, Paragraph("fin"))), MADE)
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 2


def test_plain_text_is_a_reading() -> None:
    """A plain text becomes paragraphs; control characters go."""
    assert plain_reading("t", "a\r\nb\r\n\r\nc\x07").blocks == (Paragraph("a\nb"), Paragraph("c"))


def test_every_sample_is_shown(shared: Path) -> None:
    """All CDA samples of the ANS: each cell and paragraph of their narrative stands in the text, the page and in order."""
    ns = {"h": "urn:hl7-org:v3"}
    seen = 0
    for path in sorted((shared / "samples/cda").glob("*.xml")):
        data = path.read_bytes()
        reading = read_document(io.BytesIO(data), len(data))
        assert dict(reading.facts)["Patient"], path.name
        page = " ".join(words(html.fromstring(reading_page(reading)).text_content()))
        text = " ".join(words(reading.text))
        for element in etree.fromstring(data).iterfind(".//h:section/h:text//h:td", ns):
            cell = " ".join(words("".join(str(piece) for piece in element.itertext())))
            if element.find(".//h:br", ns) is None and cell:
                assert cell in page, path.name
                assert cell in text, path.name
                seen += 1
        assert len(reading_pdf(reading, MADE)) > 10_000
    assert seen > 500


def test_passage_without_punctuation_is_never_lost_in_silence(kit: Any) -> None:
    """A CDA of more than a mebibyte in which tens of kilobytes are plain letters: what is not shown is said, in place."""
    letters = "un mot apres un autre " * 6_000
    picture = "<observationMedia><value representation='B64'>" + "QUJD" * 300_000 + "</value></observationMedia>"
    found = narrative(
        kit, f"<paragraph>Avant {letters} apres.</paragraph><paragraph>Fin, accentuée.</paragraph>{picture}"
    )
    (heading, first, second, *_) = found.blocks
    assert isinstance(first, Paragraph)
    assert first.text.startswith("Avant un mot")
    assert first.text.count("[… un passage est trop long pour être affiché ici") == 1
    assert first.text.endswith("apres.")
    assert second == Paragraph("Fin, accentuée.")
    for shown in (found.text, reading_page(found)):
        assert "il se trouve dans le document joint" in shown
    assert isinstance(heading, Heading)
    short = narrative(kit, f"<paragraph>Avant {letters} apres.</paragraph>")
    assert "un passage" not in short.text
    assert len(words(short.text)) > 30_000


def test_blanks_that_are_left_out_say_nothing(kit: Any) -> None:
    """White space of any length, also outside the root and within tags, is not a passage, and harms nothing."""
    cda = kit.cda().replace(
        b"<text><paragraph>Texte", b"<text " + b" " * 200_000 + b"><paragraph>Texte" + b" " * 200_000
    )
    cda = cda.rstrip() + b"\n" * 1_500_000
    found = read_document(io.BytesIO(cda), len(cda))
    assert found.blocks[-1] == Paragraph("Texte")
