"""The octets of DATA, cut anywhere: the end is found at CRLF.CRLF only, dots are undone, bare line ends are seen."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.gateway.smtp_data import DataDecoder


def run(wire: bytes, cuts: list[int]) -> tuple[bytes, bytes | None, bool]:
    """Feed `wire` cut at these places; (decoded, what is behind the end, bare line ends seen)."""
    decoder = DataDecoder()
    out = b""
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(wire)), len(wire)]
    for begin, end in pairwise(edges):
        piece, rest = decoder.feed(wire[begin:end])
        out += piece
        if rest is not None:
            return out, rest + wire[end:], decoder.bare
    return out, None, decoder.bare


def stuffed(content: bytes) -> bytes:
    """A message as it stands on the wire (RFC 5321 §4.5.2)."""
    lines = content.split(b"\r\n")
    wire = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    return wire + (b"" if content.endswith(b"\r\n") or not content else b"\r\n") + b".\r\n"


line = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\r\n\0"))
lines = st.lists(st.one_of(line, line.map(lambda raw: b"." + raw)), min_size=1, max_size=8)


@given(lines, st.lists(st.integers(0, 200), max_size=30), st.binary(max_size=20))
def test_any_message_survives_any_cut(parts: list[bytes], cuts: list[int], behind: bytes) -> None:
    """Whatever the chunks, the message comes out as it was, and what is pipelined behind it is given back."""
    content = b"\r\n".join(parts) + b"\r\n"
    out, rest, bare = run(stuffed(content) + behind, cuts)
    assert out == content
    assert rest == behind
    assert not bare


@given(lines, st.binary(max_size=8))
def test_any_message_survives_every_cut(parts: list[bytes], behind: bytes) -> None:
    """One cut at each place there is, and all of them at once, give the same as none."""
    content = b"\r\n".join(parts) + b"\r\n"
    wire = stuffed(content) + behind
    for cuts in [[], list(range(1, len(wire))), *([cut] for cut in range(1, len(wire)))]:
        assert run(wire, cuts) == (content, behind, False)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=8), st.lists(st.integers(0, 300), max_size=12), st.integers(1, 20)
)
def test_the_longest_line_is_measured(lengths: list[int], cuts: list[int], most: int) -> None:
    """A line over the limit is seen wherever it stands and however it is cut, and no other is."""
    wire = b"\r\n".join(b"x" * length for length in lengths) + b"\r\n.\r\n"
    decoder = DataDecoder(most)
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(wire)), len(wire)]
    for begin, end in pairwise(edges):
        decoder.feed(wire[begin:end])
    assert decoder.long_line == (max(lengths) > most)


def test_nothing_is_kept_between_chunks() -> None:
    """Whatever arrives, at most four octets wait for the next chunk: megabytes of line ends are not held back."""
    for chunk in (b"\r\n" * 500, b"\r" * 1000, b"\n" * 1000, b"\r\n.." * 300 + b"\r", b"." * 1000):
        decoder = DataDecoder()
        for _ in range(20):
            piece, rest = decoder.feed(chunk)
            assert rest is None
            assert len(chunk) - len(piece) <= chunk.count(b".") + 4


@pytest.mark.parametrize("cut", range(1, 16))
def test_terminator_split_at_each_octet(cut: int) -> None:
    """The end is found wherever its five octets are cut, with the commands behind it."""
    wire = b"a\r\n..b\r\n.\r\nQUIT\r\n"
    assert run(wire, [cut]) == (b"a\r\n.b\r\n", b"QUIT\r\n", False)


def test_octet_by_octet() -> None:
    """One octet at a time gives the same."""
    wire = b".\r..\r\n...\r\n.\r\n"
    assert run(b"..x\r\n...\r\n.\r\nRSET", list(range(1, 20))) == (b".x\r\n..\r\n", b"RSET", False)
    assert run(wire, list(range(1, 20)))[2]


def test_empty_message_and_leading_dot() -> None:
    """An empty message ends at once; a first line that begins with a dot loses one."""
    assert run(b".\r\n", []) == (b"", b"", False)
    assert run(b"..\r\n.\r\n", []) == (b".\r\n", b"", False)


@pytest.mark.parametrize(
    "false_end",
    [
        b"\n.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n..\r\n",
        b"\n.\r",
        b"\r\r\n.\r\r\n",
    ],
)
def test_rule_21_false_ends_do_not_end_data(false_end: bytes) -> None:
    """No mix of bare CR, bare LF, NUL and dots ends DATA (R-SMTP, smuggling)."""
    wire = b"a" + false_end + b"MAIL FROM:<x@y.example>\r\n"
    for cuts in ([], list(range(1, 40))):
        _, rest, _ = run(wire, cuts)
        assert rest is None


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=20))
def test_bare_line_ends_are_always_seen(raw: bytes, cuts: list[int]) -> None:
    """Whatever stands in the decoded message, a bare CR, LF or NUL in it is reported, and nothing else is."""
    out, _, bare = run(raw + b"\r\n.\r\n", cuts)
    clean = out.replace(b"\r\n", b"")
    assert bare == any(sign in clean for sign in (b"\r", b"\n", b"\0"))
