"""Document types of the CI-SIS (class and format codes), and who may feed or read which type."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

LOINC = "2.16.840.1.113883.6.1"
CLASS_SYSTEM = "1.2.250.1.213.1.1.4.1"  # TRE_A03: classes
N1_TEMPLATE = "1.3.6.1.4.1.19376.1.2.20"  # IHE XDS-SD
# ASS_A11: format of an unstructured body, by its media type
N1_FORMATS: Mapping[str, str] = {
    "application/pdf": "urn:ihe:iti:xds-sd:pdf:2008",
    "text/plain": "urn:ihe:iti:xds-sd:text:2008",
    "image/jpeg": "urn:ihe:iti-fr:xds-sd:jpeg:2010",
    "text/rtf": "urn:ihe:iti-fr:xds-sd:rtf:2010",
    "application/rtf": "urn:ihe:iti-fr:xds-sd:rtf:2010",
    "image/tiff": "urn:ihe:iti-fr:xds-sd:tiff:2010",
}


@dataclass(frozen=True, slots=True)
class DocumentType:
    """One type of JDV_J07 with its class, and the format code of each structured template it may have."""

    code: str
    system: str
    label: str
    class_code: str | None
    formats: tuple[tuple[str, str], ...]  # (templateId root, formatCode)

    def structured_format(self, templates: Iterable[str]) -> str | None:
        """The N3 format code: the last declared template that the type lists decides (facts §2)."""
        known = dict(self.formats)
        for template in reversed(list(templates)):
            root = template.split("^", 1)[0]
            if root in known:
                return known[root]
        return None


def _rows(name: str, override: Path | None = None) -> Iterator[dict[str, str]]:
    source = override or files(__package__).joinpath("data", name)
    with source.open(encoding="utf-8") as lines:
        yield from csv.DictReader(lines)


@cache
def document_types() -> Mapping[tuple[str, str], DocumentType]:
    """Every known type by (code, code system), read once from `data/doctypes.csv`."""
    found: dict[tuple[str, str], DocumentType] = {}
    for row in _rows("doctypes.csv"):
        key = (row["type_code"], row["system"])
        formats = found[key].formats if key in found else ()
        if row["template"] and row["format"]:
            formats = (*formats, (row["template"], row["format"]))
        found[key] = DocumentType(*key, row["label"], row["class_code"] or None, formats)
    return found


def document_type(code: str, system: str = LOINC) -> DocumentType | None:
    """The type with this code in this code system; None: not a type of JDV_J07."""
    return document_types().get((code, system))


def type_by_code(code: str) -> DocumentType | None:
    """The type with this code in any system: codes are unique in JDV_J07."""
    return next((one for one in document_types().values() if one.code == code), None)


def format_code(found: DocumentType, templates: Sequence[str], media_type: str | None) -> str | None:
    """The format code of a document: by its body's media type in N1, by its template in N3."""
    if media_type is not None:
        return N1_FORMATS.get(media_type.lower())
    return found.structured_format(templates)


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
            everything="*" in given,
            classes=frozenset(term[6:] for term in given if term.startswith("class:")),
            types=frozenset(term for term in given if term != "*" and not term.startswith("class:")),
            without=frozenset(term[1:] for term in terms if term.startswith("-")),
        )

    def covers(self, type_code: str, class_code: str | None) -> bool:
        """Whether a document of this type and class is allowed; what is taken away wins."""
        if type_code in self.without or f"class:{class_code}" in self.without:
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
        return self.lines.get(group) or self.lines["other"]


def load_matrix(path: Path | None = None) -> Matrix:
    """The matrix of a network, or the careful default of `data/professions.csv`.

    Raises KeyError when a column, or the line `other`, is missing.
    """
    lines = {
        row["group"]: (Allowed.parse(row["feed"]), Allowed.parse(row["read"])) for row in _rows("professions.csv", path)
    }
    return Matrix({"other": lines["other"], **lines})


@cache
def default_matrix() -> Matrix:
    """The default matrix, read once."""
    return load_matrix()


def group_of(kind: str, profession: str | None) -> str:
    """The line of the matrix for an account: its G15 profession, `staff`, or `organisation`."""
    if kind == "organisation":
        return "organisation"
    return profession or "staff"
