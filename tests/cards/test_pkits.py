"""NIST's path tests: nothing is accepted that should not be, and the page names every disagreement."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import pkits

DOCS = Path(__file__).resolve().parents[2] / "docs"
INVALID = [name for name in pkits.names() if not (name.startswith("Valid") or name in pkits.NEUTRAL_VALID)]


def test_all_the_data_is_there() -> None:
    """The suite is whole: 223 last certificates, 173 lists."""
    assert len(pkits.names()) == 223
    assert len(list((pkits.folder() / "crls").iterdir())) == 173


@pytest.mark.parametrize("name", INVALID)
def test_what_is_not_valid_is_not_accepted(name: str) -> None:
    """A path that PKITS calls invalid is never called valid here."""
    assert not pkits.outcome(name).found


def test_the_page_tells_what_is_so() -> None:
    """docs/pkits.md is what `python docs/make_pkits.py` writes: the numbers, and every disagreement with its reason."""
    spec = importlib.util.spec_from_file_location("make_pkits", DOCS / "make_pkits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "pkits.md").read_text(encoding="utf-8") == module.page()


def test_most_valid_paths_are_valid() -> None:
    """Of the valid ones all but those of lists that IGC-Santé does not publish are accepted."""
    outcomes = [pkits.outcome(name) for name in pkits.names()]
    assert sum(one.agrees for one in outcomes) >= 203
