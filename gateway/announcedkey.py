"""The encryption certificate that a person announces in a verified signature, and when it takes the place of another.

Anybody may announce anything: it counts when it is the signer's own, good, and newer than the one kept (decision 0016).
"""

from __future__ import annotations

from datetime import datetime

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.progress import Progress
from dcc.gateway.services import Services
from dcc.gateway.signingtime import SPREAD
from dcc.mailbox.changes import EncryptionCertificateSeen
from dcc.mailbox.records import Account
from dcc.router.request import Sender
from dcc.router.sender import national_id_of
from dcc.smime.verdict import SignatureCheck


def announced(
    services: Services, signer: SignatureCheck, judgement: Judgement | None, at: datetime
) -> CardCertificate | None:
    """The one that the signature prefers (RFC 8551 §2.5.3), a signed attribute, where it is good at this time.

    Only one of the same national identifier counts (facts/cards.md §10), and only one that mails can be sealed for.
    """
    offered = signer.encryption_key_preference
    if offered is None or judgement is None or judgement.certificate is None:
        return None
    mine = national_id_of(judgement.certificate.holder)
    if mine is None or services.judge_stored(lambda: at)(offered, "encrypt") != Verdict.VALID.value:
        return None
    found = read_certificate(offered)
    return found if national_id_of(found.holder) == mine else None


def replaced(services: Services, progress: Progress, sender: Sender) -> list[EncryptionCertificateSeen]:
    """The accounts of the sender's mailbox whose certificate changes with this mail: none where it is the one kept."""
    signer, at = progress.signature, progress.message.received_at
    if signer is None or signer.encryption_key_preference is None or not _fresh(signer, at):
        return []
    others = [
        one for one in sender.accounts
        if one.kind == "person" and one.encryption_certificate != signer.encryption_key_preference
    ]  # fmt: skip
    found = announced(services, signer, progress.judgement, at) if others else None
    if found is None:
        return []
    return [
        EncryptionCertificateSeen(one.id, found.der, one.encryption_certificate)
        for one in others if _for_mailbox(found, one) and _newer(found, one.encryption_certificate)
    ]  # fmt: skip


def _fresh(signer: SignatureCheck, at: datetime) -> bool:
    """R-REPLAY: an old mail that somebody sends again says nothing of today."""
    return signer.signing_time is not None and abs(at - signer.signing_time) <= SPREAD


def _for_mailbox(found: CardCertificate, account: Account) -> bool:
    """A certificate that names mailboxes is for those: its key may lie with another employer of the same person."""
    return not found.addresses or account.mailbox in {one.lower() for one in found.addresses}


def _newer(found: CardCertificate, known: bytes | None) -> bool:
    """Never an older one, not even in the place of one that is expired or revoked."""
    if known is None:
        return True
    try:
        return found.not_before > read_certificate(known).not_before
    except Unparseable:
        return True
