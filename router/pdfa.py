"""PDF files made to be kept: fonts inside, colours defined, metadata as XMP (PDF/A-1b, ISO 19005-1; ECO.2.1.1)."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import reportlab
from reportlab.lib.utils import TimeStamp
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFStream, PDFString
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

REGULAR, BOLD = "DccVera", "DccVera-Bold"
FONTS = Path(reportlab.__file__).parent / "fonts"
PRODUCER = "DCC gateway"
OUTPUT = "sRGB IEC61966-2.1"
# Signs that these fonts lack, in words that every reader understands
INSTEAD = {
    "α": "alpha", "β": "bêta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda", "μ": "µ",
    "σ": "sigma", "τ": "tau", "ω": "oméga", "Δ": "Delta", "Σ": "Sigma", "→": "->", "←": "<-", "↑": "(haut)",
    "↓": "(bas)", "☐": "[ ]", "☑": "[x]", "☒": "[x]", "✓": "[x]", "✔": "[x]", "■": "-", "▪": "-", "●": "•",
    "‑": "-", "\u2009": " ", "\u202f": "\u00a0", "\u200b": "", "ﬁ": "fi", "ﬂ": "fl",
}  # fmt: skip


@cache
def _glyphs() -> frozenset[int]:
    """Register the fonts once; the characters that both can show."""
    regular, bold = TTFont(REGULAR, str(FONTS / "Vera.ttf")), TTFont(BOLD, str(FONTS / "VeraBd.ttf"))
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(bold)
    return frozenset(regular.face.charToGlyph) & frozenset(bold.face.charToGlyph)


def showable(text: str) -> str:
    """The text in characters that the fonts have: a sign without a picture would vanish."""
    known = _glyphs()
    if all(ord(sign) in known for sign in text):
        return text
    return "".join(
        sign if ord(sign) in known or sign == "\n" else INSTEAD.get(sign, "?" if sign.isprintable() else "")
        for sign in text
    )  # fmt: skip


class ArchivalCanvas(Canvas):
    """A canvas whose file is PDF/A-1b in form; `made` is the time it states, so that the same input gives the same."""

    def __init__(self, filename: Any, *, made: datetime, title: str, language: str, **options: Any) -> None:
        _glyphs()
        base: Any = super()  # reportlab carries no types
        base.__init__(
            filename, **{**options, "pdfVersion": (1, 4), "initialFontName": REGULAR, "lang": language, "invariant": 1}
        )
        moment = made.astimezone(UTC)
        stamp: Any = TimeStamp(1)
        stamp.t, stamp.lt, stamp.YMDhms = moment.timestamp(), moment.timetuple(), moment.timetuple()[:6]
        self._doc._timeStamp = stamp
        self._made = moment
        self._stated = title
        self._language = language
        self._headings = 0

    def outline(self, text: str) -> None:
        """Name this place in the outline of the file."""
        self._headings += 1
        base: Any = super()
        base.bookmarkPage(f"h{self._headings}")
        base.addOutlineEntry(text, f"h{self._headings}", 0)

    def save(self) -> None:
        """Write the file; the description and the colours are added last, when nothing can change any more."""
        info = self._doc.info
        info.title, info.author, info.subject, info.keywords = self._stated, PRODUCER, "", ""
        info.creator = info.producer = PRODUCER
        catalog: Any = self._doc.Catalog
        catalog.Metadata = _stream(_xmp(self._stated, self._made, self._language), Type="Metadata", Subtype="XML")
        catalog.OutputIntents = PDFArray([
            PDFDictionary({
                "Type": PDFName("OutputIntent"), "S": PDFName("GTS_PDFA1"), "Info": PDFString(OUTPUT),
                "OutputConditionIdentifier": PDFString(OUTPUT),
                "DestOutputProfile": self._doc.Reference(_stream(srgb_profile(), N=3)),
            })
        ])  # fmt: skip
        catalog.__NoDefault__ = [*type(catalog).__NoDefault__, "OutputIntents"]
        base: Any = super()
        base.save()


class _PlainStream(PDFStream):
    """A stream without a filter, which ISO 19005-1 §6.7.2 asks of the metadata."""

    def format(self, document: Any) -> bytes:
        base: Any = super()
        written: bytes = base.format(document)
        head, mark, content = written.partition(b"stream")
        return head.replace(b"/Filter [  ]", b"") + mark + content


def _stream(content: bytes, **entries: str | int) -> Any:
    named = {key: PDFName(value) if isinstance(value, str) else value for key, value in entries.items()}
    made: Any = _PlainStream
    return made(PDFDictionary(named), content, filters=())


def _xmp(title: str, made: datetime, language: str) -> bytes:
    """What the information dictionary says, as XMP, and the claim to PDF/A-1b (ISO 19005-1 §6.7)."""
    at = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">'
        "<pdfaid:part>1</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>"
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{escape(title)}</rdf:li></rdf:Alt></dc:title>'
        f"<dc:creator><rdf:Seq><rdf:li>{PRODUCER}</rdf:li></rdf:Seq></dc:creator>"
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default"></rdf:li></rdf:Alt></dc:description>'
        f"<dc:language><rdf:Bag><rdf:li>{escape(language)}</rdf:li></rdf:Bag></dc:language>"
        f"<xmp:CreatorTool>{PRODUCER}</xmp:CreatorTool><xmp:CreateDate>{at}</xmp:CreateDate>"
        f"<xmp:ModifyDate>{at}</xmp:ModifyDate><pdf:Producer>{PRODUCER}</pdf:Producer><pdf:Keywords></pdf:Keywords>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


@cache
def srgb_profile() -> bytes:
    """A small ICC profile of sRGB, version 2 as PDF 1.4 asks: primaries adapted to D50, gamma 2.2 (ICC.1:2001-04)."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    name = OUTPUT.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = [
        (b"desc", description + bytes(-len(description) % 4)),
        (b"cprt", b"text\0\0\0\0Public domain\0\0\0"),
        (b"wtpt", xyz(0.9642, 1.0, 0.8249)),
        (b"rXYZ", xyz(0.4360, 0.2225, 0.0139)),
        (b"gXYZ", xyz(0.3851, 0.7169, 0.0971)),
        (b"bXYZ", xyz(0.1431, 0.0606, 0.7141)),
        (b"rTRC", curve),
        (b"gTRC", curve),
        (b"bTRC", curve),
    ]
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for tag, content in tags:
        table += tag + struct.pack(">II", at + len(data), len(content))
        data += content
    head = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI3i4s44x",
        at + len(data), b"\0\0\0\0", 0x02100000, b"mntr", b"RGB ", b"XYZ ", 2000, 1, 1, 0, 0, 0, b"acsp",
        b"\0\0\0\0", 0, b"\0\0\0\0", b"\0\0\0\0", 0, 0, 63190, 65536, 54061, b"\0\0\0\0",
    )  # fmt: skip
    return head + table + data
