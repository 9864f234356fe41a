"""A desk for each case: a copy of one demo instance in test mode, its clock standing still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway.cast_reader import Cast
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from demoinstance import DemoInstance, key_files_read_once, make_demo_instance, read_demo_instance
from desk import Desk
from once import once

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, _keys: None) -> Iterator[DemoInstance]:
    """The instance, one for all worker processes, never used itself: copied."""
    folder = once(tmp_path_factory, "june", lambda folder: make_demo_instance(folder, NOW))
    with key_files_read_once():
        yield read_demo_instance(folder)


@pytest.fixture
def desk(demo: DemoInstance, tmp_path: Path) -> Iterator[Desk]:
    """An instance of the test's own, with its parts opened."""
    directory = demo.copy(tmp_path / "instance")
    with open_services(load_settings(directory / "dcc.toml", {})) as services:
        yield Desk(services, Cast.load(directory), NOW)
