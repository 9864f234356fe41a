"""What all tests share: peer programs that may be absent, and the folder of samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from postgres import PostgresServer

settings.register_profile("busy", deadline=None)  # a slow machine is no failure
settings.load_profile("busy")

SHARED = Path(__file__).resolve().parents[2] / "shared"

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
    "faketime": ["faketime"],
    "thunderbird": ["thunderbird", "Xvfb", "import", "certutil", "pk12util", "modutil"],
}
ANY_OF = {"postfix", "dovecot", "postgresql"}


def missing_peer(name: str) -> str | None:
    """The program of this peer that is absent, or None."""
    found = [shutil.which(program) is not None or _is_library(program) for program in PEERS[name]]
    present = any(found) if name in ANY_OF else all(found)
    return None if present else PEERS[name][found.index(False)]


def _is_library(path: str) -> bool:
    return path.endswith((".jar", ".so")) and Path(path).is_file()


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    server = PostgresServer()
    try:
        server.make_template()
        yield server
    finally:
        server.end()
