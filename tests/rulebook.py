"""The 25 rules as docs/make_rules.py numbers them, for the names of tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


made: Any = _load(Path(__file__).resolve().parents[1] / "docs" / "make_rules.py")
NUMBERS: dict[str, int] = {rule.name: number for number, rule in enumerate(made.RULES, 1)}
REFERENCES: dict[str, str] = {rule.name: rule.reference for rule in made.RULES}


def numbered(rule: str, what: str) -> str:
    """A test's id: `rule 6 R-ECONTENT [RFC 1847 §2.1]: what`."""
    return f"rule {NUMBERS[rule]} {rule} [{REFERENCES[rule]}]: {what}"
