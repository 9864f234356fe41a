"""Header blocks: raw, bounded, decoded without ever raising."""

from __future__ import annotations

import io
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime.errors import LimitPassed, Malformed, SmimeError
from dcc.smime.headers import Headers, decoded, parse, read_headers, structured
from dcc.smime.limits import Limits
from processor import seconds_of


def read(data: bytes, **limits: int) -> tuple[Headers, int]:
    return read_headers(io.BytesIO(data), Limits(**limits))


def test_fields() -> None:
    """Fields keep their order, their case and their raw value; folds are undone on demand."""
    headers, body = read(b"Subject: one\r\n two\r\nX-A:1\r\nsubject: three\r\n\r\nbody")
    assert [name for name, _ in headers.fields] == ["Subject", "X-A", "subject"]
    assert headers.raw_all("SUBJECT") == [b" one\r\n two", b" three"]
    assert headers.get("subject") == "one two"
    assert headers.count("Subject") == 2
    assert body == len(b"Subject: one\r\n two\r\nX-A:1\r\nsubject: three\r\n\r\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [0, 10, 1990, 2040, 2047, 2048, 2049, 4100, 50_000])
def test_blank_line_anywhere(size: int, end: bytes) -> None:
    """The blank line is found wherever a read happens to stop."""
    lines = b"".join(b"X-A: " + b"y" * 50 + end for _ in range(size // 57))
    block = lines + b"X-B: " + b"z" * (size % 57) + end
    headers, body = read(block + end + b"\n\nbody" * 3)
    assert body == len(block + end)
    assert headers.fields[-1][0] == "X-B"


def test_no_body() -> None:
    """A block without a blank line ends with the file; an empty file has no fields."""
    assert read(b"A: 1\r\n")[1] == 6
    assert read(b"")[0].fields == ()
    assert read(b"\r\nbody") == (Headers(()), 2)


@pytest.mark.parametrize(
    ("data", "limits", "name"),
    [
        (b"A: " + b"x" * 97 + b"\r\n\r\n", {"header_block": 101}, "header_block"),
        (b"A: " + b"x" * 97 + b"\r\n\r\n", {"header_field": 97}, "header_field"),
        (b"A: 1\r\nB: 1\r\n\r\n", {"header_fields": 1}, "header_fields"),
    ],
)
def test_limits(data: bytes, limits: dict[str, int], name: str) -> None:
    """Each limit on both sides."""
    with pytest.raises(LimitPassed, match=name):
        read(data, **limits)
    assert read(data, **{key: value + 1 for key, value in limits.items()})


def test_huge_block_ends_at_the_limit() -> None:
    """A block of 100 MB without a blank line is not read beyond the limit."""

    class Endless(io.BytesIO):
        given = 0

        def read(self, size: int | None = -1) -> bytes:
            self.given += size or 0
            return b"A: b\r\n" * ((size or 0) // 6 + 1)

    file = Endless()
    with pytest.raises(LimitPassed, match="header_block"):
        read_headers(file, Limits())
    assert file.given < 600_000


@pytest.mark.parametrize(
    "block", [b" folded first\r\n", b"no colon\r\n", b": no name\r\n", b"A b: 1\r\n", b"\xe9: 1\r\n"]
)
def test_malformed(block: bytes) -> None:
    """A line that is neither a field nor a continuation is malformed; a field after a bare CR is seen."""
    with pytest.raises(Malformed):
        parse(block, Limits())
    assert parse(b"A: 1\rB: 2\r\n", Limits()).count("B") == 1


def test_mbox_line() -> None:
    """The separator line of an mbox is passed over."""
    assert parse(b"From someone Mon Jan  1 00:00:00 2024\nA: 1\n", Limits()).fields == (("A", b" 1"),)


@given(st.binary(max_size=400))
def test_decoding_never_raises(raw: bytes) -> None:
    """R-NAME: whatever the octets and the charset labels, there is a text."""
    assert isinstance(decoded(raw), str)
    assert isinstance(decoded(b"=?" + raw + b"?q?=41?="), str)
    structured(raw.decode("latin-1"))


@given(st.binary(max_size=2000))
def test_any_block(data: bytes) -> None:
    """Any bytes are a block of fields or one of this room's errors."""
    try:
        read(data)
    except SmimeError:
        return


def test_encoded_words() -> None:
    """RFC 2047 words are decoded; a false charset label gives text all the same."""
    assert decoded(b"=?utf-8?q?=C3=89lise?= =?iso-8859-1?q?=E9?=") == "Éliseé"
    assert decoded(b"=?no-such-charset?q?=C3=89?=") == "É"
    assert decoded("Élise".encode()) == "Élise"
    assert decoded("Élise".encode("latin-1")) == "Élise"


def test_parameters() -> None:
    """Quoted strings, comments, RFC 2231 continuations and charsets; the first of doubled names counts."""
    found = structured('multipart/signed (c); boundary="a;\\"b"; name*0*=utf-8\'\'%C3%89; name*1=" x"; boundary=z')
    assert found.value == "multipart/signed"
    assert found.parameters == {"boundary": 'a;"b', "name": "É x"}


def test_hostile_values_in_time() -> None:
    """The longest field allowed, full of words, comments or parameters, is decoded in time."""
    for text in ("=?utf-8?q?a?= " * 1100, "(" * 16_000, "a;" + "x=y;" * 4000, 'a;b="' + "\\" * 16_000, "=?" * 8000):
        octets = text.encode()
        assert seconds_of(partial(decoded, octets)) + seconds_of(partial(structured, text)) < 0.1
