"""Header fields as they are written: checked, folded, encoded, and the same inside as outside."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime.headerprotection import HeaderInjection, field
from dcc.smime.headers import parse
from dcc.smime.limits import Limits

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=400)


@given(TEXTS)
def test_any_subject_reads_back(text: str) -> None:
    """Any subject, folded or encoded, reads back to the same words, in lines of at most 998 octets."""
    try:
        written = field("Subject", text)
    except HeaderInjection:
        assert max(len(word) for word in text.split(" ")) > 900
        return
    assert max(len(line) for line in written.split(b"\r\n")) <= 998
    read = parse(written, Limits()).get("Subject")
    assert read is not None
    assert read.split() == text.split()


@given(st.text(max_size=40), st.sampled_from("\r\n\0"), st.text(max_size=40))
def test_rule_22_r_header_out_any_place(before: str, sign: str, after: str) -> None:
    """CR, LF and NUL are refused wherever they stand (R-HEADER-OUT)."""
    for name in ("Subject", "To", "X-MSS-INS"):
        with pytest.raises(HeaderInjection):
            field(name, before + sign + after)


@pytest.mark.parametrize("sign", ["\u2028", "\x0b", "\x0c", "\x85", "\x1c"])
def test_other_line_ends_make_no_line(sign: str) -> None:
    """What Python calls a line end, and mail does not, starts no field."""
    written = field("Subject", f"é a{sign}Bcc: x@y.example")
    assert parse(written, Limits()).count("Bcc") == 0
    assert written.count(b"\r\n") == written.count(b"\r\n ") + 1


@pytest.mark.parametrize(
    ("value", "name", "address"),
    [
        ("a@b.example", "", "a@b.example"),
        ('"Martin, Jean" <a@b.example>', "Martin, Jean", "a@b.example"),
        ('"Élise Martin" <a@b.example>', "Élise Martin", "a@b.example"),
    ],
)
def test_addresses(value: str, name: str, address: str) -> None:
    """Names are quoted or encoded, addresses stay as they are."""
    read = message_from_bytes(field("To", value), policy=policy.default)["To"].addresses[0]
    assert (read.display_name, read.addr_spec) == (name, address)


def test_a_long_name_is_whole() -> None:
    """A long name takes several encoded words (RFC 2047 §2), and reads back without gaps."""
    written = field("To", "É" * 120 + " <a@b.example>")
    assert parse(written, Limits()).get("To") == "É" * 120 + " <a@b.example>"
    assert max(len(line) for line in written.split(b"\r\n")) <= 100


def test_an_address_beyond_ascii_is_refused() -> None:
    """An address beyond ASCII would need SMTPUTF8 on the whole way: refused rather than damaged."""
    with pytest.raises(HeaderInjection):
        field("To", "élise@b.example")


def test_a_list_of_addresses() -> None:
    """Every address of a list is kept, one a line."""
    written = field("To", "a@b.example, c@d.example")
    assert written == b"To: a@b.example,\r\n c@d.example\r\n"
