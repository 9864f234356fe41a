"""The lists of one authority that speak of the same certificates: which base, which changes, what they say together.

CRL numbers grow within one scope of one issuer (RFC 5280 §5.2.3), so each scope has its own newest list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from dcc.cards.certificate import CardCertificate
from dcc.cards.crlindex import HOLD, REMOVE_FROM_CRL, UNSPECIFIED, CrlInfo, IndexedCrl
from dcc.cards.usage import Usage

LIFTED = frozenset({HOLD, UNSPECIFIED})  # the authority's lists carry no reason codes (facts: cards §6)


class Standing(IntEnum):
    """What the absence of a serial from a scope's lists proves, from least to most."""

    CHANGES_ONLY = 0
    PARTIAL = 1
    STALE = 2
    FRESH = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """Lists of one scope: the newest base, the changes that follow it, changes that follow a base not held."""

    base: IndexedCrl | None
    deltas: tuple[IndexedCrl, ...]  # by number
    apart: tuple[IndexedCrl, ...]  # by number: what they list counts, what they do not list says nothing
    refused: tuple[CrlInfo, ...]  # lower numbers than the base: rollback (facts: cards §6)

    @property
    def lists(self) -> tuple[CrlInfo, ...]:
        """Every list that an answer rests on."""
        base = () if self.base is None else (self.base.info,)
        return (*base, *(one.info for one in (*self.deltas, *self.apart)))


@dataclass(frozen=True, slots=True)
class Listed:
    """A serial that is on a list: since when, and in which scope."""

    at: datetime
    scope: Scope


def scopes_of(lists: Iterable[IndexedCrl]) -> tuple[Scope, ...]:
    """Sort verified lists of one authority into scopes; a delta belongs to its base's scope (RFC 5280 §5.2.4)."""
    groups: dict[tuple[str, tuple[str, ...]], list[IndexedCrl]] = {}
    for one in lists:
        groups.setdefault((one.info.scope, one.info.points), []).append(one)
    return tuple(_scope(group) for group in groups.values())


def _rank(crl: IndexedCrl) -> tuple[int, datetime]:
    return (-1 if crl.info.number is None else crl.info.number, crl.info.this_update)


def _scope(group: list[IndexedCrl]) -> Scope:
    """The base of the highest number; lower ones are refused, deltas must start at or below it and be newer."""
    ordered = sorted(group, key=_rank)
    bases = [crl for crl in ordered if not crl.info.is_delta]
    base = bases[-1] if bases else None
    number = -1 if base is None else _rank(base)[0]
    newer = [crl for crl in ordered if crl.info.is_delta and _rank(crl)[0] > number]
    deltas = tuple(crl for crl in newer if base is not None and (crl.info.base or 0) <= max(number, 0))
    refused = tuple(crl.info for crl in ordered if _rank(crl)[0] < number)
    return Scope(base, deltas, tuple(crl for crl in newer if crl not in deltas), refused)


def listed(serial: int, scopes: Iterable[Scope]) -> Listed | None:
    """Where a serial is listed, whatever the age of the list; None when no list names it."""
    for scope in scopes:
        found = None if scope.base is None else scope.base.serials.find(serial)
        for delta in scope.deltas:  # by number: the newest word counts
            found = _changed(found, delta.serials.find(serial))
        apart = None
        for delta in scope.apart:
            apart = _changed(apart, delta.serials.find(serial))
        found = found or apart
        if found is not None:
            return Listed(found[0], scope)
    return None


def _changed(held: tuple[datetime, int] | None, word: tuple[datetime, int] | None) -> tuple[datetime, int] | None:
    """Only a hold is ever lifted (RFC 5280 §5.3.1): another reason stands whatever a later delta says."""
    if word is None:
        return held
    if word[1] != REMOVE_FROM_CRL:
        return word
    return None if held is None or held[1] in LIFTED else held


def standing(scope: Scope, certificate: CardCertificate, at: datetime) -> tuple[Standing, Scope]:
    """What these lists prove of a certificate that they do not name."""
    if scope.base is None:
        return Standing.CHANGES_ONLY, scope
    info = scope.base.info
    authority = certificate.usage is Usage.CA
    if info.scope not in {"all", "authorities" if authority else "users"}:
        return Standing.PARTIAL, scope
    if info.points and not set(info.points) & set(certificate.crl_points):
        return Standing.PARTIAL, scope  # RFC 5280 §6.3.3 (b) (2) (i): the list of another distribution point
    ends = [one.info.next_update for one in (scope.base, *scope.deltas)]
    # Base and changes are complete together up to the newest; each says until when (facts: cards §6)
    fresh = any(end is not None and at <= end for end in ends)
    return (Standing.FRESH if fresh else Standing.STALE), scope
