"""Proofs by a second factor, for whatever channel asks: counted, audited, and worth what the rules say (mission S13)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dcc.gateway.administering import Actor, carry_out, records
from dcc.gateway.services import Services
from dcc.mailbox import factors, people
from dcc.mailbox.changes import Change, FactorRevoked, apply
from dcc.mailbox.factors import TOTP, Factor
from dcc.mailbox.records import AuditRecord
from dcc.router.factors import Attempts, Proven, check_code, ends
from dcc.router.reasons import Reason, reason


def prove_by_code(services: Services, account_id: str, code: str, now: datetime) -> Proven | Reason:
    """What a six-digit code proves for this account now. Every attempt is in the audit trail, the code in none."""
    with services.database.begin() as conn:
        account = people.get_account(conn, account_id)
        factor = _active(conn, account_id)
        if account is None or factor is None:
            found: Proven | Reason = reason("D2R-FAC02")
        else:
            found = check_code(
                factor, code, account, at=now, judge=services.judge_stored(lambda: now),
                unseal=services.unseal_secret, attempts=attempts(services),
            )  # fmt: skip
        if factor is not None:
            found = _written(services, conn, factor, found, now)
        services.audit.append(conn, _record(account_id, factor, found, now))
    return found


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
        if factors.advance(conn, factor.id, counter=found.counter, at=now):
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
