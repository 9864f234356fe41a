"""The sender (acceptance 5 to 10): card verdict, account, and the From bound by enrolment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dcc.cards.holder import Holder
from dcc.mailbox import people
from dcc.mailbox.records import AccountState
from dcc.router.protected import from_address
from dcc.router.request import Sender
from dcc.router.sender import CARD_REASONS, Unidentified, identify_sender
from dcc.smime.headers import Headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content
from dcc.smime.workfile import WorkFile


@dataclass(frozen=True)
class Card:
    """The two things that matter here of a certificate."""

    holder: Holder | None
    sha256: str = "ab" * 32


PERSON = Holder("person", idnps="899700000017", structure_id=None)


def found(kit: Any, holder: Holder | None = PERSON, sender: str = "dra@rca.test", verdict: str = "VALID") -> Any:
    card: Any = Card(holder)
    with kit.database.read() as conn:
        return identify_sender(conn, verdict=verdict, certificate=card, from_address=sender)


def test_known_sender(kit: Any) -> None:
    """A valid card, a validated account and its mailbox make a sender."""
    sender = found(kit)
    assert isinstance(sender, Sender)
    assert sender.account.id == "a-dra"
    assert sender.structure == "1490000049"


def test_organisation_is_known_by_its_structure(kit: Any) -> None:
    """An organisation certificate is enrolled under its IDNST."""
    sender = found(kit, Holder("organisation", structure_id="1490000049"), "lab@rca.test")
    assert isinstance(sender, Sender)
    assert sender.account.id == "a-lab"


@pytest.mark.parametrize(
    ("verdict", "code"), [(name, code) for name, code in CARD_REASONS.items() if name != "UNPARSEABLE"]
)
def test_each_verdict_has_its_reason(kit: Any, verdict: str, code: str) -> None:
    """Expired, opposed, unknown, wrong usage…: distinct reasons; told exactly only when the issuer is trusted."""
    why = found(kit, verdict=verdict)
    assert isinstance(why, Unidentified)
    assert why.reason.code == code
    issued = verdict not in {"UNTRUSTED_CHAIN", "BAD_SIGNATURE", "TEST_CARD_IN_PROD", "WEAK_KEY"}
    assert why.known is issued


def test_from_of_another_person(kit: Any) -> None:
    """Acceptance 9: D2R-ACC02, told to the holder's own mailbox."""
    why = found(kit, sender="drb@rca.test")
    assert (why.reason.code, why.account.mailbox, why.known) == ("D2R-ACC02", "dra@rca.test", True)


def test_stranger_is_told_nothing(kit: Any) -> None:
    """Acceptance 10 and I5: a valid card without account has nobody to be told."""
    why = found(kit, Holder("person", idnps="899700000090"), "x@y.test")
    assert (why.reason.code, why.account) == ("D2R-ACC01", None)
    assert found(kit, None).account is None


def test_account_not_validated(kit: Any) -> None:
    """Acceptance 10: an account that is not validated is D2R-ACC01, told to its mailbox."""
    kit.write(lambda conn: people.set_account_state(conn, "a-dra", AccountState.SUSPENDED))
    why = found(kit)
    assert (why.reason.code, why.account.id, why.known) == ("D2R-ACC01", "a-dra", True)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        (b"DrA@RCA.test", b"dra@rca.test", "dra@rca.test"),
        (b"dra@rca.test", b"other@rca.test", "D2R-MAL02"),
        (b"a@b.test, c@d.test", b"a@b.test", "D2R-MAL02"),
        (None, b"A <a@b.test>", "a@b.test"),
        (None, None, "D2R-MAL02"),
        (b"a@b.test", None, "a@b.test"),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_from_inside_counts(inside: bytes | None, outside: bytes | None, expected: str, wrapped: bool) -> None:
    """The protected From counts; one that differs outside, or is not one address, is refused (R-FROM)."""
    fields = b"" if inside is None else b"From: " + inside + b"\r\n"
    data = fields + b"Content-Type: text/plain\r\n\r\nx"
    if wrapped:
        data = b"Content-Type: message/rfc822\r\n\r\n" + data
    file = WorkFile()
    file.write(data)
    outer = Headers(() if outside is None else (("From", b" " + outside),))
    found = from_address(Content(file, 0, len(data), ""), outer, Limits())
    assert (found if isinstance(found, str) else found.code) == expected
