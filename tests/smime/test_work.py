"""How much work one mail is, counted in calls and octets rather than seconds (I8): the same on any machine."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import MailHeaders, Profile, key_signer, seal
from throwaway import ENCRYPT, NOW, SIGN, pair

SMALL, LARGE = 50_000, 1_000_000
BLOCK = 48 << 10
HEADERS = MailHeaders("a@example.org", "b@example.org", "objet", NOW, "<one@example.org>")
CONTENT = (("Content-Type", "application/pdf"), ("Content-Transfer-Encoding", "base64"))


class Counted(io.BytesIO):
    """A file that counts the octets that were read from it."""

    octets = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.octets += len(piece)
        return piece


def calls_of(run: Callable[[], object]) -> int:
    """How many calls, of Python and of C, it takes; the second time, when what can be kept is kept."""
    run()
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def sealed(size: int, *, detached: bool, out: Any = None) -> bytes:
    """A signed and encrypted mail of about this size."""
    text = (b"QUFB" * 19 + b"\r\n") * (size // 78 * 57 // 78)
    raw = io.BytesIO()
    seal(
        HEADERS, [text], CONTENT, signer=key_signer(pair("rsa", SIGN, "sender")),
        recipient=pair("rsa", ENCRYPT, "reader").certificate, profile=Profile(detached=detached), out=raw,
        random_bytes=lambda count: bytes(range(count)),
    )  # fmt: skip
    return raw.getvalue()


def opened(raw: bytes, key: KeyPair) -> None:
    """Open it; it must be whole."""
    found = open_message(io.BytesIO(raw), keys=[key])
    assert found.intact
    found.close()


@pytest.mark.parametrize("detached", [True, False])
def test_i8_opening_is_few_calls(detached: bool, reader: KeyPair) -> None:
    """Opening 50 kB takes some two thousand calls, and each block more a few dozen: nothing runs for each line."""
    small, large = (sealed(size, detached=detached) for size in (SMALL, LARGE))
    few = calls_of(lambda: opened(small, reader))
    many = calls_of(lambda: opened(large, reader))
    assert few < 2_200
    assert many - few < 45 * (LARGE - SMALL) / BLOCK


@pytest.mark.parametrize("detached", [True, False])
def test_i8_received_octets_are_read_once(detached: bool, reader: KeyPair) -> None:
    """Each received octet is read once, but for the first two thousand, where the header ends."""
    raw = sealed(LARGE, detached=detached)
    source = Counted(raw)
    found = open_message(source, keys=[reader])
    assert found.intact
    found.close()
    assert source.octets <= len(raw) + 2048


@pytest.mark.parametrize("detached", [True, False])
def test_i8_sealing_is_few_calls(detached: bool) -> None:
    """Sealing 50 kB takes about a thousand calls, and each block more a few dozen."""
    few = calls_of(lambda: sealed(SMALL, detached=detached))
    many = calls_of(lambda: sealed(LARGE, detached=detached))
    assert few < 1_300
    assert many - few < 40 * (LARGE - SMALL) / BLOCK
