"""Everything that an instance is made of, opened once and closed together: the one place where it is put together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dcc.cards.certificate import read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import CrlUnreadable, Unparseable
from dcc.cards.judge import Judge
from dcc.cards.opposition import Beside
from dcc.cards.trust import TrustStore, certificates_in, trust_of
from dcc.cards.verdict import Judgement
from dcc.gateway.crlfetch import fetcher_of
from dcc.gateway.crlupdate import in_force
from dcc.gateway.instance import GatewayKeys, open_audit, open_keyring, open_keys
from dcc.gateway.judging import SignerJudge
from dcc.gateway.leases import Leases
from dcc.gateway.ocspask import OcspAsker
from dcc.gateway.partners import Partner, open_partners
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.storedjudge import StoredJudge
from dcc.gateway.unopenable import Unopenable
from dcc.gateway.worker import Wake
from dcc.mailbox.audit import AuditTrail
from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.database import Database
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.proofs import ProofStore
from dcc.mailbox.records import BlobRef, Message, MessageState
from dcc.mailbox.rows import new_id
from dcc.mailbox.spool import Spool
from dcc.router.networkrules import NetworkRules
from dcc.router.typerules import Matrix, RulesWrong, default_matrix, default_text, matrix_of, text_of
from dcc.smime.limits import Limits
from dcc.smime.open import open_message
from dcc.smime.verdict import Opened

Ended = Callable[[MessageState, str | None], None]


def _nobody(_state: MessageState, _code: str | None) -> None:
    """Without metrics nobody counts."""


def _none_lost(_why: str) -> None:
    """Without metrics nobody counts."""


@dataclass(slots=True)
class Services:
    """The parts of a running instance."""

    settings: Settings
    database: Database
    spool: Spool
    blobs: BlobStore
    keyring: KeyRing
    keys: GatewayKeys
    audit: AuditTrail
    judge: Judge
    asker: OcspAsker
    proofs: ProofStore
    limits: Limits
    random_bytes: Callable[[int], bytes]
    wake: Wake = field(default_factory=Wake)  # messages to work on
    wake_relay: Wake = field(default_factory=Wake)  # mails to send
    count_end: Ended = _nobody
    count_lost: Callable[[str], None] = _none_lost  # a mail that was finally not delivered, and why
    leases: Leases = field(default_factory=Leases)  # what this process works on
    owner: str = field(default_factory=new_id)  # under which this process holds its leases
    partners: tuple[Partner, ...] = ()
    unopenable: Unopenable = field(default_factory=lambda: Unopenable(100))
    rules: NetworkRules = field(default_factory=NetworkRules)  # types by profession, at filing and at distribution

    @property
    def workdir(self) -> Path:
        """Where work files (under an ephemeral key) are made."""
        return self.settings.path(self.settings.storage.work)

    @property
    def outbox_directory(self) -> Path:
        """Where sealed mails wait."""
        return self.settings.path(self.settings.storage.outbox)

    def judge_stored(self, at: Callable[[], datetime]) -> StoredJudge:
        """A judge of stored certificates, as the router wants it: the name of the verdict."""
        return StoredJudge(self.judge, self.partners, self.settings.smime.post_quantum, at)

    def judge_signer(self, certificate: bytes, extra: tuple[bytes, ...], at: datetime) -> Judgement:
        """The verdict of the lists alone on a certificate that signs."""
        return self.judge(certificate, at=at, purpose="sign", extra_certificates=extra)

    def judge_received(
        self, certificate: bytes, extra: tuple[bytes, ...], at: datetime, now: datetime
    ) -> tuple[Judgement, Beside]:
        """The verdict on the certificate that signed a message received at `at`, reached now."""
        return SignerJudge(self.judge, self.database, self.asker)(certificate, extra, at, now)

    def seal_secret(self, secret: bytes) -> str:
        """A one-time secret as the outbox may keep it until it is sent."""
        version, wrapped = self.keyring.wrap(secret)
        return f"{version}:{wrapped.hex()}"

    def unseal_secret(self, sealed: str) -> bytes:
        """The secret again. Raises KeyMissing, ValueError."""
        version, _, wrapped = sealed.partition(":")
        return self.keyring.unwrap(int(version), bytes.fromhex(wrapped))

    def open_mail(self, source: BinaryIO, *, keep_unsigned: bool = False) -> Opened:
        """A received mail with the keys, limits and switches of this gateway; close the result."""
        return open_message(
            source, keys=self.keys.decryption, limits=self.limits, random_bytes=self.random_bytes,
            workdir=self.workdir, post_quantum=self.settings.smime.post_quantum,
            keep_unsigned=keep_unsigned,
        )  # fmt: skip

    def open_original(self, message: Message) -> BinaryIO:
        """The received bytes, unchanged: from the spool, or from under a key when they came in clear (I3, I6)."""
        kept = json.loads(message.evidence or "{}").get("original")
        if kept is None:
            return self.spool.open(message.id)
        return self.blobs.open(blob_ref(kept))

    def protect_original(self, message: Message) -> dict[str, str | int]:
        """Copy a message that came in clear under a key of its own; returns what finds it again."""
        with self.spool.open(message.id) as source:
            ref = self.blobs.put(iter(lambda: source.read(1 << 16), b""))
        return {
            "id": ref.id, "size": ref.size, "sha256": ref.sha256, "key_version": ref.key_version,
            "wrapped_key": ref.wrapped_key.hex(),
        }  # fmt: skip


def blob_ref(kept: dict[str, str | int]) -> BlobRef:
    """The reference that `protect_original` wrote."""
    return BlobRef(
        str(kept["id"]), int(kept["size"]), str(kept["sha256"]), int(kept["key_version"]),
        bytes.fromhex(str(kept["wrapped_key"])),
    )  # fmt: skip


@contextmanager
def open_database(settings: Settings, *, create: bool = False) -> Iterator[Database]:
    """The database alone, for commands that only look.

    SQLite would make an empty file of a mistyped name: only `create` (`dcc migrate`) may, and only it takes a database
    of another schema. Raises ConfigurationError when there is none, SchemaMismatch, DatabaseGone.
    """
    file = settings.database_file
    if file is not None and not create and not file.is_file():
        raise ConfigurationError([f"database.url : la base {settings.database.url} n'existe pas (dcc migrate)"])
    database = Database(settings.database_url)
    try:
        if not create:
            database.check()
        yield database
    finally:
        database.close()


@contextmanager
def open_services(settings: Settings, random_bytes: Callable[[int], bytes] = os.urandom) -> Iterator[Services]:
    """Open everything. Raises ConfigurationError with every problem, DatabaseGone."""
    keys = open_keys(settings)
    keyring = open_keyring(settings)
    trust = open_trust(settings)
    crls = CrlStore(settings.path(settings.trust.crl_cache))
    load_crls(settings, crls)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings))
        audit = open_audit(keys)
        yield Services(
            settings=settings,
            database=database,
            spool=Spool(settings.path(settings.storage.spool)),
            blobs=BlobStore(settings.path(settings.storage.documents), keyring, random_bytes),
            keyring=keyring,
            keys=keys,
            audit=audit,
            judge=Judge(trust, crls),
            asker=OcspAsker(settings.trust, fetcher_of(settings)),
            proofs=ProofStore(settings.path(settings.storage.proofs)),
            limits=limits_of(settings),
            partners=open_partners(settings),
            unopenable=Unopenable(settings.worker.unopenable_per_hour),
            random_bytes=random_bytes,
            rules=NetworkRules(open_matrix(settings)),
        )


def limits_of(settings: Settings) -> Limits:
    """The table of limits with what the settings change (I8)."""
    changed: dict[str, int] = {str(name): value for name, value in settings.limits.items()}
    return Limits(message=settings.smtp.message_size + (1 << 20), **changed)


def open_matrix(settings: Settings) -> Matrix:
    """The table of types that holds where a network has none. Raises ConfigurationError."""
    if settings.gateway.matrix is None:
        return default_matrix()
    try:
        return matrix_of(matrix_text(settings))
    except RulesWrong as wrong:
        raise ConfigurationError(
            [f"gateway.matrix : {settings.gateway.matrix}, {one}" for one in wrong.problems]
        ) from None


def matrix_text(settings: Settings) -> str:
    """That table as it is written. Raises ConfigurationError, RulesWrong."""
    if settings.gateway.matrix is None:
        return default_text()
    try:
        return text_of(settings.path(settings.gateway.matrix).read_bytes())
    except OSError:
        raise ConfigurationError([f"gateway.matrix : {settings.gateway.matrix} est absent ou illisible"]) from None


def open_trust(settings: Settings) -> TrustStore:
    """The anchors and authorities of the settings. Raises ConfigurationError with every problem."""
    problems: list[str] = []
    found: list[bytes] = []
    for path in files_of(settings, settings.trust.certificates):
        try:
            ders = certificates_in(path.read_bytes())
            found += [read_certificate(one).der for one in ders]
        except OSError:
            problems.append(f"trust.certificates : {path.name} est absent ou illisible")
        except Unparseable:
            problems.append(f"trust.certificates : {path.name} n'est pas un certificat lisible")
    trust = trust_of(found, settings.gateway.environment)
    if not problems and not trust.anchors:
        problems.append(f"trust.certificates : aucune racine pour l'environnement {settings.gateway.environment}")
    if problems:
        raise ConfigurationError(problems)
    return trust


def load_crls(settings: Settings, crls: CrlStore) -> None:
    """Read every list of the settings that is new. Raises ConfigurationError once the readable ones are in."""
    problems: list[str] = []
    paths = files_of(settings, settings.trust.crls)
    for path in paths:
        try:
            crls.add_file(path)
        except OSError:
            problems.append(f"trust.crls : {path.name} est absent ou illisible")
        except CrlUnreadable:
            problems.append(f"trust.crls : {path.name} n'est pas une CRL lisible")
    crls.retire(frozenset(paths), {one.sha256 for one in in_force(crls.infos())})
    if problems:
        raise ConfigurationError(problems)


def files_of(settings: Settings, places: list[Path]) -> list[Path]:
    """The files named, those inside a named folder included, in order of name; hidden ones are being written."""
    found: list[Path] = []
    for place in places:
        path = settings.path(place)
        inside = sorted(one for one in path.iterdir() if _is_visible(one)) if path.is_dir() else [path]
        found.extend(inside)
    return found


def _is_visible(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")
