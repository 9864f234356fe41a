"""What all tests share: peer programs that may be absent, the folder of samples, and what is made once for a run."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import rsakeys
from once import once
from postgres import PostgresServer

if TYPE_CHECKING:
    from demoinstance import DemoInstance

settings.register_profile("busy", deadline=None)  # a slow machine is no failure
settings.load_profile("busy")

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / "shared"

PEERS = {
    "openssl": ["openssl"],
    "gpgsm": ["gpgsm"],
    "nss": ["cmsutil", "certutil", "pk12util"],
    "bouncycastle": ["java", "javac", "/usr/share/java/bcmail.jar", "/usr/share/java/javax.mail.jar"],
    "postfix": ["postfix", "/usr/sbin/postfix"],
    "swaks": ["swaks"],
    "dovecot": ["dovecot", "/usr/sbin/dovecot"],
    "postgresql": ["postgres", "/usr/lib/postgresql/15/bin/postgres"],
    "softhsm": ["softhsm2-util"],
    "slapd": ["slapd", "/usr/sbin/slapd"],
    "faketime": ["faketime"],
    "chromium": ["chromium"],
    "thunderbird": ["thunderbird", "Xvfb", "import", "certutil", "pk12util", "modutil"],
}
# What takes longest is handed out first: at the end of a run no worker process is left alone with one of these. Those that
# mostly wait come among those that mostly compute, so that the processors have work all the time.
LONGEST = {
    name: place
    for place, name in enumerate([
        "test_kill.py", "test_lastlook.py", "test_scenarios.py", "test_thunderbird.py", "test_announce.py", "test_interop.py",
        "test_worker.py", "test_outgoing.py", "test_backup.py", "test_postgresql.py", "test_mails.py", "test_bench.py",
        "test_leases.py", "test_wycheproof.py", "test_smtp_door.py", "test_demo.py", "test_relay.py", "test_crlwatch.py",
    ])
}  # fmt: skip
ANY_OF = {"postfix", "dovecot", "postgresql", "slapd"}


def missing_peer(name: str) -> str | None:
    """The program of this peer that is absent, or None."""
    found = [shutil.which(program) is not None or _is_library(program) for program in PEERS[name]]
    present = any(found) if name in ANY_OF else all(found)
    return None if present else PEERS[name][found.index(False)]


def _is_library(path: str) -> bool:
    return path.endswith((".jar", ".so")) and Path(path).is_file()


def pytest_configure(config: pytest.Config) -> None:
    """Each worker process begins to collect elsewhere: what one of them has compiled, the others only load."""
    told = getattr(config, "workerinput", None)
    if told is not None and config.args == config.getini("testpaths"):
        files = sorted(str(path) for path in TESTS.rglob("test_*.py"))
        first = len(files) * int(told["workerid"].removeprefix("gw")) // told["workercount"]
        config.args = files[first:] + files[:first]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (LONGEST.get(item.path.name, len(LONGEST)), item.path))


def pytest_collection_finish() -> None:
    """What was imported and collected lives as long as the process: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        for name in marker.args:
            absent = missing_peer(name)
            if absent and os.environ.get("DCC_REQUIRE_PEERS") == "1":
                pytest.fail(f"peer program required and absent: {absent}", pytrace=False)
            if absent:
                pytest.skip(f"peer program absent: {absent}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared samples and vectors; the test skips where it is not present."""
    if not SHARED.is_dir():
        pytest.skip("shared samples are not present")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    rsakeys.keep_in(once(tmp_path_factory, "keys", Path.mkdir))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, _keys: None) -> Iterator[DemoInstance]:
    """A demo instance of now, one for all worker processes, never used itself: copied."""
    from demoinstance import key_files_read_once, make_demo_instance, read_demo_instance  # most tests need no gateway

    now = datetime.now(UTC).replace(microsecond=0)
    folder = once(tmp_path_factory, "demo", lambda folder: make_demo_instance(folder, now))
    with key_files_read_once():
        yield read_demo_instance(folder)


@pytest.fixture(scope="session")
def made(demo: DemoInstance) -> Path:
    """The folder of that demo instance."""
    return demo.directory


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    server = PostgresServer()
    try:
        server.make_template()
        yield server
    finally:
        server.end()
