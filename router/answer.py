"""What a sender is told when nothing was filed: the reason to known ones, a neutral sentence, or nothing (I5)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dcc.mailbox.records import Account, Delivery, DeliveryState
from dcc.router.distribute import receipt_parameters
from dcc.router.reasons import Reason
from dcc.router.request import Envelope

NEUTRAL = "D2R-NTR00"
# What a receipt says of each outcome (RFC 8098 §3.2.6); a held message is neither processed nor failed yet
DISPOSITIONS = {"refused": "processed/error", "done": "processed"}
KINDS = {"held": "held", "deferred": "held", "done": "acknowledgement"}
ANSWERS = frozenset({"acknowledgement", "carried", "held", "refusal"})  # mails to the sender of a message, about it
# Reasons that an automatic correspondent is not told: nothing was asked of us
SILENT = frozenset({"D2R-REP01", "D2R-REP02"})


def plan_answer(
    why: Reason,
    *,
    account: Account | None,
    authenticated: bool,
    message_id: str,
    now: datetime,
    new_id: Callable[[], str],
    folder: str | None = None,
    envelope: Envelope | None = None,
    documents: tuple[str, ...] = (),
) -> list[Delivery]:
    """The answer owed to the sender of a refused or held message, or of a deletion: at most one mail.

    `account` is the one whose mailbox the mail came from; None (a stranger): nothing. `authenticated`: the
    signature and the card were good, so the exact reason may be told. Otherwise one neutral sentence, at most
    once a day and account, whatever failed: it says nothing about the failure and cannot flood anybody.
    """
    if account is None or why.code in SILENT:
        return []
    parameters: dict[str, str] = {}
    if authenticated:
        parameters = dict(why.parameters) | {"ans": why.ans}
        if envelope is not None:
            parameters |= receipt_parameters(envelope, DISPOSITIONS.get(why.outcome, ""))
        if parameters.get("mdn") == "":
            del parameters["mdn"]
    # A message that is held first and refused later is told both; the same answer is told once
    key = f"{message_id}:answer:{account.id}:{why.code}" if authenticated else f"neutral:{account.id}:{now:%Y%m%d}"
    return [
        Delivery(
            id=new_id(),
            dedupe_key=key,
            kind=KINDS.get(why.outcome, "refusal") if authenticated else "refusal",
            mailbox=account.mailbox,
            account=account.id,
            folder=folder if authenticated else None,
            message=message_id,
            documents=documents,
            reason=why.code if authenticated else NEUTRAL,
            state=DeliveryState.QUEUED,
            created_at=now,
            due=now,
            parameters=tuple(sorted(parameters.items())),
        )
    ]
