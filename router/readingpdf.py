"""A reading as a PDF: the copy that a person opens beside the archive (ECO.2.1.1, ECO.2.1.5)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Paragraph as Text
from reportlab.platypus import SimpleDocTemplate
from reportlab.platypus import Table as Grid
from reportlab.platypus.doctemplate import LayoutError
from reportlab.platypus.flowables import Flowable, Spacer

from dcc.router.blocks import Block, Heading, Listing, Paragraph, Reading, Table, lines_of_text
from dcc.router.pdfa import BOLD, REGULAR, ArchivalCanvas, showable

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
WIDEST = 14  # columns: a wider table is told line by line
LONG_CELL = 1_500  # characters: a longer one would not fit on a page
NOTE = "Copie lisible produite par la passerelle à partir du document CDA, qui seul fait foi."
INK, RULE, SHADE = colors.HexColor(0x1A1A1A), colors.HexColor(0x8A8A8A), colors.HexColor(0xEEF1F4)


def reading_pdf(reading: Reading, made: datetime) -> bytes:
    """The reading as PDF/A-1b in form; the same input gives the same octets."""
    try:
        return _built(reading, _flow(reading.blocks), made)
    except LayoutError:  # a cell higher than a page: the same words without the grid
        lines: list[Flowable] = [_text(one, "body") for one in lines_of_text(reading.blocks)]
        return _built(reading, lines, made)


def _built(reading: Reading, flow: list[Flowable], made: datetime) -> bytes:
    out = io.BytesIO()
    title = showable(" ".join(reading.title.split()))[:200]
    document = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN
    )
    patient = showable(next((value for label, value in reading.facts if label == "Patient"), ""))

    def foot(canvas: Any, _: Any) -> None:
        canvas.saveState()
        canvas.setFont(REGULAR, 7)
        canvas.setFillColor(INK)
        canvas.drawString(MARGIN, 10 * mm, f"{title[:70]} - {patient[:50]}".strip(" -"))
        canvas.drawRightString(A4[0] - MARGIN, 10 * mm, f"Page {canvas.getPageNumber()}")
        canvas.restoreState()

    story = [_text(title, "title"), *_facts(reading.facts), *flow, Spacer(1, 8), _text(NOTE, "note")]
    document.build(
        story, onFirstPage=foot, onLaterPages=foot,
        canvasmaker=partial(ArchivalCanvas, made=made, title=title, language=reading.language),
    )  # fmt: skip
    return out.getvalue()


@cache
def _styles() -> dict[str, ParagraphStyle]:
    def style(name: str, font: str, size: float, before: float = 0, after: float = 3) -> ParagraphStyle:
        return ParagraphStyle(
            name, fontName=font, fontSize=size, leading=size * 1.35, spaceBefore=before, spaceAfter=after,
            textColor=INK, splitLongWords=1,
        )  # fmt: skip

    return {
        "title": style("title", BOLD, 14, after=6),
        "h1": style("h1", BOLD, 11, 10, 4),
        "h2": style("h2", BOLD, 9.5, 6, 3),
        "body": style("body", REGULAR, 9),
        "cell": style("cell", REGULAR, 7.5, after=0),
        "head": style("head", BOLD, 7.5, after=0),
        "note": style("note", REGULAR, 7),
    }


class _HeadingText(Text):
    """A heading that also stands in the outline of the file."""

    def __init__(self, text: str, level: int) -> None:
        base: Any = super()
        base.__init__(_markup(text), _styles()["h1" if level == 1 else "h2"])
        self._entry = showable(" ".join(text.split()))[:120]
        self.keepWithNext = 1

    def draw(self) -> None:
        self.canv.outline(self._entry)
        base: Any = super()
        base.draw()


def _markup(text: str) -> str:
    """Nothing in the text is markup: every sign is itself, line ends are kept."""
    return escape(showable(text)).replace("\n", "<br/>")


def _text(text: str, style: str) -> Text:
    return Text(_markup(text), _styles()[style])


def _facts(facts: Sequence[tuple[str, str]]) -> list[Flowable]:
    if not facts:
        return []
    grid = Grid([[_text(label, "head"), _text(value, "cell")] for label, value in facts], colWidths=[110, WIDTH - 110])
    grid.setStyle([
        ("FONTNAME", (0, 0), (-1, -1), REGULAR), ("VALIGN", (0, 0), (-1, -1), "TOP"), ("BACKGROUND", (0, 0), (-1, -1), SHADE),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ])  # fmt: skip
    return [grid, Spacer(1, 6)]


def _flow(blocks: Sequence[Block]) -> list[Flowable]:
    found: list[Flowable] = []
    for one in blocks:
        match one:
            case Heading():
                found.append(_HeadingText(one.text, one.level))
            case Paragraph():
                found += [_text(part, "body") for part in one.text.split("\n\n") if part.strip()]
            case Listing():
                marks = (f"{number}. " if one.ordered else "• " for number in range(1, len(one.items) + 1))
                found += [_text(mark + item, "body") for mark, item in zip(marks, one.items, strict=True)]
            case Table():
                found += _table(one)
    return found


def _table(table: Table) -> list[Flowable]:
    columns = max(sum(cell.columns for cell in row) for row in table.rows)
    longest = max(len(cell.text) for row in table.rows for cell in row)
    if columns > WIDEST or longest > LONG_CELL:
        return [_text(line, "body") for line in "\n".join(lines_of_text([table])).split("\n") if line.strip()]
    grid, spans, lengths = _placed(table, columns)
    weights = [min(max(length, 6), 60) for length in lengths]
    made = Grid(
        grid, colWidths=[WIDTH * weight / sum(weights) for weight in weights], repeatRows=min(table.head, 3),
        splitInRow=1, spaceAfter=6, spaceBefore=2,
    )  # fmt: skip
    made.setStyle([
        ("GRID", (0, 0), (-1, -1), 0.4, RULE), ("FONTNAME", (0, 0), (-1, -1), REGULAR), ("VALIGN", (0, 0), (-1, -1), "TOP"),
        *((("BACKGROUND", (0, 0), (-1, table.head - 1), SHADE),) if table.head else ()),
        ("LEFTPADDING", (0, 0), (-1, -1), 3), ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2), *spans,
    ])  # fmt: skip
    caption: list[Flowable] = [_text(table.caption, "head")] if table.caption else []
    return [*caption, made]


def _placed(table: Table, columns: int) -> tuple[list[list[Any]], list[tuple[Any, ...]], list[int]]:
    """Cells on a grid, as HTML places them: a cell that covers rows pushes those below it aside."""
    height = len(table.rows)
    grid: list[list[Any]] = [[""] * columns for _ in range(height)]
    taken: set[tuple[int, int]] = set()
    spans: list[tuple[Any, ...]] = []
    lengths = [0] * columns
    for number, row in enumerate(table.rows):
        column = 0
        for cell in row:
            while (number, column) in taken:
                column += 1
            if column >= columns:
                break
            right = min(column + cell.columns, columns) - 1
            bottom = min(number + cell.rows, height) - 1
            # a heading must not reach into the rows below it: they are split from it at a page's end
            bottom = min(bottom, table.head - 1) if number < table.head else bottom
            taken |= {(y, x) for y in range(number, bottom + 1) for x in range(column, right + 1)}
            grid[number][column] = _text(cell.text, "head" if cell.header or number < table.head else "cell")
            if right > column or bottom > number:
                spans.append(("SPAN", (column, number), (right, bottom)))
            else:
                lengths[column] = max(lengths[column], len(cell.text))
            column = right + 1
    return grid, spans, lengths
