"""Transfer encodings as streams: what is strict stays strict, whatever the library underneath."""

from __future__ import annotations

import binascii
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime.errors import Malformed
from dcc.smime.transfer import base64, base64_lines, base64_size, base64_text, lines_of


def decoded(text: bytes, block: int = 16) -> bytes:
    return b"".join(base64(io.BytesIO(text), 0, len(text), block))


@given(st.binary(max_size=400), st.integers(1, 64), st.sampled_from((b"\r\n", b"\n", b" \t\r\n")))
def test_round_trip(octets: bytes, block: int, end: bytes) -> None:
    """What is encoded in lines is decoded again, whatever the line ends and the blocks it is read in."""
    lines = b"".join(base64_lines(iter([octets[:100], octets[100:]])))
    assert len(lines) == base64_size(len(octets))
    assert decoded(lines.replace(b"\r\n", end), block) == octets
    assert binascii.a2b_base64(lines) == octets


@given(st.text(alphabet="AB/+=\r\n x-\0", max_size=40).map(str.encode))
def test_never_laxer_than_the_standard_library(text: bytes) -> None:
    """Whatever is accepted, the standard library's strict mode accepts with the same octets."""
    try:
        ours = decoded(text)
    except Malformed:
        return
    assert ours == binascii.a2b_base64(text.translate(None, b"\r\n \t"), strict_mode=True)


@pytest.mark.parametrize("text", [b"AAA", b"A===", b"AA==AAAA", b"AA=A", b"AAAA====", b"AA*A", b"=AAA", b"AAA\x00"])
def test_refused(text: bytes) -> None:
    """Truncated groups, foreign signs, padding in the wrong place (R-BOMB)."""
    with pytest.raises(Malformed):
        decoded(text)
    if len(text) % 4 == 0:
        with pytest.raises(Malformed):
            list(base64_text(text))


def test_lines_are_76_columns() -> None:
    """RFC 2045 §6.8: lines of 76 columns with CRLF; the last one is shorter."""
    lines = lines_of(os.urandom(200)).split(b"\r\n")
    assert [len(line) for line in lines] == [76, 76, 76, 40, 0]
