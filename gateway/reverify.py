"""`dcc message reverify`: the original still as received, its signature checked again, the card's verdict reached again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from dcc.cards.verdict import Evidence, Judgement
from dcc.gateway.proving import NotProvable, again, at_signing, rested
from dcc.mailbox.proofs import ProofStore
from dcc.mailbox.records import Message
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.open import open_message
from dcc.smime.verdict import Opened


@dataclass(frozen=True, slots=True)
class Reverified:
    """Three questions, each yes, no or (None) not to be found out."""

    message: str
    original: bool | None  # the received octets are unchanged
    signature: bool | None  # intact, and by the certificate that was judged; None: no key of ours opens it any more
    verdict: str  # reached again, from what was kept
    stored_verdict: str
    checks: tuple[Evidence, ...]
    same_checks: bool  # the same checks failed
    at: datetime
    signing_time: datetime | None
    verdict_at_signing: str | None
    override: str | None

    @property
    def confirmed(self) -> bool | None:
        """Whether everything that could be looked at again is as it was."""
        if self.verdict != self.stored_verdict or not self.same_checks or False in (self.original, self.signature):
            return False
        return None if None in (self.original, self.signature) else True


def reverify(
    message: Message,
    source: BinaryIO | None,
    store: ProofStore,
    keys: Sequence[KeyPair],
    limits: Limits,
    workdir: Path,
) -> Reverified:
    """Everything again, from the original (None: absent) and the proofs alone. Raises NotProvable.

    A card was judged, so that the message was read: whatever the post-quantum switch says today, it allowed this then.
    """
    card = json.loads(message.evidence or "{}").get("card")
    if card is None:
        raise NotProvable("ce message a fini avant qu'une carte soit jugée")
    found = rested(store, card)
    reader = partial(
        open_message, keys=keys, limits=limits, random_bytes=os.urandom, workdir=workdir, post_quantum=True
    )
    reached = again(found)
    then = at_signing(found)
    return Reverified(
        message=message.id,
        original=None if source is None else _unchanged(source, message),
        signature=None if source is None else _signature(source, found.certificate, reader),
        verdict=reached.verdict.value,
        stored_verdict=str(card["verdict"]),
        checks=reached.evidence,
        same_checks=_failed(reached) == [
            (one["check"], one["verdict"]) for one in card["checks"] if one["verdict"] is not None
        ],
        at=found.at,
        signing_time=found.signing_time,
        verdict_at_signing=None if then is None else then.verdict.value,
        override=found.beside.override,
    )  # fmt: skip


def _failed(found: Judgement) -> list[tuple[str, str]]:
    return [(one.check, one.verdict.value) for one in found.evidence if one.verdict is not None]


def _unchanged(source: BinaryIO, message: Message) -> bool:
    """The hash covers what was received, not our own Received field in front of it."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - message.size))
    digest = hashlib.sha256()
    while piece := source.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest() == message.sha256


def _signature(source: BinaryIO, certificate: bytes, reader: Callable[[BinaryIO], Opened]) -> bool | None:
    source.seek(0)
    opened = reader(source)
    try:
        if opened.encrypted and not opened.decrypted:
            return None
        return opened.intact and any(one.certificate == certificate for one in opened.signers)
    finally:
        opened.close()


def view(found: Reverified) -> dict[str, Any]:
    """The answer as JSON; times are made into text by the command."""
    return {
        "message": found.message, "confirmed": found.confirmed, "original": found.original,
        "signature": found.signature, "verdict": found.verdict, "stored_verdict": found.stored_verdict,
        "same_checks": found.same_checks, "at": found.at, "signing_time": found.signing_time,
        "verdict_at_signing": found.verdict_at_signing, "override": found.override,
        "checks": [
            {"check": one.check, "verdict": None if one.verdict is None else one.verdict.value, "text": one.text,
             **one.details}
            for one in found.checks
        ],
    }  # fmt: skip
