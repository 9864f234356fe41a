"""A door on a free port with a real spool and database, and the demo instance made once for all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from doors import RunningDoor, open_door

from dcc.gateway.instance import initialise
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import Settings, load_settings


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo instance, never used itself: copied."""
    directory = tmp_path_factory.mktemp("made") / "instance"
    initialise(directory, demo=True, now=datetime.now(UTC).replace(microsecond=0))
    return directory


@pytest.fixture
def instance(made: Path, tmp_path: Path) -> Path:
    """A demo instance of the test's own."""
    directory = tmp_path / "instance"
    shutil.copytree(made, directory)
    return directory


@pytest.fixture
def settings(instance: Path) -> Settings:
    """Its settings."""
    return load_settings(instance / "dcc.toml")


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """Its parts, opened."""
    with open_services(settings) as found:
        yield found


@pytest.fixture
def door(services: Services) -> Iterator[RunningDoor]:
    """A door with the demo's settings."""
    running = open_door(services)
    yield running
    if running.thread.is_alive():
        running.stop(1.0)
