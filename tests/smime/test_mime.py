"""The scanner of MIME structure: raw offsets, bounded, and never a part that is not there."""

from __future__ import annotations

import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dcc.smime import mime
from dcc.smime.errors import LimitPassed, Malformed, SmimeError
from dcc.smime.limits import Limits
from processor import seconds_of

MIXED = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n"


def scan(data: bytes, **limits: int) -> mime.Entity:
    return mime.scan(io.BytesIO(data), 0, len(data), Limits(**limits))


def body(data: bytes, entity: mime.Entity) -> bytes:
    return data[entity.body_start : entity.end]


def multipart(*parts: bytes, boundary: bytes = b"b", end: bytes = b"\r\n") -> bytes:
    joined = b"".join(b"--" + boundary + end + one + end for one in parts)
    return MIXED.replace(b"%b", boundary) + joined + b"--" + boundary + b"--" + end


def test_parts_exactly() -> None:
    """A part ends before the line break of its delimiter, and its octets are untouched."""
    first = b"Content-Type: text/plain\r\n\r\none\r\n\r\n"
    second = b"\r\ntwo\n--not\n"
    data = multipart(first, second).replace(b"\r\n\r\n", b"\r\n\r\npreamble\r\n", 1)
    root = scan(data)
    assert [body(data, one) for one in root.children] == [b"one\r\n\r\n", b"two\n--not\n"]
    assert root.children[0].media_type == "text/plain"
    assert [one.media_type for one in root.walk()] == ["multipart/mixed", "text/plain", "text/plain"]


@given(
    st.lists(st.binary(max_size=60).filter(lambda one: b"--b" not in one), min_size=1, max_size=6),
    st.sampled_from([b"\r\n", b"\n"]),
)
def test_whatever_the_parts(parts: list[bytes], end: bytes) -> None:
    """Each part comes back octet for octet."""
    # The line break before a delimiter belongs to it (RFC 2046 §5.1.1): a CR there is not the part's.
    assume(end == b"\r\n" or not any(one.endswith(b"\r") for one in parts))
    data = multipart(*(end + one for one in parts), end=end)
    assert [body(data, one) for one in scan(data).children] == parts


@pytest.mark.parametrize("shift", range(0, 300, 7))
def test_delimiters_at_the_edge_of_a_block(shift: int) -> None:
    """A delimiter is found wherever the reading of blocks happens to cut it."""
    one = b"\r\n" + b"x" * (mime.CHUNK - 200 + shift)
    data = multipart(one, b"\r\ny", one, b"\r\nz")
    found = [body(data, part) for part in scan(data).children]
    assert [len(part) for part in found] == [len(one) - 2, 1, len(one) - 2, 1]


def test_nested_and_inner_boundaries() -> None:
    """Inner multiparts and messages are followed; an outer delimiter closes whatever is open."""
    inner = multipart(b"\r\nleaf", boundary=b"bb")
    message = b"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n" + inner
    data = multipart(inner[:-8], message, b"\r\nlast")
    kinds = [one.media_type for one in scan(data).walk()]
    assert kinds == [
        "multipart/mixed", "multipart/mixed", "text/plain", "message/rfc822", "multipart/mixed", "text/plain", "text/plain",
    ]  # fmt: skip
    assert body(data, scan(data).children[2]) == b"last"


def test_rule_10_nothing_is_assembled() -> None:
    """R-PARTIAL: message/partial and message/external-body are leaves, and stay closed."""
    for kind in (b"message/partial; id=x; number=1; total=2", b"message/external-body; access-type=URL; URL=http://x"):
        root = scan(multipart(b"Content-Type: " + kind + b"\r\n\r\nSubject: s\r\n\r\nbody"))
        assert root.children[0].children == ()


def test_depth_limit() -> None:
    """Twenty levels are read, one more is over the limit, two thousand end at once."""

    def nested(count: int) -> bytes:
        data = b"\r\nleaf"
        for level in range(count):
            data = multipart(data, boundary=b"n%d" % level)
        return data

    assert len(list(scan(nested(20)).walk())) == 21
    for count in (21, 300):
        with pytest.raises(LimitPassed, match="mime_depth"):
            scan(nested(count))
    chain = b"Content-Type: message/rfc822\r\n\r\n" * 2000

    def refused() -> None:
        with pytest.raises(LimitPassed, match="mime_depth"):
            scan(chain)

    assert seconds_of(refused) < 0.1


def test_parts_limit() -> None:
    """A thousand parts are read; a hundred thousand end at the limit, in time."""
    assert len(scan(multipart(*[b"\r\n"] * 999)).children) == 999
    data = multipart(*[b"\r\n"] * 100_000)

    def refused() -> None:
        with pytest.raises(LimitPassed, match="mime_parts"):
            scan(data)

    assert seconds_of(refused) < 0.5


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    """Any bytes have a structure within their bounds, or one of this room's errors."""
    for text in (data, MIXED.replace(b"%b", b"b") + data.replace(b"\xff", b"\r\n--b\r\n")):
        try:
            root = scan(text)
        except SmimeError:
            continue
        for one in root.walk():
            assert 0 <= one.start <= one.body_start <= one.end <= len(text)


NAMES: dict[str, str | None] = {
    "report.pdf": "report.pdf",
    "../../etc/passwd": "passwd",
    "C:\\Users\\x\\a.zip": "a.zip",
    "a\u202efdp.exe": "afdp.exe",
    "a\r\nb\x00.txt": "ab.txt",
    "CON": "_CON",
    "com1.txt": "_com1.txt",
    "..": None,
    "": None,
    "é" * 300 + ".pdf": "é" * 116 + ".pdf",
}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_rule_25_names(name: str) -> None:
    """R-NAME: no path, no override of direction, no control character, no device name, bounded length."""
    assert mime.clean_name(name) == NAMES[name]


@given(st.text(max_size=400))
def test_rule_25_any_name(name: str) -> None:
    """R-NAME: whatever the name, what remains is a plain file name or nothing."""
    found = mime.clean_name(name)
    if found is not None:
        assert 0 < len(found) <= mime.NAME_LENGTH
        assert not set(found) & set("/\\\r\n\0")
        assert mime.clean_name(found) == found


def test_file_names_in_headers() -> None:
    """The name of Content-Disposition, else of Content-Type, RFC 2231 or RFC 2047."""
    cases = {
        b"Content-Disposition: attachment; filename*=utf-8''r%C3%A9sultat.pdf": "résultat.pdf",
        b'Content-Type: application/pdf; name="=?utf-8?q?r=C3=A9sultat.pdf?="': "résultat.pdf",
        b"Content-Disposition: attachment; filename=a.pdf\r\nContent-Type: text/plain; name=b.pdf": "a.pdf",
        b"Content-Type: text/plain": None,
    }
    for fields, name in cases.items():
        assert scan(fields + b"\r\n\r\n").filename == name


@pytest.mark.parametrize(
    ("encoding", "text", "clear"),
    [
        (b"base64", b"SGVs\r\nbG8=\r\n", b"Hello"),
        (b"BASE64 ", b"SGVsbG8=", b"Hello"),
        (b"base64", b"", b""),
        (b"quoted-printable", b"=C3=A9=\r\n x =20\r\ny", b"\xc3\xa9 x  \r\ny"),
        (b"7bit", b"a\r\nb", b"a\r\nb"),
        (b"binary", bytes(range(256)), bytes(range(256))),
    ],
)
def test_transfer_encodings(encoding: bytes, text: bytes, clear: bytes) -> None:
    """Each transfer encoding is decoded as a stream."""
    data = b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + text
    assert b"".join(mime.decode(io.BytesIO(data), scan(data))) == clear


@pytest.mark.parametrize("text", [b"SGVsbG8", b"SGVs!bG8=", b"SGVsbG8==", b"SGVsbG8=SGVs", b"=", b"A"])
def test_rule_19_bad_base64(text: bytes) -> None:
    """R-BOMB: truncated base64, foreign characters and text behind the padding are errors."""
    data = b"Content-Transfer-Encoding: base64\r\n\r\n" + text
    with pytest.raises(Malformed):
        list(mime.decode(io.BytesIO(data), scan(data)))


def test_rule_10_uuencode_is_not_read() -> None:
    """R-PARTIAL: uuencode, yEnc and anything else that is not in RFC 2045 is refused by name."""
    data = b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n"
    with pytest.raises(Malformed, match="transfer encoding"):
        list(mime.decode(io.BytesIO(data), scan(data)))
