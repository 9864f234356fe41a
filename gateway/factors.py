"""Proofs by a second factor, for whatever channel asks: counted, audited, and worth what the rules say (mission S13)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dcc.cards.certificate import read_certificate
from dcc.gateway.administering import Actor, NotPossible, carry_out, records
from dcc.gateway.services import Services
from dcc.mailbox import factors, people
from dcc.mailbox.changes import Change, FactorConfirmed, FactorEnrolled, FactorRevoked
from dcc.mailbox.changewriting import apply
from dcc.mailbox.factors import PASSKEY, TOTP, Factor
from dcc.mailbox.records import Account, AuditRecord
from dcc.mailbox.rows import new_id
from dcc.router.factors import ENROL_LIFE, Attempts, Proven, check_code, ends, standing
from dcc.router.reasons import Reason, reason
from dcc.router.sender import national_id_of

if TYPE_CHECKING:
    from dcc.router.passkeys import Site

Check = Callable[[Factor, Account], Proven | Reason]


def prove_by_code(services: Services, account_id: str, code: str, now: datetime) -> Proven | Reason:
    """What a six-digit code proves for this account now. Every attempt is in the audit trail, the code in none."""

    def check(factor: Factor, account: Account) -> Proven | Reason:
        return check_code(
            factor, code, account, at=now, judge=services.judge_stored(lambda: now), unseal=services.unseal_secret,
            attempts=attempts(services),
        )  # fmt: skip

    with services.database.begin() as conn:
        return _proved(services, conn, account_id, _active(conn, account_id), check, now)


def prove_by_passkey(
    services: Services, account_id: str, answer: Mapping[str, Any], challenge: bytes, site: Site, now: datetime
) -> Proven | Reason:
    """What a passkey's answer proves for this account now; the challenge is the caller's, good for one answer."""
    from dcc.router.passkeys import check_passkey  # its library takes 60 ms to load, and no mail needs it

    def check(factor: Factor, account: Account) -> Proven | Reason:
        return check_passkey(
            factor, answer, challenge, site, account, at=now, judge=services.judge_stored(lambda: now),
            attempts=attempts(services),
        )  # fmt: skip

    with services.database.begin() as conn:
        return _proved(services, conn, account_id, _named(conn, account_id, answer), check, now)


def enrol_passkey(
    services: Services,
    account_id: str,
    card: bytes,
    answer: Mapping[str, Any],
    challenge: bytes,
    site: Site,
    now: datetime,
) -> Factor | Reason:
    """A passkey of the person whose card is present now: `card` is the certificate that the channel has just proved."""
    from dcc.router.passkeys import read_new_passkey  # as above

    with services.database.read() as conn:
        account = people.get_account(conn, account_id)
    found = read_new_passkey(answer, challenge, site)
    if account is None or isinstance(found, Reason):
        return reason("D2R-FAC02")
    made = Factor(
        new_id(services.random_bytes), account.id, PASSKEY, national_id_of(read_certificate(card).holder) or "", card,
        now, now + ENROL_LIFE, credential=found.credential, public_key=found.public_key,
    )  # fmt: skip
    why = standing(made, account, services.judge_stored(lambda: now))
    if why is not None:
        return why
    changes: list[Change] = [FactorEnrolled(made), FactorConfirmed(made, found.counter)]
    try:
        carry_out(services, changes, Actor(account.id, "card", hashlib.sha256(card).hexdigest()), now)
    except NotPossible:  # an authenticator never makes the same credential twice: somebody repeats an answer
        return reason("D2R-FAC02")
    return made


def _proved(
    services: Services, conn: Connection, account_id: str, factor: Factor | None, check: Check, now: datetime
) -> Proven | Reason:
    account = people.get_account(conn, account_id)
    found: Proven | Reason = reason("D2R-FAC02")
    if account is not None and factor is not None:
        found = _written(services, conn, factor, check(factor, account), now)
    services.audit.append(conn, _record(account_id, factor, found, now))
    return found


def _named(conn: Connection, account_id: str, answer: Mapping[str, Any]) -> Factor | None:
    """The account's passkey that an answer names, locked."""
    name = answer.get("rawId")
    for one in factors.of_account(conn, account_id):
        if one.kind == PASSKEY and one.active and one.credential is not None:
            known = base64.urlsafe_b64encode(one.credential).decode().rstrip("=")
            if name == known:
                return factors.locked(conn, one.id)
    return None


def attempts(services: Services) -> Attempts:
    """How many wrong proofs are heard, as the settings say."""
    told = services.settings.factors
    return Attempts(told.attempts, timedelta(seconds=told.pause_seconds))


def forget_overdue(services: Services, now: datetime) -> int:
    """Keys that were sent and never confirmed are forgotten; returns how many."""
    with services.database.read() as conn:
        found = factors.overdue(conn, now)
    changes: list[Change] = [FactorRevoked(one.id, one.account, factors.OVERDUE) for one in found]
    if changes:
        carry_out(services, changes, Actor("gateway", "gateway"), now)
    return len(changes)


def _active(conn: Connection, account_id: str) -> Factor | None:
    """The account's factor of codes, locked; there is at most one that counts."""
    held = [one for one in factors.of_account(conn, account_id) if one.kind == TOTP and one.active]
    return factors.locked(conn, held[-1].id) if held else None


def _written(
    services: Services, conn: Connection, factor: Factor, found: Proven | Reason, now: datetime
) -> Proven | Reason:
    """The counter moves on, the failure is counted, or the factor ends."""
    if isinstance(found, Proven):
        silent = factor.kind == PASSKEY and not factor.counter  # one that never counts (WebAuthn §6.1.1)
        if factors.advance(conn, factor.id, counter=found.counter, at=now, every=silent):
            return found
        found = reason("D2R-FAC02")  # the same code was taken a moment ago
    if ends(found):
        change = FactorRevoked(factor.id, factor.account, factors.CARD)
        apply(conn, change, now)
        services.audit.append(conn, *records([change], Actor("gateway", "gateway"), now))
    elif found.code == "D2R-FAC02":
        factors.failed(conn, factor.id, since=now - attempts(services).pause, at=now)
    return found


def _record(account_id: str, factor: Factor | None, found: Proven | Reason, now: datetime) -> AuditRecord:
    told = {} if factor is None else {"factor": factor.id}
    code, word = None, "proven"
    if isinstance(found, Proven):
        told["assurance"] = found.assurance.value
    else:
        code, word = found.code, "refused"
    return AuditRecord(
        at=now, tag=f"gateway:factor:{word}", actor=account_id, certificate=None,
        message=None, mail_message_id=None, folder=None, document=None, decision=word, code=code,
        detail=json.dumps(told),
    )  # fmt: skip
