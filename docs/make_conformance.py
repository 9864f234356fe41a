"""Writes docs/conformance.md: every source that the code cites, and where it is applied and tested.

Run `python docs/make_conformance.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("gateway", "router", "mailbox", "smime", "cards")
SOURCE = re.compile(
    r"RFC \d{3,4}(?: §[\d.]+\d)?|ECO\.\d[\d.]*\d|CSP [LR]\d{4}-\d+(?: [IV]+)?|X\.690 §[\d.]+\d|\bR-[A-Z][A-Z0-9-]+\b"
)
HEAD = """# Conformance

Every rule names its source where it is applied. This page is written by `docs/make_conformance.py` from the code; a test compares
the two. `R-…` are the rules of S/MIME reading collected for this project (one place for each, named in `smime/`).

| source | applied in | cited by tests |
|---|---|---|
"""


def citations(places: list[Path]) -> dict[str, set[str]]:
    """Source -> files that cite it, relative to the project."""
    found: dict[str, set[str]] = defaultdict(set)
    for place in places:
        for path in sorted(place.rglob("*.py")):
            for source in SOURCE.findall(path.read_text(encoding="utf-8")):
                found[source].add(str(path.relative_to(ROOT)))
    return found


def order(source: str) -> tuple[str, list[int]]:
    """RFC by number and section."""
    return re.sub(r"[\d.§ ]+", " ", source), [int(one) for one in re.findall(r"\d+", source)]


def page() -> str:
    """The page as it must be."""
    code = citations([ROOT / room for room in ROOMS])
    tests = citations([ROOT / "tests"])
    rows = []
    for source in sorted(code, key=order):
        applied = ", ".join(f"`{path}`" for path in sorted(code[source]))
        tested = ", ".join(f"`{path}`" for path in sorted(tests.get(source, ()))) or "–"
        rows.append(f"| {source} | {applied} | {tested} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "conformance.md").write_text(page(), encoding="utf-8")
