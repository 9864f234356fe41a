"""Everything that can be found wrong with an instance before it runs, each in one line."""

from __future__ import annotations

import os
import secrets
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from dcc.cards.certificate import read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import Unparseable
from dcc.cards.usage import Usage
from dcc.gateway.instance import open_keyring, open_keys
from dcc.gateway.services import load_crls, open_database, open_trust
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.smtp import server_context
from dcc.mailbox.database import DatabaseFull, DatabaseGone

SOON = timedelta(days=30)
STALE = timedelta(hours=36)


def problems_of(settings: Settings, now: datetime) -> tuple[list[str], list[str]]:
    """(what prevents the gateway from working, what somebody should look at soon)."""
    problems: list[str] = []
    warnings: list[str] = []
    _folders(settings, problems)
    _keys(settings, now, problems, warnings)
    _trust(settings, now, problems, warnings)
    _server(settings, problems)
    try:
        with open_database(settings) as database:
            database.check()
    except (DatabaseGone, DatabaseFull, OSError):
        problems.append("database.url : la base ne répond pas, ou n'est pas créée (dcc migrate)")
    return problems, warnings


def _folders(settings: Settings, problems: list[str]) -> None:
    storage = settings.storage
    places = {"storage.spool": storage.spool, "storage.documents": storage.documents, "storage.outbox": storage.outbox,
              "storage.work": storage.work}  # fmt: skip
    if settings.relay.kind == "sink":
        places["relay.sink"] = settings.relay.sink
    for name, relative in places.items():
        if not _writable(settings.path(relative)):
            problems.append(f"{name} : on ne peut pas écrire durablement dans {relative}")
    try:
        open_keyring(settings)
    except ConfigurationError as error:
        problems.extend(error.problems)


def _writable(directory: Path) -> bool:
    path = directory / f".essai-{secrets.token_hex(4)}"
    try:
        with path.open("wb") as file:
            file.write(b"essai")
            os.fsync(file.fileno())
        path.unlink()
    except OSError:
        return False
    return True


def _keys(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> None:
    try:
        keys = open_keys(settings)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return
    wanted = (
        ("keys.signing", keys.signing, Usage.SIGNATURE),
        *(("keys.decryption", one, Usage.CONFIDENTIALITY) for one in keys.decryption[:1]),
    )
    for name, pair, usage in wanted:
        try:
            read = read_certificate(pair.certificate)
        except Unparseable:
            problems.append(f"{name} : le certificat est illisible")
            continue
        if read.usage is not usage:
            problems.append(f"{name} : le certificat a l'usage {read.usage}, il faut {usage}")
        if not read.not_before <= now <= read.not_after:
            problems.append(f"{name} : le certificat n'est pas dans ses dates (fin le {read.not_after:%d/%m/%Y})")
        elif read.not_after - now < SOON:
            warnings.append(f"{name} : le certificat finit le {read.not_after:%d/%m/%Y}")
        if settings.gateway.address not in read.addresses:
            warnings.append(
                f"{name} : le certificat ne nomme pas {settings.gateway.address}, les logiciels ne le trouveront pas"
            )


def _trust(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> None:
    try:
        open_trust(settings)
    except ConfigurationError as error:
        problems.extend(error.problems)
    lists = CrlStore(None)
    try:
        load_crls(settings, lists)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return
    infos = lists.infos()
    if not infos:
        warnings.append("trust.crls : aucune liste d'opposition, toute carte sera mise en attente")
    for info in infos:
        if info.next_update is None or now > info.next_update:
            warnings.append(f"trust.crls : la liste n° {info.number} est périmée, ses cartes seront mises en attente")
        elif now - info.this_update > STALE and now - info.this_update < timedelta(days=3650):
            warnings.append(f"trust.crls : la liste n° {info.number} a plus de 36 heures")


def _server(settings: Settings, problems: list[str]) -> None:
    smtp = settings.smtp
    if (smtp.certificate is None) != (smtp.private_key is None):
        problems.append("smtp : certificate et private_key vont ensemble")
    elif smtp.certificate is not None and smtp.private_key is not None:
        try:
            server_context(str(settings.path(smtp.certificate)), str(settings.path(smtp.private_key)))
        except (OSError, ssl.SSLError):
            problems.append("smtp.certificate : certificat ou clé absents, illisibles, ou qui ne vont pas ensemble")
    elif smtp.require_tls or smtp.tls_port is not None:
        problems.append("smtp.certificate : il faut un certificat pour offrir ou exiger TLS")
