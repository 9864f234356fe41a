"""The verdict on the card that signed a mail, with everything that an instance may look it up in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dcc.cards.judge import Judge
from dcc.cards.opposition import LISTS_ALONE, Beside
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.ocspask import OcspAsker
from dcc.mailbox import overrides
from dcc.mailbox.database import Database


@dataclass(frozen=True, slots=True)
class SignerJudge:
    """Lists first; a responder where the settings say so; an operator's override of stale lists last."""

    judge: Judge
    database: Database
    asker: OcspAsker

    def __call__(
        self, certificate: bytes, extra: tuple[bytes, ...], at: datetime, now: datetime
    ) -> tuple[Judgement, Beside]:
        """The verdict at reception, reached now, and what it rested on beside the lists."""
        beside = LISTS_ALONE
        found = self.judge(certificate, at=at, extra_certificates=extra)
        if self.asker.wanted(found):
            answers = self.asker.ask(found, now)
            if answers:
                beside = Beside(answers, now, self.asker.age)
                found = self.judge(certificate, at=at, extra_certificates=extra, beside=beside)
        if found.verdict is not Verdict.REVOCATION_UNKNOWN:
            return found, beside
        with self.database.read() as conn:
            held = overrides.in_force(conn, now)
        if held is not None:
            beside = replace(beside, override=held.id)
            found = self.judge(certificate, at=at, extra_certificates=extra, beside=beside)
        return found, beside
