"""Who sent it: the card's holder, the account that enrolment binds to it, and the From address (D2R-ACC01, -02)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from dcc.cards.certificate import CardCertificate
from dcc.cards.holder import Holder
from dcc.mailbox import people
from dcc.mailbox.records import Account, AccountState
from dcc.router.reasons import Reason, reason
from dcc.router.request import Sender

# Each verdict of the card with its own reason (facts/smime.md §9.8: distinct verdicts, distinct words)
CARD_REASONS: Mapping[str, str] = {
    "EXPIRED": "D2R-CRL01",
    "OPPOSED": "D2R-CRL02",
    "REVOCATION_UNKNOWN": "D2R-CRL03",
    "UNTRUSTED_CHAIN": "D2R-SIG03",
    "BAD_SIGNATURE": "D2R-SIG03",
    "WRONG_USAGE": "D2R-CRD01",
    "TEST_CARD_IN_PROD": "D2R-CRD02",
    "NOT_YET_VALID": "D2R-CRD03",
    "UNPARSEABLE": "D2R-CRD04",
    "WEAK_KEY": "D2R-ALG01",
}
# Verdicts reached only when the issuing authority itself is trusted: they say who the holder is
ISSUED = frozenset({"VALID", "EXPIRED", "NOT_YET_VALID", "OPPOSED", "WRONG_USAGE", "REVOCATION_UNKNOWN"})


def card_reason(verdict: str) -> Reason:
    """The reason behind a verdict; a weak key is said to be the certificate's, not the message's."""
    code = CARD_REASONS.get(verdict, "D2R-SIG03")
    return reason(code, detail="certificate") if verdict == "WEAK_KEY" else reason(code)


@dataclass(frozen=True, slots=True)
class Unidentified:
    """The message has no sender to act for; `account` may be told, exactly when `known`, else neutrally (I5)."""

    reason: Reason
    account: Account | None = None
    known: bool = False


def identify_sender(
    conn: Connection, *, verdict: str, certificate: CardCertificate | None, from_address: str
) -> Sender | Unidentified:
    """The sender of an intact, validly signed message, or why there is none.

    `verdict` is the name of a `cards` verdict on the signer's certificate at reception; `from_address` the one
    address of the protected From, in lower case. Cards carry no address: From is bound to the holder's
    national identifier by enrolment alone (facts/cards.md §0.3).
    """
    bound_here = people.by_mailbox(conn, None, from_address)
    holder = None if certificate is None else certificate.holder
    national_id = national_id_of(holder)
    held = [] if national_id is None else people.by_national_id(conn, national_id)
    bound = [one for one in held if one.mailbox == from_address]
    if certificate is None or verdict != "VALID":
        why = card_reason(verdict)
        if verdict in ISSUED and bound:
            return Unidentified(why, bound[0], known=True)
        return Unidentified(why, bound_here[0] if bound_here else None)
    if not held:
        return Unidentified(reason("D2R-ACC01"))  # a stranger to the network: told nothing
    if not bound:  # the holder is told at the mailbox that is really theirs
        return Unidentified(reason("D2R-ACC02"), held[0], known=True)
    validated = tuple(one for one in bound if one.state is AccountState.VALIDATED)
    if not validated:
        return Unidentified(reason("D2R-ACC01"), bound[0], known=True)
    structure = holder.structure_id if holder is not None and holder.structure_id else validated[0].structure
    return Sender(validated, certificate.sha256, structure)


def identify_partner(
    conn: Connection, *, verdict: str, bound: bool, from_address: str, certificate_sha256: str
) -> Sender | Unidentified:
    """The sender of a mail from a partner's domain: the account enrolled for the very address (RFC 8550 §3).

    `bound`: the certificate names the address or its domain. A partner's anchors never speak for the holder of a card:
    an account that was enrolled with one is not theirs to use.
    """
    here = people.by_mailbox(conn, None, from_address)
    known = here[0] if here else None
    if verdict != "VALID":
        return Unidentified(card_reason(verdict), known)
    if not bound:
        return Unidentified(reason("D2R-ACC02"), known)
    # The very address: the search by mailbox takes other signs for the ASCII letters that they become in lower case
    mine = [one for one in here if one.mailbox == from_address]
    accounts = tuple(one for one in mine if one.card_certificate is None and one.state is AccountState.VALIDATED)
    if not accounts:
        return Unidentified(reason("D2R-ACC01"), known)
    return Sender(accounts, certificate_sha256, accounts[0].structure)


def national_id_of(holder: Holder | None) -> str | None:
    """IDNPS of a person, IDNST of an organisation: the key that accounts are enrolled under."""
    if holder is None:
        return None
    return holder.structure_id if holder.kind == "organisation" else holder.idnps
