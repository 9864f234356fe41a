"""Every cell of the interoperability tables is measured: what works, and what a program cannot do today."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop import Case, NotAskable, Row, Unable, expect_content, made_by_us, read_by_us, rows
from peerprograms import GpgSm, Nss, OpenSsl, Peer

PROGRAMS = ("openssl", "gpgsm", "nss", "bouncycastle")
FIXTURES = {"openssl": ("store", OpenSsl), "gpgsm": ("gpgsm_home", GpgSm), "nss": ("nss", Nss)}
MEASURED = [pytest.param(name, marks=pytest.mark.peer("openssl", name)) for name in PROGRAMS]


@pytest.fixture
def program(request: pytest.FixtureRequest) -> tuple[str, Peer]:
    """One of the programs, with its key store."""
    name: str = request.param
    if name not in FIXTURES:
        return name, request.getfixturevalue(name)
    fixture, kind = FIXTURES[name]
    return name, kind(request.getfixturevalue(fixture))  # type: ignore[abstract]


def keys(row: Row) -> str:
    return row.key


def assert_found(expected: str, outcome: str) -> None:
    """A cell that says no must say it for the reason that was found when it was measured."""
    kind, _, words = expected.partition(": ")
    assert outcome.partition(": ")[0] == kind, outcome
    assert words in outcome


@pytest.mark.parametrize("row", rows("we_write"), ids=keys)
@pytest.mark.parametrize("program", MEASURED, indirect=True)
def test_what_we_write(program: tuple[str, Peer], row: Row, tmp_path: Path) -> None:
    """The program decrypts and verifies our mail to the same octets, or cannot for the reason told in the table."""
    name, peer = program
    try:
        expect_content(peer.read(made_by_us(row.case), row.case, tmp_path))
        outcome = "yes"
    except Unable as error:
        outcome = f"no: {error}"
    assert_found(row.found[name], outcome)


@pytest.mark.parametrize("row", rows("we_read"), ids=keys)
@pytest.mark.parametrize("program", MEASURED, indirect=True)
def test_what_we_read(program: tuple[str, Peer], row: Row, tmp_path: Path) -> None:
    """We open what the program makes, with the algorithms it was asked for; never is it we who cannot read."""
    name, peer = program
    try:
        mail = peer.make(row.case, tmp_path)
    except Unable as error:
        assert_found(row.found[name], f"no: {error}")
        return
    except NotAskable:
        assert_found(row.found[name], "-")
        return
    try:
        read_by_us(mail, row.case)
        outcome = "yes"
    except NotAskable:
        outcome = "-"
    assert_found(row.found[name], outcome)


@pytest.mark.parametrize("program", MEASURED, indirect=True)
@pytest.mark.parametrize("form", ["detached", "opaque"])
def test_each_program_sees_a_changed_letter(program: tuple[str, Peer], form: str, tmp_path: Path) -> None:
    """A letter changed after the signature is refused by every program: its yes in the tables means something."""
    case = Case(form=form)
    mail = made_by_us(case)
    changed = mail.replace(b"Compte rendu", b"Compte rendi", 1)
    if form == "opaque":
        head, _, body = mail.partition(b"\r\n\r\n")
        at = len(body) // 8  # inside the content, far from the structure's ends
        letter = b"B" if body[at : at + 1] != b"B" else b"C"
        changed = head + b"\r\n\r\n" + body[:at] + letter + body[at + 1 :]
    assert changed != mail
    with pytest.raises(Unable):
        expect_content(program[1].read(changed, case, tmp_path))
