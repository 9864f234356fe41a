"""The extraction of MSSanté mailboxes as a parser: whatever the file holds, rows or a refusal (facts/cards §10)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.cards import extraction
from dcc.cards.extraction import ADDRESS, FIELDS, KIND, Extraction, NotAnExtraction

HEADER = "|".join([KIND, ADDRESS, *FIELDS.values()])


def rows(path: Path, data: bytes) -> list[dict[str, str | None]]:
    path.write_bytes(data)
    with Extraction(path) as source:
        return list(source.rows())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", HEADER.encode() + b"\n"]))
def test_any_file(tmp_path: Path, tail: bytes, head: bytes) -> None:
    """Any octets are rows with an address, or a refusal that repeats nothing of them."""
    with contextlib.suppress(NotAnExtraction):
        assert all(one["address"] for one in rows(tmp_path / "f", head + tail))


FIELD = st.text(st.characters(blacklist_characters="|\r\n", blacklist_categories=["Cs", "Cc"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[FIELD] * len(FIELDS)), max_size=5))
def test_what_was_written_is_read(tmp_path: Path, people: list[tuple[str, ...]]) -> None:
    """Every field comes back, without the blanks around it; an empty one is None."""
    lines = [HEADER, *("|".join(["PER", "A@b.fr", *one]) for one in people)]
    found = rows(tmp_path / "f", "\n".join(lines).encode())
    assert [[one[name] for name in FIELDS if name != "profession"] for one in found] == [
        [value.strip() or None for name, value in zip(FIELDS, one, strict=True) if name != "profession"]
        for one in people
    ]  # fmt: skip
    assert {one["address"] for one in found} <= {"a@b.fr"}


def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without end and a text without end are refused."""
    with pytest.raises(NotAnExtraction, match="dépasse"):
        rows(tmp_path / "f", HEADER.encode() + b"\n" + b"x" * (extraction.LINE * 4 + 1))
    monkeypatch.setattr(extraction, "MOST_OCTETS", 1000)
    line: Any = b"PER|a@b.fr" + b"|" * len(FIELDS) + b"\n"
    with pytest.raises(NotAnExtraction, match="dépasse"):
        rows(tmp_path / "f", HEADER.encode() + b"\n" + line * 100)
