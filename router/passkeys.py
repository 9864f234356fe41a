"""Passkeys (WebAuthn) as second factors: enrolled while the card is present, proved without it.

A browser page carries the exchange; what it brings back is judged here with a library of its own. The challenge is the
caller's, random and good for one answer; the site is the page's own name, hence no other page's answer counts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers.exceptions import WebAuthnException

from dcc.mailbox.factors import PASSKEY, Factor
from dcc.mailbox.records import Account
from dcc.router.factors import Attempts, Proven, paused, standing
from dcc.router.permission import Assurance
from dcc.router.readercard import CardJudge
from dcc.router.reasons import Reason, reason

UNREADABLE = (WebAuthnException, ValueError, LookupError, TypeError, AttributeError, struct.error)


@dataclass(frozen=True, slots=True)
class Site:
    """The page that asks: its domain, and its origin as a browser says it."""

    domain: str  # dossiers.example
    origin: str  # https://dossiers.example


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """What an authenticator made: its public half."""

    credential: bytes
    public_key: bytes
    counter: int


def read_new_passkey(answer: Mapping[str, Any], challenge: bytes, site: Site) -> NewPasskey | Reason:
    """The credential that an answer to `navigator.credentials.create` brings (WebAuthn §7.1)."""
    try:
        found = verify_registration_response(
            credential=dict(answer), expected_challenge=challenge, expected_rp_id=site.domain,
            expected_origin=site.origin, require_user_verification=True,
        )  # fmt: skip
    except UNREADABLE:
        return reason("D2R-FAC02")
    return NewPasskey(found.credential_id, found.credential_public_key, found.sign_count)


def check_passkey(
    factor: Factor | None,
    answer: Mapping[str, Any],
    challenge: bytes,
    site: Site,
    account: Account,
    *,
    at: datetime,
    judge: CardJudge,
    attempts: Attempts,
) -> Proven | Reason:
    """What an answer to `navigator.credentials.get` proves now (WebAuthn §7.2): one reason for whatever is wrong (I5)."""
    if factor is None or not factor.active or factor.kind != PASSKEY or factor.public_key is None:
        return reason("D2R-FAC02")
    why = standing(factor, account, judge) or paused(factor, at, attempts)
    if why is not None:
        return why
    try:
        found = verify_authentication_response(
            credential=dict(answer), expected_challenge=challenge, expected_rp_id=site.domain,
            expected_origin=site.origin, credential_public_key=factor.public_key,
            credential_current_sign_count=factor.counter or 0, require_user_verification=True,
        )  # fmt: skip
    except UNREADABLE:
        return reason("D2R-FAC02")
    if found.credential_id != factor.credential:
        return reason("D2R-FAC02")
    return Proven(Assurance.NOMAD, factor.id, found.new_sign_count)
