"""Who is behind an address, and which certificate encrypts to them, in one order (facts/cards §10)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.usage import Usage
from dcc.gateway.directory_fhir import Resource, search
from dcc.gateway.fetch import Fetcher, FetchRefused, NothingThere, hosts_of
from dcc.gateway.services import Services
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.storedjudge import StoredJudge
from dcc.mailbox import directory, messages, people
from dcc.mailbox.directory import Entry

MOST_OCTETS = 4 << 20  # of one answer
ENROLLED, LDAP, FHIR, HARVESTED = "enrolled", "ldap", "fhir", "harvested"


class NoSuchMail(Exception):
    """The message that a certificate was to be taken from cannot be used; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one source gave: "found", "absent", "unusable" or "unreachable", and the verdict or the reason."""

    source: str
    outcome: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The answer. `certificate` None: a notice without health data. `unsure`: a source could not be asked."""

    address: str
    entries: tuple[Entry, ...]
    resources: tuple[Resource, ...]
    certificate: CardCertificate | None
    source: str | None
    tried: tuple[Tried, ...]

    @property
    def unsure(self) -> bool:
        """Nothing was found, and a source that might have it did not answer."""
        return self.certificate is None and any(one.outcome == "unreachable" for one in self.tried)


def fetcher_of(settings: Settings) -> Fetcher:
    """Asks the directories of the settings and nobody else. Raises ConfigurationError."""
    told = settings.address_book
    try:
        hosts = hosts_of([*told.ldap_urls, *([told.fhir_url] if told.fhir_url else [])])
    except FetchRefused as error:
        raise ConfigurationError([f"address_book : {error}"]) from error
    tls = None
    if told.authorities is not None:
        try:
            tls = ssl.create_default_context(cafile=str(settings.path(told.authorities)))
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                [f"address_book.authorities : {told.authorities} est absent ou illisible"]
            ) from None
    headers: tuple[tuple[str, str], ...] = ()
    if told.api_key_file is not None:
        try:
            headers = (("ESANTE-API-KEY", settings.path(told.api_key_file).read_text(encoding="ascii").strip()),)
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(
                [f"address_book.api_key_file : {told.api_key_file} est absent ou illisible"]
            ) from None
    return Fetcher(hosts, tls, MOST_OCTETS, told.seconds, headers)


def look(services: Services, address: str, *, now: datetime, message: str | None = None) -> Found:
    """Ask each source in turn until one has a usable certificate. Raises ConfigurationError, NoSuchMail.

    `message`: a verified mail of this person's, which may bundle a certificate (the third source).
    """
    address = address.strip().lower()
    fetcher = fetcher_of(services.settings)
    told = services.settings.address_book
    with services.database.read() as conn:
        accounts = people.by_mailbox(conn, None, address)
        entries = tuple(directory.by_address(conn, address))
    judge = services.judge_stored(lambda: now)
    mailbox = address if all(one.card_certificate is None for one in accounts) else None  # a partner may vouch for it
    enrolled = [one.encryption_certificate for one in accounts if one.encryption_certificate is not None]
    resources: list[Resource] = []

    def from_fhir() -> list[bytes]:
        resources.extend(search(fetcher, str(told.fhir_url), address))
        return [der for one in resources for der in one.certificates]

    sources: list[tuple[str, Callable[[], Sequence[bytes]]]] = [(ENROLLED, lambda: enrolled)]
    if told.ldap_urls:
        sources.append((LDAP, lambda: _ldap(fetcher, told.ldap_urls, address)))
    if told.fhir_url is not None:
        sources.append((FHIR, from_fhir))
    if message is not None:
        sources.append((HARVESTED, lambda: _harvest(services, message, address, now)))
    tried: list[Tried] = []
    for source, ask in sources:
        try:
            offered = ask()
        except (FetchRefused, OSError) as error:
            tried.append(Tried(source, "unreachable", str(error) if isinstance(error, FetchRefused) else None))
            continue
        usable, verdict = _best(judge, offered, mailbox)
        if usable is not None:
            tried.append(Tried(source, "found", "VALID"))
            return Found(address, entries, tuple(resources), usable, source, tuple(tried))
        tried.append(Tried(source, "unusable" if offered else "absent", verdict))
    return Found(address, entries, tuple(resources), None, None, tuple(tried))


def _ldap(fetcher: Fetcher, urls: Sequence[str], address: str) -> list[bytes]:
    found: list[bytes] = []
    failure: Exception | None = None
    for url in urls:
        try:
            found += fetcher.get(f"{url}?userCertificate;binary?sub?(mail={quote(address, safe='@')})")
        except NothingThere:
            continue
        except (FetchRefused, OSError) as error:
            failure = error  # another of the directories may have it
    if not found and failure is not None:
        raise failure
    return found


def _best(
    judge: StoredJudge, offered: Sequence[bytes], mailbox: str | None
) -> tuple[CardCertificate | None, str | None]:
    """The usable certificate that lasts longest: encryption by KeyUsage and EKU, and VALID today (facts/cards §2)."""
    usable: list[CardCertificate] = []
    verdict = None
    for der in offered:
        try:
            read = read_certificate(der)
        except Unparseable:
            verdict = verdict or "UNPARSEABLE"
            continue
        judged = judge(der, "encrypt", mailbox)
        verdict = verdict or judged
        if judged == "VALID":
            usable.append(read)
    return max(usable, key=lambda one: one.not_after, default=None), verdict


def _harvest(services: Services, message_id: str, address: str, now: datetime) -> list[bytes]:
    with services.database.read() as conn:
        message = messages.get(conn, message_id)
        senders = [] if message is None else people.by_mailbox(conn, None, address)
    if message is None or message.signer not in {one.id for one in senders}:
        raise NoSuchMail("ce message n'est pas un message vérifié de cette personne")
    with services.open_original(message) as source:
        opened = services.open_mail(source)
    try:
        if opened.problem is not None or not opened.intact or len(opened.signers) != 1:
            raise NoSuchMail("la signature de ce message ne se vérifie pas")
        signer = opened.signers[0].certificate
        if signer is None or not _signs(services, signer, opened.certificates, now):
            raise NoSuchMail("la carte qui a signé ce message n'est pas valable aujourd'hui")
        return bundled(signer, opened.certificates)
    finally:
        opened.close()


def _signs(services: Services, signer: bytes, others: Sequence[bytes], now: datetime) -> bool:
    judged = services.judge(signer, at=now, purpose="sign", extra_certificates=tuple(others))
    return judged.verdict.value == "VALID"


def bundled(signer: bytes, certificates: Sequence[bytes]) -> list[bytes]:
    """The separate encryption certificates of the signer's own structure (IDNST) that a mail carries (facts/cards §10).

    A card holds no encryption certificate: another structure's in the same mail would redirect what is sealed.
    """
    mine = _structure(signer)
    if mine is None:
        return []
    found = []
    for der in certificates:
        try:
            read = read_certificate(der)
        except Unparseable:
            continue  # what cannot be read cannot be used
        if der != signer and read.usage is Usage.CONFIDENTIALITY and _structure(der) == mine:
            found.append(der)
    return found


def _structure(der: bytes) -> str | None:
    try:
        holder = read_certificate(der).holder
    except Unparseable:
        return None
    return None if holder is None else holder.structure_id
