"""What a reader's certificates allow today: the report, a notice without content, or nothing (contract.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509

from dcc.mailbox.records import Account
from dcc.router.reasons import Reason, reason


class CardJudge(Protocol):
    """What a stored certificate is worth today: the name of a `cards` verdict (VALID, EXPIRED, OPPOSED, …)."""

    def __call__(self, certificate: bytes, purpose: str, mailbox: str | None = None) -> str:
        """Judge a DER certificate for "sign" or "encrypt"; `mailbox` as `partner_mailbox` gives it."""


def withheld(why: Reason) -> Reason:
    """The same reason, as the end of a delivery."""
    return reason(why.code, **{**dict(why.parameters), "outcome": "withheld"})


def kind_for(account: Account, now: datetime, judge: CardJudge) -> tuple[str, Reason | None]:
    """Report or notice, and the reason for a notice or for nothing (contract.md, Messages and folders)."""
    card = card_state(account, judge)
    if card == "OPPOSED":
        return "report", withheld(reason("D2R-CRL02"))
    if card == "EXPIRED":
        return "notice", reason("D2R-CRL01", outcome="notice")
    if not _may_encrypt(account, now, judge):
        return "notice", reason("D2R-CRT01", outcome="notice")
    return "report", None


def card_state(account: Account, judge: CardJudge) -> str | None:
    """What the card is worth that the account was last seen with; None: it was enrolled without one."""
    return None if account.card_certificate is None else judge(account.card_certificate, "sign")


def _may_encrypt(account: Account, now: datetime, judge: CardJudge) -> bool:
    """R-18: encrypt only to a certificate that is meant for it, unexpired and not revoked."""
    certificate = account.encryption_certificate
    if certificate is None or not in_time(certificate, now):
        return False
    return judge(certificate, "encrypt", partner_mailbox(account)) in {"VALID", "REVOCATION_UNKNOWN"}


def partner_mailbox(account: Account) -> str | None:
    """The mailbox of an account that was enrolled without a card; for another no partner may vouch (RFC 8550 §3)."""
    return account.mailbox if account.card_certificate is None else None


def in_time(certificate: bytes, now: datetime) -> bool:
    """Whether a certificate's own dates include this time."""
    period = _period(certificate)
    return period is not None and period[0] <= now.astimezone(UTC) <= period[1]


@lru_cache(maxsize=512)  # each reader's certificate comes again with every mail
def _period(certificate: bytes) -> tuple[datetime, datetime] | None:
    try:
        read = x509.load_der_x509_certificate(certificate)
        return read.not_valid_before_utc, read.not_valid_after_utc
    except ValueError:
        return None
