"""The instance that has worked, made once, and copies of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instancecopy import copied
from terminal import dcc
from workedinstance import Worked, make_worked


@pytest.fixture(scope="session")
def worked(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Worked:
    """Made once; tests that change something take a copy."""
    return make_worked(made, tmp_path_factory.mktemp("worked") / "instance")


@pytest.fixture
def own(worked: Worked, tmp_path: Path) -> Path:
    """A copy of the instance that has worked, to change."""
    copied(worked.directory, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def ask(worked: Worked) -> Callable[..., Any]:
    """Ask a command something with `--json`; exit 0 expected."""

    def call(*arguments: str) -> Any:
        done = dcc(*arguments, "-c", worked.directory / "dcc.toml", "--json")
        assert done.code == 0, done.err
        assert done.err == ""
        return done.json

    return call
