"""How tests give gpgsm a key: its own fault over a salt is got round, every other refusal is heard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from interop import Unable
from peerprograms import import_into_gpgsm, run
from throwaway import p12, pair

pytestmark = pytest.mark.peer("gpgsm")


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home of gpgsm's."""
    found = Path(tempfile.mkdtemp(prefix="dcc-g", dir="/tmp"))  # the agent's socket needs a short path
    (found / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\nbatch\n")
    (found / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    yield found
    run("gpgconf", "--kill", "all", environment={"GNUPGHOME": str(found)})
    rmtree(found, ignore_errors=True)


def secret_keys(home: Path) -> int:
    return len(list((home / "private-keys-v1.d").glob("*.key")))


def test_other_salts_are_tried(home: Path) -> None:
    """A file that gpgsm cannot decrypt is made again, and the key arrives."""
    good = p12(pair("rsa"), legacy=True)
    made = iter([unreadable(), unreadable(), good])
    import_into_gpgsm(lambda: next(made), home / "key.p12", home)
    assert secret_keys(home) == 1


@pytest.mark.parametrize("octets", [None, b"no PKCS#12"])
def test_a_file_that_is_none_is_refused(octets: bytes | None, home: Path) -> None:
    """What gpgsm never takes is told, and leaves no key."""
    with pytest.raises(Unable):
        import_into_gpgsm(lambda: octets or unreadable(), home / "key.p12", home)
    assert secret_keys(home) == 0


def unreadable() -> bytes:
    """As with one of the salts: what is decrypted is no structure."""
    made = bytearray(p12(pair("rsa"), legacy=True))
    at = (
        made.index(bytes.fromhex("060a2a864886f70d010c0103")) + 16
    )  # in the salt behind the identifier of the protection
    made[at] ^= 1
    return bytes(made)
