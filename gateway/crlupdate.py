"""Opposition lists of an instance: which are in force; a new one takes its place, or is refused and the old one stays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from dcc.cards.crl import CrlStore, signed_by
from dcc.cards.crlindex import CrlInfo
from dcc.cards.errors import CrlUnreadable
from dcc.cards.trust import TrustStore
from dcc.mailbox.spool import fsync_directory

Kind = tuple[str, str | None, str, tuple[str, ...], bool]
REPLACED = "anciennes"  # verdicts that rested on them can be proved again (I6)


def take_list(path: Path, folder: Path, trust: TrustStore) -> str | None:
    """None when the list is in force from now on, else why it is refused. Raises OSError from the folder."""
    try:
        data = path.read_bytes()
        infos = CrlStore(None).add(data)
        known = all(_signed(data, info, trust) for info in infos)
    except OSError:
        return "le fichier est absent ou illisible"
    except CrlUnreadable:
        return "ce n'est pas une CRL lisible"
    if not known:
        return "aucune autorité connue ne l'a signée"  # else a forged high number would shut out the true ones
    replaced: list[Path] = []
    for held in sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith(".")):
        for old, new in ((old, new) for old in _infos(held) for new in infos):
            if _kind(old) != _kind(new) or old.number is None:
                continue
            if new.number is None or new.number < old.number:  # facts: cards §6, rollback
                return f"numéro inférieur à celui de la liste déjà connue ({old.number})"
            if new.number > old.number and len(_infos(held)) == 1:
                replaced.append(held)
    _write(folder, f"{infos[0].sha256[:32]}.crl", data)
    for held in replaced:
        (folder / REPLACED).mkdir(exist_ok=True, mode=0o700)
        held.replace(folder / REPLACED / held.name)
    return None


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


def _signed(data: bytes, info: CrlInfo, trust: TrustStore) -> bool:
    issuers = (*trust.anchors, *trust.intermediates)
    return any(one.subject_der.hex() == info.issuer and signed_by(data, one) for one in issuers)


def _infos(path: Path) -> tuple[CrlInfo, ...]:
    try:
        return CrlStore(None).add(path.read_bytes())
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
