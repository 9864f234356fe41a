"""Writes docs/interoperability.md from tests/peers/interop.toml, whose every cell the tests measure.

Run `python docs/make_interoperability.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "peers" / "interop.toml"
HEAD = """# Interoperability

What other S/MIME programs read of what this gateway writes, and what it reads of what they make. Every cell is measured when
the tests run (`tests/peers/`): *yes* means decrypted and verified under the root, octet for octet the same; *no* means that
the program was asked and could not, for the reason listed below the table; *–* means that it has no way to be asked. This
page is written by `docs/make_interoperability.py`; a test compares the two, and a program that learns something new fails its
cell.

"""
TITLES = {
    "we_write": "## What we write, read by the others",
    "we_read": "## What the others make, read by us",
}


def table(name: str, told: dict[str, Any], programs: dict[str, str]) -> list[str]:
    """One table, and the reasons of its noes."""
    rows = told[name]
    columns = [one for one in programs if any(one in row["found"] for row in rows.values())]
    lines = [TITLES[name], "", "| " + " | ".join(["", *(programs[one] for one in columns)]) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows.values():
        cells = []
        for one in columns:
            kind, _, words = row["found"].get(one, "-").partition(": ")
            cells.append({"yes": "yes", "no": "**no**"}.get(kind, "–"))
            if kind == "no":
                reasons[one, words].append(row["title"])
        lines.append("| " + " | ".join([row["title"], *cells]) + " |")
    lines += ["", "Reasons:", ""]
    for (one, words), titles in sorted(reasons.items(), key=lambda item: columns.index(item[0][0])):
        lines.append(f"* {programs[one]}, `{words}`: {'; '.join(titles)}.")
    return [*lines, ""]


def page() -> str:
    """The page as it must be."""
    told = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    programs = {key: one["name"] for key, one in told["programs"].items()}
    lines = [*table("we_write", told, programs), *table("we_read", told, programs), "## Notes", ""]
    lines += [f"* {programs[key]} (Debian: `{one['package']}`). {one['note']}" for key, one in told["programs"].items()]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "interoperability.md").write_text(page(), encoding="utf-8")
