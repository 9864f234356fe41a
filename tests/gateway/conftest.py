"""A door on a free port with a real spool and database, in a copy of the demo instance."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dcc.cards.judge import Judge
from dcc.gateway.running import serving
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import Settings, load_settings
from doors import Place, RunningDoor, open_door
from inprocess import Rooms
from instancecopy import copied
from killable import Nursery


@pytest.fixture
def instance(made: Path, tmp_path: Path) -> Path:
    """A demo instance of the test's own."""
    directory = tmp_path / "instance"
    copied(made, directory)
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


@dataclass(frozen=True)
class Served(Place):
    """A `dcc serve --role smtp` as a process of its own."""

    pid: int
    directory: Path
    log: Path

    def peak(self) -> int:
        """The most memory that was ever resident since `forget_peak`, octets."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmHWM")

    def forget_peak(self) -> int:
        """Measure from here; what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.peak()


@pytest.fixture(scope="session")
def served(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests that only look at it from outside."""
    place = tmp_path_factory.mktemp("served")
    directory = place / "instance"
    copied(made, directory)
    log = place / "log"
    with serving(directory / "dcc.toml", "smtp", log) as told:
        host, _, port = str(told["smtp"]).rpartition(":")
        yield Served(host, int(port), int(told["pid"]), directory, log)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes file systems of this size (needs the right to mount); they go at the end."""
    mounted: list[Path] = []

    def make(size: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a small disk here")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts gateways that may be killed."""
    found = Nursery()
    yield found
    found.close()


@pytest.fixture(scope="session")
def filed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance with one filed deposit, nothing of it sent yet; copied."""
    directory = tmp_path_factory.mktemp("filed") / "instance"
    copied(made, directory)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        found = Rooms(services)
        found.deposit()
        found.work()
    return directory


@pytest.fixture(scope="session")
def judge(filed: Path) -> Judge:
    """The judge of the cards, which remembers the paths it has found."""
    with open_services(load_settings(filed / "dcc.toml")) as services:
        return services.judge


@pytest.fixture
def rooms(filed: Path, judge: Judge, tmp_path: Path) -> Iterator[Rooms]:
    """Its rooms, in a copy of the test's own."""
    directory = tmp_path / "instance"
    copied(filed, directory)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        services.judge = judge
        yield Rooms(services)
