"""What a code proves, when, and what ends it; the channel is nobody's business here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dcc.mailbox.factors import PASSKEY, TOTP, Factor
from dcc.mailbox.records import Account, AccountState
from dcc.router import factors as rules
from dcc.router.factors import Attempts, Proven, check_code, matching, provisioning_link, shown_key
from dcc.router.permission import Assurance
from dcc.router.reasons import Reason

# RFC 6238 Appendix B, SHA-1, its codes of eight digits cut to the last six (RFC 4226 §5.3)
VECTORS = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037"}
SECRET = b"12345678901234567890"
AT = datetime.fromtimestamp(1234567890, UTC)
ACCOUNT = Account("a", "rca", "person", "801234567897", "N", "P", "10", None, "a@x.example", "gp",
                  AccountState.VALIDATED, card_certificate=b"card")  # fmt: skip
FACTOR = Factor("f", "a", TOTP, "801234567897", b"card", AT, AT, 1, SECRET.ljust(24, b"\0"), confirmed_at=AT)


def unseal(sealed: str) -> bytes:
    """As the key ring, without a key."""
    return bytes.fromhex(sealed.partition(":")[2])


def check(code: str = "005924", factor: Factor | None = FACTOR, account: Account = ACCOUNT,
          judge: Callable[[bytes, str], str] = lambda _card, _use: "VALID", at: datetime = AT) -> Proven | str:  # fmt: skip
    """The proof, or the code of the reason."""
    found = check_code(factor, code, account, at=at, judge=judge, unseal=unseal, attempts=Attempts())
    return found.code if isinstance(found, Reason) else found


@pytest.mark.parametrize(("seconds", "code"), VECTORS.items())
def test_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    """The codes are those of the standard."""
    assert matching(SECRET, code, datetime.fromtimestamp(seconds, UTC), 0) == seconds // 30


def test_a_code_proves_nomad_and_no_more() -> None:
    """A right code is worth nomad, never the card; spaces in it do not count."""
    assert check() == Proven(Assurance.NOMAD, "f", 1234567890 // 30)
    assert check("005 924") == check()


@pytest.mark.parametrize("code", ["", "005925", "5924", "0005924", "００５９２４", "00592a", "-05924"])
def test_anything_else_proves_nothing(code: str) -> None:
    """A wrong code, and what is no code at all."""
    assert check(code) == "D2R-FAC02"


@pytest.mark.parametrize(("seconds", "good"), [(-31, False), (-30, True), (0, True), (59, True), (60, False)])
def test_one_step_beside_is_heard(seconds: int, good: bool) -> None:
    """A telephone may be one step early or late (RFC 6238 §5.2), and no more."""
    assert isinstance(check(at=AT + timedelta(seconds=seconds)), Proven) is good


def test_a_code_serves_once() -> None:
    """The same step again, and an older one, prove nothing (RFC 6238 §5.2)."""
    step = 1234567890 // 30
    assert check(factor=replace(FACTOR, counter=step)) == "D2R-FAC02"
    assert check(factor=replace(FACTOR, counter=step + 1)) == "D2R-FAC02"
    assert isinstance(check(factor=replace(FACTOR, counter=step - 1)), Proven)


def test_what_is_no_factor_looks_like_a_wrong_code() -> None:
    """Absent, not confirmed, ended, or of another kind: one and the same answer (I5)."""
    ended = replace(FACTOR, revoked_at=AT)
    for factor in (None, replace(FACTOR, confirmed_at=None), ended, replace(FACTOR, kind=PASSKEY)):
        assert check(factor=factor) == "D2R-FAC02"


def test_too_many_wrong_codes_pause() -> None:
    """After five in a row even the right code waits (RFC 4226 §7.3)."""
    tired = replace(FACTOR, failures=5, failed_at=AT - timedelta(minutes=14))
    assert check(factor=tired) == "D2R-FAC03"
    assert isinstance(check(factor=replace(tired, failures=4)), Proven)
    assert isinstance(check(factor=replace(tired, failed_at=AT - timedelta(minutes=15))), Proven)


@pytest.mark.parametrize("state", [one for one in AccountState if one is not AccountState.VALIDATED])
def test_the_account_must_be_validated(state: AccountState) -> None:
    """A factor is worth what its account is."""
    assert check(account=replace(ACCOUNT, state=state)) == "D2R-ACC01"


@pytest.mark.parametrize(
    ("verdict", "code"),
    [("OPPOSED", "D2R-CRL02"), ("EXPIRED", "D2R-CRL01"), ("REVOCATION_UNKNOWN", "D2R-CRL03"), ("X", "D2R-SIG03")],
)
def test_the_card_must_be_good_still(verdict: str, code: str) -> None:
    """Away from its reader the card counts all the same; what could not be found out is no yes (I10)."""
    assert check(judge=lambda _card, _use: verdict) == code
    assert rules.ends(Reason(code, "", "", "", "", "")) is (verdict == "OPPOSED")


def test_another_persons_factor_counts_for_nothing() -> None:
    """A factor of another account, or of another holder, is none."""
    assert check(account=replace(ACCOUNT, id="b")) == "D2R-ACC01"
    assert check(account=replace(ACCOUNT, national_id="899700000088")) == "D2R-FAC05"


def test_what_is_shown_to_its_owner() -> None:
    """The key in groups, and the link that an application reads."""
    assert shown_key(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    link = provisioning_link(SECRET, "a@x.example", "Réseau")
    assert link.startswith("otpauth://totp/R%C3%A9seau:a%40x.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=")
