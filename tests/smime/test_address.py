"""The one From address: what every reader must see alike (R-FROM)."""

from __future__ import annotations

from email.utils import formataddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime.address import mailboxes, sender_oddities, single_from
from dcc.smime.errors import Ambiguous, LimitPassed, SmimeError
from dcc.smime.headers import Headers
from processor import seconds_of


def headers(*values: bytes, **others: bytes) -> Headers:
    more = tuple((name.replace("_", "-"), value) for name, value in others.items())
    return Headers((*(("From", value) for value in values), *more))


GOOD = {
    b" a@B.Example": "a@b.example",
    b'"Martin, Dr. (x)" <Elise.Martin@chu.example>': "Elise.Martin@chu.example",
    b"=?utf-8?q?=C3=89lise?= <a@b.example> (work (day))": "a@b.example",
    b"Dr\r\n Martin <a@b.example>": "a@b.example",
    b'x <"q w"@b.example>': '"q w"@b.example',
    b"<a@b.example>,": "a@b.example",
    b"a@[192.0.2.1]": "a@[192.0.2.1]",
    b"(work: day) a@b.example (10:30)": "a@b.example",
    b'"10:30" <a@b.example>': "a@b.example",
    b"<a@[IPv6:2001:db8::1]>": "a@[ipv6:2001:db8::1]",
    "É <é@b.example>".encode(): "é@b.example",
}


@pytest.mark.parametrize("raw", GOOD)
def test_single(raw: bytes) -> None:
    """One mailbox in any legal form; the domain in lower case, the local part as it is."""
    assert single_from(headers(raw)) == GOOD[raw]


BAD = [
    b'"Group": a@b.example;', b"(x) Group: <a@b.example>;",
    b"", b"Dr Martin", b"a@b.example, c@d.example", b"a@b.example c@d.example", b"<a@b.example> <c@d.example>",
    b"a@b.example <c@d.example", b"a@b.example)c@d.example", b"Group: a@b.example;", b'"open <a@b.example>',
    b"a@b@c.example", b"<@relay.example:a@b.example>", b"<a@b.example> tail", b'(" ) <a@b.example> (") <c@d.example>',
    b"a@b.example (\\) <c@d.example>", b"a @b.example", b"(" * 8000, b"<" * 8000,
]  # fmt: skip


@pytest.mark.parametrize("raw", BAD, ids=range(len(BAD)))
def test_refused(raw: bytes) -> None:
    """None, two, or a form in which two readers may see two senders: refused."""
    with pytest.raises(Ambiguous, match="R-FROM"):
        single_from(headers(raw))


def test_two_fields() -> None:
    """No From field, or two, is refused."""
    for values in ((), (b"a@b.example", b"a@b.example")):
        with pytest.raises(Ambiguous):
            single_from(headers(*values))


@given(st.text(max_size=40), st.from_regex(r"[a-z0-9.]{1,10}@[a-z]{1,8}\.example", fullmatch=True))
def test_written_by_the_standard_library(name: str, address: str) -> None:
    """Whatever name the standard library writes around an address, the address is found."""
    assert single_from(headers(formataddr((name, address)).encode())) == address


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    """Any field has a list of mailboxes or one of this room's errors, in linear time."""
    try:
        mailboxes(raw)
    except SmimeError:
        return


def test_limit() -> None:
    """Five hundred addresses are read; 20 000 are refused at once."""
    assert len(mailboxes(b",".join([b"a@b.example"] * 500))) == 500
    many = b",".join([b"a@b.example"] * 20_000)

    def refused() -> None:
        with pytest.raises(LimitPassed, match="addresses"):
            mailboxes(many)

    assert seconds_of(refused) < 0.05


@pytest.mark.parametrize("name", [b"a" * 16_000, b"=?" * 8_000, b"a@b." * 4_000, b"@" * 16_000, b"a@" * 8_000])
def test_a_long_name_is_searched_in_linear_time(name: bytes) -> None:
    """I8: no shown name makes the search for an address in it slow."""
    assert seconds_of(lambda: sender_oddities(headers(b'"' + name + b'" <a@b.example>'))) < 0.05


@pytest.mark.parametrize(
    ("value", "others", "odd"),
    [
        (b"Martin <a@b.example>", {}, False),
        (b'"a@b.example" <a@b.example>', {}, False),
        (b'"boss@chu.example" <a@b.example>', {}, True),
        (b"=?utf-8?q?boss=40chu=2Eexample?= <a@b.example>", {}, True),
        (b'"from boss@mail.chu.example" <a@b.example>', {}, True),
        (b"a@b.example (boss@chu.example)", {}, True),
        (b"=?utf-8?q?x?= <a@b.example> (=?utf-8?q?boss=40chu=2Eexample?=)", {}, True),
        (b"Martin (A@b.example) <a@b.example>", {}, False),
        (b"'a@b.example' <a@b.example>", {}, False),
        (b"O'Neil <o'neil@b.example>", {}, False),
        (b'"a@b (at home)" <a@b.example>', {}, False),
        (b"a@b.example", {"Sender": b"A@B.example"}, False),
        (b"a@b.example", {"Sender": b"c@d.example"}, True),
        (b"a@b.example", {"Reply_To": b"c@d.example"}, True),
    ],
)
def test_oddities(value: bytes, others: dict[str, bytes], odd: bool) -> None:
    """A shown name holding another address, or another Sender or Reply-To, is flagged."""
    assert sender_oddities(headers(value, **others)) is odd
