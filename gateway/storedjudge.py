"""What a stored certificate is worth now: cards by the card world, a partner's recipients by the partner (R-USAGE)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dcc.cards.certificate import read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.judge import Judge
from dcc.cards.publickey import POST_QUANTUM
from dcc.cards.verdict import Verdict
from dcc.gateway.partners import Partner, partner_of


@dataclass(frozen=True, slots=True)
class StoredJudge:
    """As the router wants it (`router.readercard.CardJudge`): the name of the verdict."""

    judge: Judge
    partners: Sequence[Partner]
    post_quantum: bool
    clock: Callable[[], datetime]

    def __call__(self, certificate: bytes, purpose: str, mailbox: str | None = None) -> str:
        """`mailbox`: that of an account without a card; in a partner's domain the partner's anchors count, no others."""
        if purpose == "encrypt" and not self.post_quantum and _is_post_quantum(certificate):
            return Verdict.WRONG_USAGE.value  # nothing can be sealed for it: a notice without content instead
        partner = None if mailbox is None else partner_of(self.partners, mailbox)
        if partner is not None and mailbox is not None and purpose == "encrypt":
            return partner.judge_recipient(certificate, mailbox, self.clock()).value
        return self.judge.recent(certificate, at=self.clock(), purpose=purpose).verdict.value


def _is_post_quantum(certificate: bytes) -> bool:
    try:
        return read_certificate(certificate).key_type in POST_QUANTUM.values()
    except Unparseable:
        return False  # the judge says so itself
