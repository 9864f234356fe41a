"""Opposition lists of an instance: which are in force; a new one takes its place, or is refused and the old one stays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from dcc.cards.crl import CrlStore, ders, issuer_name, signed_by
from dcc.cards.crlindex import CrlInfo
from dcc.cards.errors import CrlUnreadable
from dcc.cards.trust import TrustStore
from dcc.gateway.settings import Settings
from dcc.mailbox.spool import fsync_directory, written_before

Kind = tuple[str, str | None, str, tuple[str, ...], bool]
WARNING = timedelta(hours=36)  # facts: cards §6
DAILY = timedelta(days=15)  # lists that are made each day say that they are good for six (facts: cards §6)
EMPTY = timedelta(days=3650)  # authorities that publish no fresh list put its end very far
REPLACED = "anciennes"  # verdicts that rested on them can be proved again (I6)


def take_list(path: Path, folder: Path, trust: TrustStore, cache: Path | None = None) -> str | None:
    """None when the list is in force from now on, else why it is refused. Raises OSError from the folder."""
    try:
        data = path.read_bytes()
    except OSError:
        return "le fichier est absent ou illisible"
    taken = take_octets(data, folder, trust, cache)
    return taken if isinstance(taken, str) else None


def take_octets(data: bytes, folder: Path, trust: TrustStore, cache: Path | None = None) -> tuple[CrlInfo, ...] | str:
    """The same with the octets of one file, or of one answer of a host; gives the lists that were taken.

    Signatures come first: what nobody known signed costs no index and leaves nothing in the cache.
    """
    try:
        if not _signed(data, trust):
            return "aucune autorité connue ne l'a signée"  # else a forged high number would shut out the true ones
        infos = CrlStore(cache).add(data)
    except CrlUnreadable:
        return "ce n'est pas une CRL lisible"
    replaced: list[Path] = []
    for held in sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")):
        inside = _infos(held, cache)
        for old, new in ((old, new) for old in inside for new in infos):
            if _kind(old) != _kind(new) or old.number is None:
                continue
            if new.number is None or new.number < old.number:  # facts: cards §6, rollback
                return f"numéro inférieur à celui de la liste déjà connue ({old.number})"
            if new.number == old.number and new.this_update < old.this_update:
                return f"plus ancienne que la liste déjà connue de même numéro ({old.number})"
            if new.number > old.number and len(inside) == 1:
                replaced.append(held)
    _write(folder, f"{infos[0].sha256[:32]}.crl", data)
    for held in replaced:
        (folder / REPLACED).mkdir(exist_ok=True, mode=0o700)
        held.replace(folder / REPLACED / held.name)
    return infos


def folder_of(settings: Settings) -> Path | None:
    """The first folder that `trust.crls` names: where new lists are put."""
    return next((path for one in settings.trust.crls if (path := settings.path(one)).is_dir()), None)


def settings_cache(settings: Settings) -> Path:
    """Where indexes of lists are kept."""
    return settings.path(settings.trust.crl_cache)


def left_indexes(settings: Settings, crls: CrlStore, older_than: datetime) -> list[Path]:
    """Indexes written before this time of lists that are not held any more; made anew if they are ever asked for."""
    cache = settings_cache(settings)
    held = {one.sha256 for one in crls.infos()}
    found = [] if not cache.is_dir() else list(cache.iterdir())
    return [one for one in found if one.name.partition(".")[0] not in held and written_before(one, older_than)]


def wants_look(info: CrlInfo, refreshed_at: datetime | None, now: datetime) -> bool:
    """Whether somebody should look at this list: 36 hours without a newer one, or without an answer of its host.

    A root's list is made every month or two: of such a list only the host's silence is told (facts: cards §6, §12).
    """
    if refreshed_at is not None and now - refreshed_at > WARNING:
        return True
    life = None if info.next_update is None else info.next_update - info.this_update
    rare = life is not None and life > DAILY
    if rare and refreshed_at is not None:
        return False
    return WARNING < now - info.this_update < EMPTY


def in_force(infos: Iterable[CrlInfo]) -> tuple[CrlInfo, ...]:
    """The newest list of each kind: one that a newer replaced may be old without anybody having to look at it."""
    newest: dict[Kind, CrlInfo] = {}
    for one in infos:
        held = newest.get(_kind(one))
        if held is None or _rank(held) < _rank(one):
            newest[_kind(one)] = one
    return tuple(newest.values())


def _kind(info: CrlInfo) -> Kind:
    """Numbers grow within one scope of one issuer (RFC 5280 §5.2.3)."""
    return info.issuer, info.authority_key, info.scope, info.points, info.is_delta


def _rank(info: CrlInfo) -> tuple[int, datetime]:
    return (-1 if info.number is None else info.number, info.this_update)


def _signed(data: bytes, trust: TrustStore) -> bool:
    """Whether the authority that each list names signed it, and may sign lists (RFC 5280 §6.3.3 (f), (g))."""
    for der in ders(data):
        named = issuer_name(der)
        issuers = (one for one in (*trust.anchors, *trust.intermediates) if one.subject_der == named)
        if not any(signed_by(der, one) for one in issuers):
            return False
    return True


def _infos(path: Path, cache: Path | None) -> tuple[CrlInfo, ...]:
    try:
        return CrlStore(cache).add(path.read_bytes())
    except CrlUnreadable:
        return ()  # said by check-config; it proves nothing against a new list


def _write(folder: Path, name: str, data: bytes) -> None:
    aside = folder / f".{name}.new"  # hidden: a running gateway does not read a half-written list
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(folder / name)
    fsync_directory(folder)
