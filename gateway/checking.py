"""Everything that can be found wrong with an instance before it runs, each in one line (facts: mail §9)."""

from __future__ import annotations

import os
import secrets
import socket
import ssl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from dcc.cards import nomenclature
from dcc.cards.certificate import read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import Unparseable
from dcc.cards.usage import Usage
from dcc.gateway import directory
from dcc.gateway.crlfetch import fetcher_of, refreshed, silent
from dcc.gateway.crlupdate import WARNING, in_force, wants_look
from dcc.gateway.instance import open_keyring, open_keys
from dcc.gateway.operatorbox import is_ours, open_certificate
from dcc.gateway.ownkeys import SOON, refused_for, unread
from dcc.gateway.partners import open_partners
from dcc.gateway.relay import tls_context
from dcc.gateway.services import load_crls, matrix_text, open_database, open_matrix, open_trust
from dcc.gateway.settings import ConfigurationError, Settings, read_settings
from dcc.gateway.smtp import server_context
from dcc.mailbox.database import DatabaseFull, DatabaseGone, SchemaMismatch
from dcc.router.typerules import doubts_of
from dcc.smime.keys import KeyPair
from dcc.smime.tokeneckey import TokenEcKey
from dcc.smime.tokenkey import TokenAway, TokenRsaKey


def check(config: Path, now: datetime) -> tuple[Settings | None, list[str], list[str]]:
    """(settings when they can be read; what prevents the gateway from working; what somebody should look at soon)."""
    settings, problems = read_settings(config)
    if settings is None:
        return None, problems, []
    more, warnings = problems_of(settings, now)
    wrong = {one.partition(" : ")[0] for one in problems}  # judged with its default: what follows from that is no news
    return settings, problems + [one for one in more if one.partition(" : ")[0] not in wrong], warnings


def problems_of(settings: Settings, now: datetime) -> tuple[list[str], list[str]]:
    """(what prevents the gateway from working, what somebody should look at soon)."""
    problems: list[str] = []
    warnings: list[str] = []
    if nomenclature.PROBLEM is not None:
        warnings.append(nomenclature.PROBLEM)
    _folders(settings, problems)
    _keys(settings, now, problems, warnings)
    _trust(settings, now, problems, warnings)
    _server(settings, now, problems, warnings)
    _relay(settings, problems, warnings)
    _operator(settings, now, problems, warnings)
    _database(settings, problems)
    try:
        open_matrix(settings)
        warnings += [f"gateway.matrix : {settings.gateway.matrix}, {one}" for one in doubts_of(matrix_text(settings))]
    except ConfigurationError as error:
        problems += error.problems
    return problems, warnings


def _folders(settings: Settings, problems: list[str]) -> None:
    storage = settings.storage
    places = {"storage.spool": storage.spool, "storage.documents": storage.documents, "storage.outbox": storage.outbox,
              "storage.work": storage.work, "trust.crl_cache": settings.trust.crl_cache}  # fmt: skip
    if settings.relay.kind == "sink":
        places["relay.sink"] = settings.relay.sink
    for name, relative in places.items():
        if not _writable(settings.path(relative)):
            problems.append(f"{name} : on ne peut pas écrire durablement dans {relative}")
    if not _writable(settings.directory):
        problems.append("on ne peut pas écrire dans le dossier de l'instance (run/ready.json)")
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
        if read.environment == "test" and settings.gateway.environment == "production":
            warnings.append(f"{name} : c'est un certificat de test, et l'instance est de production")
        if now > read.not_after:
            problems.append(f"{name} : le certificat est périmé depuis le {read.not_after:%d/%m/%Y}")
        elif now < read.not_before:
            problems.append(f"{name} : le certificat ne vaut qu'à partir du {read.not_before:%d/%m/%Y}")
        elif read.not_after - now < SOON:
            warnings.append(f"{name} : le certificat finit le {read.not_after:%d/%m/%Y}")
        told = unread(name.removeprefix("keys."), pair)
        if told is not None:
            warnings.append(f"{name} : {told}")
        if settings.gateway.address not in read.addresses:
            warnings.append(
                f"{name} : le certificat ne nomme pas {settings.gateway.address}, les logiciels ne le trouveront pas"
            )
    for pair in keys.decryption[1:]:
        why = refused_for(settings, pair)
        if why is not None:
            warnings.append(f"keys.decryption : {why} ; ce qui lui est chiffré est refusé (D2R-ALG02)")
    _in_token(keys.decryption, problems, warnings)


def _in_token(decryption: Sequence[KeyPair], problems: list[str], warnings: list[str]) -> None:
    """A key in a token is tried: what it cannot do is found out before a mail comes."""
    try:
        if any(isinstance(one.key, TokenRsaKey) and not one.key.opens_oaep() for one in decryption):
            warnings.append("keys.raw_oaep : le jeton n'ouvre pas RSA-OAEP avec SHA-256 ; mettez raw_oaep = true")
        if any(isinstance(one.key, TokenEcKey) and not one.key.agrees() for one in decryption):
            problems.append("keys.decryption_labels : une clé EC du jeton n'est pas celle de son certificat")
    except TokenAway:
        problems.append("keys.decryption_labels : le jeton ne déchiffre pas avec une de ses clés")


def _trust(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> None:
    for reads in (open_trust, open_partners, fetcher_of, directory.fetcher_of):
        try:
            reads(settings)
        except ConfigurationError as error:
            problems.extend(error.problems)
    cache = settings.path(settings.trust.crl_cache)
    lists = CrlStore(cache if cache.is_dir() else None)
    try:
        load_crls(settings, lists)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return
    infos = in_force(lists.infos())
    seen = refreshed(settings)
    if not infos:
        warnings.append("trust.crls : aucune liste d'opposition, toute carte sera mise en attente")
    for info in infos:
        if info.next_update is None or now > info.next_update:
            warnings.append(f"trust.crls : la liste n° {info.number} est périmée, ses cartes seront mises en attente")
        elif wants_look(info, seen.get(info.sha256), now):
            warnings.append(f"trust.crls : la liste n° {info.number} a plus de 36 heures")
    for host in silent(settings, now, WARNING):
        warnings.append(f"trust.crl_urls : aucune liste relevée sur {host} depuis plus de 36 heures")


def _server(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> None:
    for name, host in (("smtp.host", settings.smtp.host), ("metrics.host", settings.metrics.host)):
        if not _ours(host):
            problems.append(f"{name} : {host} n'est pas une adresse de cette machine")
    smtp = settings.smtp
    if (smtp.certificate is None) != (smtp.private_key is None):
        problems.append("smtp : certificate et private_key vont ensemble")
    elif smtp.certificate is not None and smtp.private_key is not None:
        certificate = settings.path(smtp.certificate)
        try:
            server_context(str(certificate), str(settings.path(smtp.private_key)))
            end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        except (OSError, ssl.SSLError, ValueError):
            problems.append("smtp.certificate : certificat ou clé absents, illisibles, ou qui ne vont pas ensemble")
            return
        if end - now < SOON:
            # Not a reason to take no mail: a relay that does not verify still gets an encrypted line.
            warnings.append(f"smtp.certificate : le certificat finit le {end:%d/%m/%Y}")
    elif smtp.require_tls or smtp.tls_port is not None:
        problems.append("smtp.certificate : il faut un certificat pour offrir ou exiger TLS")


def _ours(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found[:1]:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
    except (OSError, UnicodeError):
        return False
    return True


def _relay(settings: Settings, problems: list[str], warnings: list[str]) -> None:
    relay = settings.relay
    if relay.kind == "sink":
        return
    try:
        password = settings.relay_password
    except ConfigurationError as error:
        problems.extend(error.problems)
    else:
        if (relay.username is None) != (password is None):
            problems.append("relay : username et son mot de passe vont ensemble")
        elif password is not None and relay.tls == "none":
            warnings.append("relay.tls : le mot de passe du relais part en clair")
    try:
        tls_context(settings)
    except ConfigurationError as error:
        problems.extend(error.problems)
    try:
        socket.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        unsure = error.errno == socket.EAI_AGAIN  # the name server is away: it does not say that the name is wrong
        (warnings if unsure else problems).append(f"relay.host : {relay.host} ne se résout pas")
    except UnicodeError:
        problems.append(f"relay.host : {relay.host} n'est pas un nom d'hôte")


def _operator(settings: Settings, now: datetime, problems: list[str], warnings: list[str]) -> None:
    if settings.operator.address is None and settings.gateway.environment == "production":
        warnings.append("operator.address : personne n'est prévenu de ce qu'on écrit à postmaster (RFC 5321 §4.5.1)")
    try:
        certificate = open_certificate(settings)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return
    if certificate is None:
        return
    end = certificate.not_valid_after_utc
    if not certificate.not_valid_before_utc <= now <= end:
        warnings.append("operator.certificate : le certificat n'est pas valable ; rien n'est joint à ce qui est écrit")
    elif end - now < SOON:
        warnings.append(f"operator.certificate : le certificat finit le {end:%d/%m/%Y}")


def _database(settings: Settings, problems: list[str]) -> None:
    try:
        with open_database(settings) as database:
            database.check()
            with database.begin() as conn:  # a transaction that writes can begin: not read-only, not full
                operator = settings.operator.address
                if operator is not None and is_ours(conn, settings, operator):
                    problems.append("operator.address : c'est une adresse de la passerelle elle-même")
    except ConfigurationError as error:
        problems.extend(error.problems)
    except SchemaMismatch:
        problems.append("database.url : la base n'a pas le schéma de cette version (dcc migrate)")
    except DatabaseFull:
        problems.append("database.url : plus de place pour la base")
    except DatabaseGone:
        problems.append("database.url : la base ne répond pas, ou ne peut pas être écrite")
