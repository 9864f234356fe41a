"""Document types of the CI-SIS, with their class and format codes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

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


def _rows(name: str) -> Iterator[dict[str, str]]:
    with files(__package__).joinpath("data", name).open(encoding="utf-8") as lines:
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
