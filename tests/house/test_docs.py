"""The documentation says what is true: conformance, commands, reasons, links."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from typer.main import get_command

from dcc.gateway.cli import build

ROOT = Path(__file__).resolve().parents[2]


def _load(path: Path):  # type: ignore[no-untyped-def]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rules_page_is_what_the_code_cites() -> None:
    """docs/rules.md lists the 25 rules with their references and where they are applied (run docs/make_rules.py)."""
    made = _load(ROOT / "docs" / "make_rules.py").page()
    kept = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    assert [line for line in kept.splitlines() if not line.startswith("Tested in")] == [
        line for line in made.splitlines() if not line.startswith("Tested in")
    ]


def test_conformance_page_is_what_the_code_cites() -> None:
    """docs/conformance.md lists exactly the sources that the code applies (run docs/make_conformance.py)."""
    made = _load(ROOT / "docs" / "make_conformance.py").page()
    kept = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert [line.split("|")[1:3] for line in kept.splitlines() if line.startswith("| ")] == [
        line.split("|")[1:3] for line in made.splitlines() if line.startswith("| ")
    ]


def test_interoperability_page_is_what_the_tests_measure() -> None:
    """docs/interoperability.md says what tests/peers measure (run docs/make_interoperability.py)."""
    made = _load(ROOT / "docs" / "make_interoperability.py").page()
    assert (ROOT / "docs" / "interoperability.md").read_text(encoding="utf-8") == made


def test_smime_page_is_what_the_tables_say() -> None:
    """docs/smime.md shows the tables of the engine (run docs/make_smime.py)."""
    made = _load(ROOT / "docs" / "make_smime.py").page()
    assert (ROOT / "docs" / "smime.md").read_text(encoding="utf-8") == made


def test_settings_page_is_what_the_settings_are() -> None:
    """docs/settings.md names every setting with its default (run docs/make_settings.py)."""
    made = _load(ROOT / "docs" / "make_settings.py").page()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == made


def test_every_command_is_documented() -> None:
    """docs/commands.md names every command of the program."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in get_command(build()).commands:  # type: ignore[attr-defined]
        assert f"dcc {name}" in text, name


@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_links_lead_somewhere(page: str) -> None:
    """Relative links of the documentation lead to files that exist."""
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{page}: {target}"
