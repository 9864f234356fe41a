"""Who may feed or read which type of document: a table by profession, read line by line, its faults told by line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from io import StringIO

from dcc.cards.nomenclature import PROFESSIONS
from dcc.router.doctypes import document_types, type_by_code

LARGEST = 1 << 16  # bytes of a table; the one shipped has 3 000
TOLD = 30  # faults told of one table
COLUMNS = ("group", "label", "feed", "read")
NEEDED = ("group", "feed", "read")
OTHER = "other"
GROUPS = frozenset({"staff", "organisation", OTHER})  # besides the G15 professions
EVERYTHING = "*"
CLASS = "class:"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one profession may do: terms such as `*`, `class:10`, `60568-3`, `-ATTEST-RESID`."""

    everything: bool
    classes: frozenset[str]
    types: frozenset[str]
    without: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read one cell of the matrix."""
        terms = text.split()
        given = [term for term in terms if not term.startswith("-")]
        return cls(
            everything=EVERYTHING in given,
            classes=frozenset(term.removeprefix(CLASS) for term in given if term.startswith(CLASS)),
            types=frozenset(term for term in given if term != EVERYTHING and not term.startswith(CLASS)),
            without=frozenset(term[1:] for term in terms if term.startswith("-")),
        )

    def covers(self, type_code: str, class_code: str | None) -> bool:
        """Whether a document of this type and class is allowed; what is taken away wins."""
        if type_code in self.without or f"{CLASS}{class_code}" in self.without:
            return False
        return self.everything or type_code in self.types or class_code in self.classes


@dataclass(frozen=True, slots=True)
class Matrix:
    """Types by profession (facts/clinical.md §9): group -> (feed, read)."""

    lines: Mapping[str, tuple[Allowed, Allowed]]

    def may_feed(self, group: str, type_code: str, class_code: str | None) -> bool:
        """Whether this group may deposit the type."""
        return self._line(group)[0].covers(type_code, class_code)

    def may_read(self, group: str, type_code: str, class_code: str | None) -> bool:
        """Whether this group may receive the type."""
        return self._line(group)[1].covers(type_code, class_code)

    def _line(self, group: str) -> tuple[Allowed, Allowed]:
        return self.lines.get(group) or self.lines[OTHER]


class RulesWrong(ValueError):
    """A table that cannot be taken; `problems` names the line of each fault, in French."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(f"{len(problems)} faults in a table of types")
        more = len(problems) - TOLD
        self.problems = (*problems[:TOLD], *((f"et {more} autres fautes",) if more > 0 else ()))


@dataclass(slots=True)
class _Read:
    """A table as far as it was read: its rows by line, what keeps it from being used, what it says of nothing known."""

    rows: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def text_of(octets: bytes) -> str:
    """The text of a table's file. Raises RulesWrong when it is too long or is no text."""
    if len(octets) > LARGEST:
        raise RulesWrong([f"le fichier dépasse {LARGEST >> 10} Kio"])
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise RulesWrong([f"ligne {line} : ce n'est pas du texte en UTF-8"]) from None
    if "\0" in text:
        raise RulesWrong([f"ligne {text.count(chr(10), 0, text.index(chr(0))) + 1} : octet nul"])
    return text


def matrix_of(text: str) -> Matrix:
    """The table that a text holds. Raises RulesWrong where a column, a cell or the line `other` is missing."""
    read = _read(text)
    if read.faults:
        raise RulesWrong(read.faults)
    return Matrix({row["group"]: (Allowed.parse(row["feed"]), Allowed.parse(row["read"])) for _, row in read.rows})


def doubts_of(text: str) -> list[str]:
    """What a table says of groups, types and classes that nobody has: a slip of the pen bars or opens nothing."""
    return _read(text).doubts


def rows_of(text: str) -> list[dict[str, str]]:
    """The lines of a table as they are written, for people and software that look at it."""
    return [{one: row.get(one, "") for one in COLUMNS} for _, row in _read(text).rows]


def check_rules(octets: bytes) -> str:
    """The text of a table that a network sets for itself. Raises RulesWrong at the least fault."""
    text = text_of(octets)
    read = _read(text)
    if read.faults or read.doubts:
        raise RulesWrong([*read.faults, *read.doubts])
    return text


def _read(text: str) -> _Read:
    read = _Read()
    lines = csv.reader(StringIO(text, newline=""), strict=True)
    head: list[str] | None = None
    seen: dict[str, int] = {}
    end = 0
    try:
        for cells in lines:
            line, end = end + 1, lines.line_num  # a quoted cell may hold line ends: the row is named by its first
            if not cells:
                continue
            if head is None:
                head = cells
                if not _head(head, line, read):
                    return read
            elif len(cells) < len(head):
                read.faults.append(f"ligne {line} : {len(cells)} cellules, il en faut {len(head)}")
            else:
                _row(dict(zip(head, cells, strict=False)), line, seen, read)
                if len(cells) > len(head):
                    read.doubts.append(f"ligne {line} : {len(cells)} cellules, il en faut {len(head)}")
    except csv.Error:
        read.faults.append(f"ligne {end + 1} : guillemets mal placés")
    if OTHER not in seen and not read.faults:
        read.faults.append(f"il manque la ligne {OTHER}, qui vaut pour toute profession sans ligne")
    return read


def _head(head: Sequence[str], line: int, read: _Read) -> bool:
    """Whether the columns are there."""
    missing = [one for one in NEEDED if one not in head]
    if len(head) == 1 and ";" in head[0]:
        read.faults.append(f"ligne {line} : séparez les colonnes par des virgules, non par des points-virgules")
        return False
    if missing:
        read.faults.append(f"ligne {line} : il manque la colonne {', '.join(missing)}")
    read.doubts += [f"ligne {line} : colonne {_shown(one)} inconnue" for one in head if one not in COLUMNS]
    read.doubts += [f"ligne {line} : la colonne {one} est là deux fois" for one in COLUMNS if head.count(one) > 1]
    return not read.faults


def _row(row: Mapping[str, str], line: int, seen: dict[str, int], read: _Read) -> None:
    group = row["group"]
    if group in seen:
        read.doubts.append(f"ligne {line} : le groupe {_shown(group)} est déjà à la ligne {seen[group]}")
    elif group not in GROUPS and group not in PROFESSIONS:
        read.doubts.append(
            f"ligne {line} : {_shown(group)} n'est ni une profession (G15), ni staff, organisation ou other"
        )
    seen[group] = line
    read.rows.append((line, row))
    for column in ("feed", "read"):
        read.doubts += [f"ligne {line}, {column} : {one}" for one in _terms(row[column])]


def _terms(cell: str) -> Iterator[str]:
    """What is wrong with the terms of one cell."""
    for term in cell.split():
        said = term.removeprefix("-")
        if term == EVERYTHING:
            continue
        if said.startswith(CLASS):
            if said.removeprefix(CLASS) not in classes():
                yield f"{_shown(term)} n'est pas une classe du CI-SIS"
        elif type_by_code(said) is None:
            yield f"{_shown(term)} n'est pas un type du CI-SIS"


@cache
def classes() -> frozenset[str]:
    """The classes that a type may have."""
    return frozenset(one.class_code for one in document_types().values() if one.class_code is not None)


def _shown(word: str) -> str:
    """A word of the file in a sentence: short, and nothing that a terminal would obey."""
    if not word.strip():
        return "(vide)"
    return word[:40] if word.isprintable() else "(illisible)"


@cache
def default_text() -> str:
    """The careful default, as it is shipped (`data/professions.csv`)."""
    return files(__package__).joinpath("data", "professions.csv").read_text(encoding="utf-8")


@cache
def default_matrix() -> Matrix:
    """The careful default, read once."""
    return matrix_of(default_text())


def group_of(kind: str, profession: str | None) -> str:
    """The line of the matrix for an account: its G15 profession, `staff`, or `organisation`."""
    if kind == "organisation":
        return "organisation"
    return profession or "staff"
