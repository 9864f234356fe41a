"""What a verdict on a card rested on, kept with the message, and the verdict reached again from it alone (I6, R-TIME)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dcc.cards.crl import CrlStore
from dcc.cards.errors import CrlUnreadable, Unparseable
from dcc.cards.judge import judge
from dcc.cards.opposition import Beside
from dcc.cards.trust import TrustStore, trust_of
from dcc.cards.verdict import Judgement
from dcc.gateway.signingtime import at_signing_too
from dcc.mailbox.proofs import ProofLost, ProofStore

VERSION = 1


class NotProvable(Exception):
    """Why a verdict cannot be reached again; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Rested:
    """Everything that a verdict rested on, as it was then."""

    certificate: bytes
    extra: tuple[bytes, ...]
    trust: TrustStore
    lists: tuple[bytes, ...]
    beside: Beside
    at: datetime
    signing_time: datetime | None


def keep(
    store: ProofStore,
    found: Judgement,
    *,
    certificate: bytes,
    extra: tuple[bytes, ...],
    trust: TrustStore,
    crls: CrlStore,
    beside: Beside,
) -> dict[str, Any]:
    """Keep the octets; returns what names them, for the message's evidence. Raises StorageFull, OSError."""
    lists = tuple(dict.fromkeys(one for evidence in found.evidence for one in evidence.rests_on))
    kept = [store.keep_as(one, data) for one in lists if (data := _octets(one, crls, store)) is not None]
    return {
        "version": VERSION,
        "certificate": store.keep(certificate),
        "extra": [store.keep(one) for one in extra],
        "anchors": [store.keep_as(one.sha256, one.der) for one in trust.anchors],
        "authorities": [store.keep_as(one.sha256, one.der) for one in trust.intermediates],
        "environment": trust.environment,
        "lists": kept,
        "ocsp": [store.keep(one) for one in beside.ocsp],
        "ocsp_at": None if beside.asked_at is None else beside.asked_at.isoformat(),
        "ocsp_age_seconds": beside.age.total_seconds(),
        "override": beside.override,
    }


def _octets(sha256: str, crls: CrlStore, store: ProofStore) -> bytes | None:
    return b"" if store.has(sha256) else crls.octets(sha256)


def named(card: Mapping[str, Any]) -> frozenset[str]:
    """The SHA-256 of everything that the evidence of one message names."""
    basis = card.get("basis") or {}
    several = (basis.get(one, ()) for one in ("extra", "anchors", "authorities", "lists", "ocsp"))
    return frozenset(one for names in several for one in names) | {
        basis[one] for one in ("certificate",) if one in basis
    }


def rested(store: ProofStore, card: Mapping[str, Any]) -> Rested:
    """What the evidence of a message names, read again. Raises NotProvable."""
    basis = card.get("basis")
    if basis is None or basis.get("version") != VERSION:
        raise NotProvable("ce message n'a pas de preuves : il a été jugé par une version plus ancienne")
    try:
        trust = trust_of([store.read(one) for one in (*basis["anchors"], *basis["authorities"])], basis["environment"])
        asked, signed = basis["ocsp_at"], card["signing_time"]
        return Rested(
            certificate=store.read(basis["certificate"]),
            extra=tuple(store.read(one) for one in basis["extra"]),
            trust=trust,
            lists=tuple(store.read(one) for one in basis["lists"]),
            beside=Beside(
                tuple(store.read(one) for one in basis["ocsp"]),
                None if asked is None else datetime.fromisoformat(asked),
                timedelta(seconds=basis["ocsp_age_seconds"]),
                basis["override"],
            ),
            at=datetime.fromisoformat(card["at"]),
            signing_time=None if signed is None else datetime.fromisoformat(signed),
        )
    except ProofLost as error:
        raise NotProvable(str(error)) from error
    except (KeyError, TypeError, ValueError, Unparseable) as error:
        raise NotProvable("les preuves de ce message sont illisibles") from error


def again(found: Rested) -> Judgement:
    """The verdict, reached again from what was kept: nothing of today's settings, lists or clock enters."""
    return at_signing_too(_judge(found, found.at), found.signing_time)


def at_signing(found: Rested) -> Judgement | None:
    """The verdict at the time that the signer claims, with what was known at reception; kept beside the other."""
    return None if found.signing_time is None else _judge(found, found.signing_time)


def _judge(found: Rested, at: datetime) -> Judgement:
    crls = CrlStore()
    for der in found.lists:
        try:
            crls.add(der)
        except CrlUnreadable as error:
            raise NotProvable("une liste d'opposition gardée est illisible") from error
    return judge(
        found.certificate, trust=found.trust, crls=crls, at=at, extra_certificates=found.extra, beside=found.beside
    )
