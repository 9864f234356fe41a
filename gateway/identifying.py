"""Who signed a mail that was opened: every signer's card judged, and the account that answers for From."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection

from dcc.cards.certificate import read_certificate
from dcc.cards.opposition import LISTS_ALONE, Beside
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.announcedkey import replaced
from dcc.gateway.partners import Partner, partner_of
from dcc.gateway.progress import Progress
from dcc.gateway.proving import keep
from dcc.gateway.services import Services
from dcc.gateway.signingtime import SPREAD, at_signing_too
from dcc.mailbox import capabilities
from dcc.mailbox.changes import CapabilitiesSeen, Change, EncryptionCertificateSeen
from dcc.router import intended
from dcc.router.protected import from_address, protected_headers
from dcc.router.reasons import Reason, reason
from dcc.router.request import Sender
from dcc.router.sender import Unidentified, identify_partner, identify_sender
from dcc.smime import fields
from dcc.smime.headers import Headers
from dcc.smime.verdict import Content, Opened, SignatureCheck

AMBIGUOUS, INCOMPLETE, FORWARDED = "D2R-MAL02", "D2R-MAL03", "D2R-FWD01"


@dataclass(frozen=True, slots=True)
class _Judged:
    """One signer, the card behind the signature, and whom it belongs to."""

    signer: SignatureCheck
    judgement: Judgement
    beside: Beside  # what the verdict rested on beside certificates and lists
    found: Sender | Unidentified


def identify(services: Services, progress: Progress, opened: Opened) -> Sender | Unidentified:
    """The sender, or why there is none; what was judged is noted in `progress`."""
    if opened.content is None:
        raise RuntimeError("nothing was opened")
    address = from_address(opened.content, opened.outer, services.limits)
    if isinstance(address, Reason):
        return Unidentified(address)
    with services.database.read() as conn:
        judged = [_judged(services, progress, opened, one, address, conn) for one in opened.signers]
    answering = [one for one in judged if isinstance(one.found, Sender)]
    chosen = answering[0] if answering else judged[0]
    _note(progress, chosen)
    progress.partner = partner_of(services.partners, address)
    if progress.partner is not None:
        progress.evidence["card"]["partner"] = progress.partner.name
    else:
        progress.evidence["card"]["basis"] = keep(
            services.proofs, chosen.judgement, certificate=chosen.signer.certificate or b"", extra=opened.certificates,
            trust=services.judge.trust, crls=services.judge.crls, beside=chosen.beside,
        )  # fmt: skip
    if answering and len(answering) not in (1, len(judged)):
        # R-SIGNERS: exactly one signer, or every one, answers for From
        return Unidentified(reason(AMBIGUOUS, detail="R-SIGNERS"), progress.account)
    if isinstance(chosen.found, Unidentified):
        return chosen.found
    refused = _envelope(services, progress, opened.content, opened.outer, address)
    return chosen.found if refused is None else Unidentified(refused, chosen.found.account, known=True)


def learned(services: Services, progress: Progress, sender: Sender) -> list[Change]:
    """What the sender's mail says of how to write back: what the client reads (RFC 8551 §2.7.2), a certificate."""
    own = replaced(services, progress, sender) if progress.partner is None else _certificate(progress, sender)
    return [*_capabilities(services, progress, sender), *own]


def _certificate(progress: Progress, sender: Sender) -> list[Change]:
    """A partner's encryption certificate, where none is known, one that is not good, or one that was issued before it."""
    partner, opened, signer = progress.partner, progress.opened, progress.signature
    if partner is None or opened is None or signer is None:
        return []
    at = progress.message.received_at
    changes: list[Change] = []
    for one in sender.accounts:
        found, known = partner.announced(opened, signer, one.mailbox, at), one.encryption_certificate
        if found is None:
            continue
        good = known is not None and partner.judge_recipient(known, one.mailbox, at) is Verdict.VALID
        if known is None or not good or found.not_before > read_certificate(known).not_before:
            changes.append(EncryptionCertificateSeen(one.id, found.der, known))
    return changes


def _capabilities(services: Services, progress: Progress, sender: Sender) -> list[Change]:
    """What the client says it can read, where that is new (RFC 8551 §2.7.2)."""
    signer = progress.signature
    if signer is None or not signer.capabilities or signer.signing_time is None:
        return []
    at = min(signer.signing_time, progress.message.received_at)  # a claim: one of the future would stay for ever
    with services.database.read() as conn:
        new = [one for one in sender.accounts if capabilities.announced(conn, one.id) != signer.capabilities]
        older = [one for one in new if (capabilities.signed_at(conn, one.id) or at) <= at]
    return [CapabilitiesSeen(one.id, signer.capabilities, at) for one in older]


def _judged(
    services: Services, progress: Progress, opened: Opened, signer: SignatureCheck, address: str, conn: Connection
) -> _Judged:
    partner = partner_of(services.partners, address)
    if partner is not None:
        return _of_partner(partner, progress, opened, signer, address, conn)
    at_reception, beside = services.judge_received(
        signer.certificate or b"", opened.certificates, progress.message.received_at, progress.at
    )
    judgement = at_signing_too(at_reception, signer.signing_time)
    found = identify_sender(
        conn, verdict=judgement.verdict.value, certificate=judgement.certificate, from_address=address
    )
    return _Judged(signer, judgement, beside, found)


def _of_partner(
    partner: Partner, progress: Progress, opened: Opened, signer: SignatureCheck, address: str, conn: Connection
) -> _Judged:
    """In a partner's domain the address profile counts, never a card (RFC 8550 §3)."""
    der = signer.certificate or b""
    judgement = at_signing_too(
        partner.judge(der, opened.certificates, progress.message.received_at), signer.signing_time
    )
    found = identify_partner(
        conn, verdict=judgement.verdict.value, bound=partner.names(judgement, address), from_address=address,
        certificate_sha256="" if judgement.certificate is None else judgement.certificate.sha256,
    )  # fmt: skip
    return _Judged(signer, judgement, LISTS_ALONE, found)


def _note(progress: Progress, chosen: _Judged) -> None:
    signer, judgement = chosen.signer, chosen.judgement
    progress.signature, progress.judgement = signer, judgement
    progress.evidence["card"] = {
        "verdict": judgement.verdict.value,
        "at": progress.message.received_at.isoformat(),
        "checks": [
            {"check": e.check, "verdict": None if e.verdict is None else e.verdict.value, "text": e.text, **e.details}
            for e in judgement.evidence
        ],
        "chain": [hashlib.sha256(one).hexdigest() for one in judgement.chain],
        "signing_time": None if signer.signing_time is None else signer.signing_time.isoformat(),
    }
    if signer.signing_time is not None and abs(progress.message.received_at - signer.signing_time) > SPREAD:
        progress.evidence["card"]["flag"] = "R-REPLAY: signing time far from reception"
    progress.replay_key = _replay_key(signer)
    progress.account = chosen.found.account


def _replay_key(signer: SignatureCheck) -> str:
    """R-REPLAY: certificate, digest and time of one signature."""
    parts = (signer.certificate or b"", signer.message_digest, str(signer.signing_time).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _envelope(services: Services, progress: Progress, content: Content, outer: Headers, address: str) -> Reason | None:
    """The envelope beside the signed fields: noted (R-INTENDED), and refused where the settings say so (R-FROM)."""
    policy = services.settings.gateway
    inside = protected_headers(content, services.limits)
    found = intended.flags(
        inside, mail_from=progress.message.mail_from, recipients=progress.message.recipients, from_address=address,
        limits=services.limits,
    )  # fmt: skip
    progress.evidence["envelope"] = {"flags": list(found)}
    absent = fields.missing(policy.required_fields, outer, inside)
    if absent:
        return reason(INCOMPLETE, fields=", ".join(absent))
    if policy.refuse_forwarded and intended.FORWARDED in found:
        return reason(FORWARDED)
    return None
