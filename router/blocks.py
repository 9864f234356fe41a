"""A document as a person reads it: a title, lines of facts, and headings, paragraphs, lists and tables in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a section; `level` 1 is the highest below the document's own title."""

    text: str
    level: int = 1
    kind: str = "heading"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; line breaks are kept."""

    text: str
    kind: str = "paragraph"


@dataclass(frozen=True, slots=True)
class Listing:
    """Items of a list."""

    items: tuple[str, ...]
    ordered: bool = False
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; `columns` and `rows` are how many it covers."""

    text: str
    header: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first `head` rows are headings of columns."""

    rows: tuple[tuple[Cell, ...], ...]
    head: int = 0
    caption: str | None = None
    kind: str = "table"


Block = Heading | Paragraph | Listing | Table


@dataclass(frozen=True, slots=True)
class Reading:
    """One document made readable."""

    title: str
    facts: tuple[tuple[str, str], ...]  # (label, value), French
    blocks: tuple[Block, ...]
    language: str = "fr-FR"

    @property
    def text(self) -> str:
        """The whole as plain text."""
        facts = "\n".join(f"{label} : {value}" for label, value in self.facts)
        return "\n\n".join(filter(None, (self.title, facts, *lines_of_text(self.blocks))))

    def shortened(self, characters: int, more: str) -> Reading:
        """At most about so many characters of it; `more` says where the rest is."""
        kept: list[Block] = []
        left = characters
        for one, told in zip(self.blocks, lines_of_text(self.blocks), strict=True):
            left -= len(told)
            if left < 0:
                kept.append(Paragraph(more))
                break
            kept.append(one)
        return replace(self, blocks=tuple(kept))


def lines_of_text(blocks: Sequence[Block]) -> Iterator[str]:
    """The blocks as plain text, paragraphs separated by empty lines; cells of a row by a bar."""
    for one in blocks:
        match one:
            case Heading():
                yield one.text
            case Paragraph():
                yield one.text
            case Listing():
                marks = (f"{number}. " if one.ordered else "- " for number in range(1, len(one.items) + 1))
                yield "\n".join(mark + item.replace("\n", " ") for mark, item in zip(marks, one.items, strict=True))
            case Table():
                rows = (" | ".join(cell.text.replace("\n", " ") for cell in row) for row in one.rows)
                yield "\n".join(filter(None, ((one.caption or ""), *rows)))
