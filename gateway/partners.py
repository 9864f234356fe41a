"""Partners outside the card world: their own anchors vouch for addresses of their own domains, and for nothing else.

A partner's certificate names the From address, or stands for a whole organisation by naming its domain (RFC 8550 §3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import CrlUnreadable, Unparseable
from dcc.cards.trust import TrustStore, certificates_in, trust_of
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.addressprofile import Binding, binding, judge_address
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.settings_sections import PartnerSettings
from dcc.smime.verdict import Opened, SignatureCheck

CANDIDATES = 30  # R-PATH: certificates of one mail that are looked at


@dataclass(frozen=True, slots=True)
class Partner:
    """One partner, opened."""

    name: str
    domains: frozenset[str]
    trust: TrustStore
    crls: CrlStore
    revocation: bool

    def speaks_for(self, address: str) -> bool:
        """Whether this address is in one of the partner's domains."""
        return address.rpartition("@")[2].lower() in self.domains

    def judge(self, certificate: bytes, extra: Sequence[bytes], at: datetime) -> Judgement:
        """The verdict on a partner's certificate at a time, with the partner's own anchors and lists."""
        return judge_address(
            certificate, trust=self.trust, crls=self.crls, at=at, extra=extra, revocation=self.revocation
        )

    def judge_recipient(self, certificate: bytes, mailbox: str, at: datetime) -> Verdict:
        """Whether one may encrypt to this certificate for this mailbox: by the partner's own anchors and lists, and only
        where it names the mailbox or stands for its organisation (RFC 8550 §3, R-USAGE)."""
        found = judge_address(
            certificate,
            trust=self.trust,
            crls=self.crls,
            at=at,
            extra=(),
            revocation=self.revocation,
            purpose="encrypt",
        )
        if found.verdict is Verdict.VALID and not self.names(found, mailbox):
            return Verdict.WRONG_USAGE
        return found.verdict

    def announced(self, opened: Opened, signer: SignatureCheck, mailbox: str, at: datetime) -> CardCertificate | None:
        """The certificate of a verified mail that encrypts to its sender: the one that the signature prefers, else the
        signer's own or one beside it (RFC 8551 §2.5.3, §2.7.2)."""
        preferred = signer.encryption_key_preference
        offered = (preferred,) if preferred is not None else (signer.certificate, *opened.certificates[:CANDIDATES])
        for der in offered:
            if der is not None and self.judge_recipient(der, mailbox, at) is Verdict.VALID:
                return read_certificate(der)
        return None

    def names(self, judgement: Judgement, address: str) -> bool:
        """Whether the certificate is bound to the address, or to its domain."""
        if judgement.certificate is None:
            return False
        return binding(judgement.certificate, address, self.domains) in {Binding.NAMED, Binding.DOMAIN}


def partner_of(partners: Sequence[Partner], address: str) -> Partner | None:
    """The partner whose domain this address is in."""
    return next((one for one in partners if one.speaks_for(address)), None)


def open_partners(settings: Settings) -> tuple[Partner, ...]:
    """Every partner of the settings. Raises ConfigurationError with every problem."""
    problems: list[str] = []
    found = [_opened(settings, one, f"partners.{place}", problems) for place, one in enumerate(settings.partners)]
    if problems:
        raise ConfigurationError(problems)
    return tuple(found)


def _opened(settings: Settings, told: PartnerSettings, where: str, problems: list[str]) -> Partner:
    certificates: list[bytes] = []
    for path in told.certificates:
        try:
            read = certificates_in(settings.path(path).read_bytes())
            certificates += [read_certificate(one).der for one in read]
        except OSError:
            problems.append(f"{where}.certificates : {path.name} est absent ou illisible")
        except Unparseable:
            problems.append(f"{where}.certificates : {path.name} n'est pas un certificat lisible")
    trust = trust_of(certificates)
    if not trust.anchors and not any(one.startswith(where) for one in problems):
        problems.append(f"{where}.certificates : aucune racine")
    crls = CrlStore(None)
    for path in told.crls:
        try:
            crls.add_file(settings.path(path))
        except OSError:
            problems.append(f"{where}.crls : {path.name} est absent ou illisible")
        except CrlUnreadable:
            problems.append(f"{where}.crls : {path.name} n'est pas une CRL lisible")
    return Partner(told.name, frozenset(told.domains), trust, crls, told.revocation)
