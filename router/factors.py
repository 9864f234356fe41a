"""The second factor of nomad mode (mission S13): enrolled while the card was present, proved without it.

Codes by the clock (RFC 6238). The secret is made by us, sent under a seal to its owner alone, and confirmed by a first
code in a signed mail: both mails are signed by the card, hence the assurance of the enrolment is that of the card. What
a later code proves is less, `Assurance.NOMAD`, and only as long as the account is validated and the card is good. The
same rules serve every channel: mail enrols here, a page proves here.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp

from dcc.cards.certificate import read_certificate
from dcc.mailbox import factors
from dcc.mailbox.changes import Change, FactorConfirmed, FactorEnrolled, FactorRevoked
from dcc.mailbox.factors import TOTP, Factor
from dcc.mailbox.records import Account, AccountState
from dcc.mailbox.rows import new_id
from dcc.router.carried import Carried, OwedMail
from dcc.router.decision import Refused
from dcc.router.desk import Desk
from dcc.router.permission import Assurance
from dcc.router.petition import Petition
from dcc.router.readercard import CardJudge
from dcc.router.reasons import Reason, reason
from dcc.router.sender import CARD_REASONS, national_id_of

SECRET_BYTES = 20  # RFC 4226 §4 R6: 160 bits, and a key of 32 letters without padding
WRAPPED_BYTES = 24  # RFC 3394 wraps whole blocks of 8
STEP = 30  # seconds (RFC 6238 §5.2)
DIGITS = 6
ENROL_LIFE = timedelta(days=1)
BESIDE = 1  # steps that a telephone's clock may be wrong, either way (RFC 6238 §5.2)
ON_THE_WAY = 40  # steps that a mail with a first code may take: twenty minutes; its signature says who sent it


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many wrong codes in a row are heard before a pause (RFC 4226 §7.3)."""

    most: int = 5
    pause: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Proven:
    """A level of assurance, and what it rests on."""

    assurance: Assurance
    factor: str
    counter: int


# --- Enrolment, by signed mail


def enrol(petition: Petition, account: Account, desk: Desk) -> Carried | Refused:
    """A new secret, sent to its owner alone; nothing counts before the first code comes back."""
    del petition
    if account.kind != "person" or not desk.card:
        return Refused(reason("D2R-FAC04"), account)
    if account.encryption_certificate is None:
        return Refused(reason("D2R-FAC01"), account)
    secret = desk.random_bytes(SECRET_BYTES)
    version, _, wrapped = desk.secrets.seal(secret.ljust(WRAPPED_BYTES, b"\0")).partition(":")
    made = Factor(
        new_id(desk.random_bytes), account.id, TOTP, account.national_id, desk.card, desk.now, desk.now + ENROL_LIFE,
        int(version), bytes.fromhex(wrapped),
    )  # fmt: skip
    mail = OwedMail("factor", account, (("factor", made.id),))
    earlier = [one for one in factors.of_account(desk.conn, account.id) if one.pending(desk.now)]
    ended = tuple(FactorRevoked(one.id, account.id, factors.REPLACED) for one in earlier)
    return Carried(reason("D2R-ASK04", kind="factor"), (*ended, FactorEnrolled(made)), None, (mail,))


def activate(petition: Petition, account: Account, desk: Desk) -> Carried | Refused:
    """The first code, in a mail signed by the very card that was there when the secret was asked for."""
    waiting = [one for one in factors.of_account(desk.conn, account.id) if one.kind == TOTP and one.pending(desk.now)]
    if not waiting:
        return Refused(reason("D2R-FAC05"), account)
    factor = waiting[-1]
    if factor.card != desk.card:
        return Refused(reason("D2R-FAC05"), account)
    step = matching(secret_of(factor, desk.secrets.unseal), petition.fields["code"], desk.received_at, ON_THE_WAY)
    if step is None:
        return Refused(reason("D2R-FAC02"), account)
    changes: tuple[Change, ...] = (FactorConfirmed(factor, step),)
    return Carried(reason("D2R-ASK04", kind="activate"), changes, account)


# --- Proof, by any channel


def check_code(
    factor: Factor | None,
    code: str,
    account: Account,
    *,
    at: datetime,
    judge: CardJudge,
    unseal: Callable[[str], bytes],
    attempts: Attempts,
) -> Proven | Reason:
    """What a code proves now. Whatever is wrong with the code or the factor has one and the same reason (I5)."""
    if factor is None or not factor.active or factor.kind != TOTP:
        return reason("D2R-FAC02")
    why = standing(factor, account, judge) or paused(factor, at, attempts)
    if why is not None:
        return why
    step = matching(secret_of(factor, unseal), code, at, BESIDE)
    if step is None or (factor.counter is not None and step <= factor.counter):  # RFC 6238 §5.2: one code, one proof
        return reason("D2R-FAC02")
    return Proven(Assurance.NOMAD, factor.id, step)


def standing(factor: Factor, account: Account, judge: CardJudge) -> Reason | None:
    """Why a factor counts for nothing now: its account, its card, or a card that has become another person's.

    A card renewed for the same person keeps the factor; the card that was present must never have been opposed.
    """
    if factor.account != account.id or account.state is not AccountState.VALIDATED:
        return reason("D2R-ACC01")
    if factor.national_id != account.national_id:
        return reason("D2R-FAC05")
    verdict = judge(factor.card, "sign")
    if verdict == "EXPIRED" and account.card_certificate not in {None, factor.card}:
        renewed = account.card_certificate or b""
        if national_id_of(read_certificate(renewed).holder) != factor.national_id:
            return reason("D2R-FAC05")
        verdict = judge(renewed, "sign")
    return None if verdict == "VALID" else reason(CARD_REASONS.get(verdict, "D2R-SIG03"))


def ends(why: Reason) -> bool:
    """Whether a factor that has this against it never comes back (an opposed card, another person's card)."""
    return why.code in {"D2R-CRL02", "D2R-FAC05"}


def paused(factor: Factor, at: datetime, attempts: Attempts) -> Reason | None:
    """Whether too many wrong proofs came in a row."""
    recent = factor.failed_at is not None and at - factor.failed_at < attempts.pause
    return reason("D2R-FAC03") if recent and factor.failures >= attempts.most else None


def secret_of(factor: Factor, unseal: Callable[[str], bytes]) -> bytes:
    """The secret of a factor. Raises KeyMissing where the key ring has not its key, LookupError where it has ended."""
    if factor.key_version is None or factor.wrapped_key is None:
        raise LookupError("no secret")
    return unseal(f"{factor.key_version}:{factor.wrapped_key.hex()}")[:SECRET_BYTES]


def matching(secret: bytes, code: str, at: datetime, behind: int) -> int | None:
    """The time step whose code this is, from `behind` steps ago to one ahead; None: no such step."""
    given = "".join(code.split())
    if len(given) != DIGITS or not (given.isascii() and given.isdigit()):
        return None
    clock = _clock(secret)
    now = int(at.timestamp()) // STEP
    found = [
        step for step in range(now - behind, now + BESIDE + 1) if hmac.compare_digest(clock.generate_otp(step), given)
    ]
    return max(found, default=None)


def shown_key(secret: bytes) -> str:
    """A secret as people type it: groups of four letters."""
    key = _key(secret)
    return " ".join(key[place : place + 4] for place in range(0, len(key), 4))


def provisioning_link(secret: bytes, mailbox: str, issuer: str) -> str:
    """The link that an authenticator application reads (`otpauth://totp/…`)."""
    return _clock(secret).provisioning_uri(name=mailbox, issuer_name=issuer)


def _clock(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(_key(secret), digits=DIGITS, interval=STEP)


def _key(secret: bytes) -> str:
    return base64.b32encode(secret).decode("ascii")
