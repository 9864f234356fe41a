"""The narrative text of CDA sections as blocks (CDA R2 §4.3.5): bounded, without links, style sheets or code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from dcc.router import oids
from dcc.router.blocks import Block, Cell, Heading, Listing, Paragraph, Table
from dcc.router.xml import LEFT_OUT

H = f"{{{oids.HL7}}}"
CHARACTERS = 150_000  # of one document that are shown
CELLS = 6_000  # of all its tables
SPAN = 60  # columns or rows that one cell may cover
COLUMNS = 60
MORE = "La suite est trop longue pour être affichée ici : elle se trouve dans le document joint."
OMITTED = " [… un passage est trop long pour être affiché ici : il se trouve dans le document joint …] "
_BLOCK_TAGS = frozenset({"paragraph", "table", "list"})
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class _Full(Exception):
    """Enough was shown."""


@dataclass(slots=True)
class Shown:
    """What has been shown of one document so far, and how much more may be."""

    blocks: list[Block] = field(default_factory=list)
    characters: int = CHARACTERS
    cells: int = CELLS

    def add(self, block: Block, text: int, cells: int = 0) -> None:
        """Show one block. Raises _Full where it is too long."""
        if text > self.characters or cells > self.cells:
            raise _Full
        self.characters -= text
        self.cells -= cells
        self.blocks.append(block)

    def lines(self, text: str) -> None:
        """Show a text that is not narrative markup, a paragraph for each empty line."""
        try:
            for part in re.split(r"\n[ \t]*\n", clean(text.replace("\r\n", "\n").replace("\r", "\n"))):
                if part.strip():
                    self.add(Paragraph(part.strip("\n")), len(part))
        except _Full:
            self.blocks.append(Paragraph(MORE))


def body_blocks(body: etree._Element) -> tuple[Block, ...]:
    """The sections of a structuredBody, in order."""
    shown = Shown()
    try:
        for section in body.iterfind(f"{H}component/{H}section"):
            _section(section, 1, shown)
    except _Full:
        shown.blocks.append(Paragraph(MORE))
    return tuple(shown.blocks)


def clean(text: str) -> str:
    """Without control characters and signs that reverse the direction of reading (R-NAME); what is missing is said."""
    return _CONTROL.sub("", text).replace(LEFT_OUT, OMITTED)


def _section(section: etree._Element, level: int, shown: Shown) -> None:
    title = section.find(f"{H}title")
    code = section.find(f"{H}code")
    told = _inline(title) if title is not None else ""
    told = told or clean((code.get("displayName") or "") if code is not None else "")
    if told:
        shown.add(Heading(told[:500], min(level, 5)), len(told))
    text = section.find(f"{H}text")
    if text is not None:
        _flow(text, shown)
    for inner in section.iterfind(f"{H}component/{H}section"):
        _section(inner, level + 1, shown)


def _flow(element: etree._Element, shown: Shown) -> None:
    """Mixed content: running text between blocks becomes paragraphs."""
    running: list[str] = []

    def flush() -> None:
        text = _tidy("".join(running))
        running.clear()
        if text:
            shown.add(Paragraph(text), len(text))

    for piece in _pieces(element):
        if isinstance(piece, str):
            running.append(piece)
            continue
        flush()
        name = _name(piece)
        if name == "table":
            _table(piece, shown)
        elif name == "list":
            _list(piece, shown)
        else:
            _flow(piece, shown)
    flush()


def _pieces(element: etree._Element) -> Iterator[str | etree._Element]:
    """Texts and blocks in order; inline elements are their text."""
    yield _SPACES.sub(" ", element.text or "")
    for child in element:
        name = _name(child)
        if name in _BLOCK_TAGS:
            yield child
        elif name == "caption":
            yield f"{_inline(child)}\n"
        elif name == "br":
            yield "\n"
        elif name == "renderMultiMedia":
            yield " [Image ou pièce incluse dans le document joint] "
        elif name == "footnote":
            yield f" ({_inline(child)})"
        elif name:
            yield from _pieces(child)
        yield _SPACES.sub(" ", child.tail or "")


def _inline(element: etree._Element) -> str:
    """The text of an element and of all blocks within it, a line for each block."""
    parts: list[str] = []
    size = 0
    for piece in _pieces(element):
        if isinstance(piece, str):
            parts.append(piece)
        elif _name(piece) == "table":
            rows = (_row_text(row) for row, _ in _rows(piece))
            parts.append("\n" + "\n".join(rows) + "\n")
        elif _name(piece) == "list":
            items = (f"- {_inline(item)}" for item in piece.iterfind(f"{H}item"))
            parts.append("\n" + "\n".join(items) + "\n")
        else:
            parts.append("\n" + _inline(piece) + "\n")
        size += len(parts[-1])
        if size > CHARACTERS:  # here, not at the end: what is nested would be read again at each level (I8)
            raise _Full
    return _tidy("".join(parts))


def _row_text(row: etree._Element) -> str:
    return " ; ".join(filter(None, (_inline(cell).replace("\n", " ") for cell in row if _name(cell) in ("td", "th"))))


def _list(element: etree._Element, shown: Shown) -> None:
    caption = element.find(f"{H}caption")
    if caption is not None and (told := _inline(caption)):
        shown.add(Paragraph(told), len(told))
    items = tuple(filter(None, (_inline(item) for item in element.iterfind(f"{H}item"))))
    if items:
        shown.add(Listing(items, element.get("listType") == "ordered"), sum(map(len, items)), len(items))


def _table(element: etree._Element, shown: Shown) -> None:
    caption = element.find(f"{H}caption")
    head: list[tuple[Cell, ...]] = []
    rows: list[tuple[Cell, ...]] = []
    room = shown.cells
    for row, above in _rows(element):
        cells = tuple(_cell(one) for one in row if _name(one) in ("td", "th"))[:COLUMNS]
        if not cells:
            continue
        room -= len(cells)
        if room < 0:
            raise _Full
        (head if above else rows).append(cells)
    told = _inline(caption) if caption is not None else None
    everything = (*head, *rows)
    if everything:
        text = sum(len(cell.text) for row in everything for cell in row) + len(told or "")
        shown.add(Table(everything, len(head), told or None), text, sum(map(len, everything)))


def _rows(table: etree._Element) -> Iterator[tuple[etree._Element, bool]]:
    """The table's own rows, and whether each stands in its head; never those of a table within a cell."""
    for child in table:
        if _name(child) == "tr":
            yield child, False
        elif _name(child) in ("thead", "tbody", "tfoot"):
            yield from ((row, _name(child) == "thead") for row in child.iterfind(f"{H}tr"))


def _cell(element: etree._Element) -> Cell:
    return Cell(
        _inline(element), _name(element) == "th", _span(element.get("colspan")), _span(element.get("rowspan"))
    )  # fmt: skip


def _span(value: str | None) -> int:
    return min(SPAN, max(1, int(value))) if value and value.isascii() and value.isdigit() and len(value) < 5 else 1


def _tidy(text: str) -> str:
    """Spaces collapsed, at most one empty line in a row, nothing at the ends."""
    lines = [" ".join(line.split(" ")).strip() for line in clean(text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_SPACES.sub(" ", line) for line in lines)).strip()


def _name(element: etree._Element) -> str:
    """The local name in the HL7 namespace; empty: something else."""
    tag = element.tag
    return tag[len(H) :] if isinstance(tag, str) and tag.startswith(H) else ""
