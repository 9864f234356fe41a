"""The path tests of NIST (PKITS 1.0.1) through our judge: what it says of each last certificate, and what it should."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import cryptography_vectors

from dcc.cards.certificate import read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import CrlUnreadable, Unparseable
from dcc.cards.judge import judge
from dcc.cards.signature import compared_name
from dcc.cards.trust import TrustStore
from dcc.cards.verdict import Judgement

AT = datetime(2020, 6, 1, tzinfo=UTC)  # every test certificate that is in its dates is so at this time
ANCHOR = "TrustAnchorRootCertificate"
# Usage, strength, environment and profile are this gateway's own rules, about which PKITS says nothing
ASKED = frozenset({"read", "path", "dates", "revocation", "revocation of the authority"})
# With the initial settings that a mail has (any policy, none explicit), by PKITS §4.8 and §4.12
NEUTRAL_VALID = frozenset({
    "AllCertificatesNoPoliciesTest2EE", "AllCertificatesSamePoliciesTest10EE", "AllCertificatesSamePoliciesTest13EE",
    "AllCertificatesanyPolicyTest11EE", "AnyPolicyTest14EE", "CPSPointerQualifierTest20EE", "DifferentPoliciesTest3EE",
    "OverlappingPoliciesTest6EE", "UserNoticeQualifierTest15EE", "UserNoticeQualifierTest16EE",
    "UserNoticeQualifierTest17EE", "UserNoticeQualifierTest18EE", "UserNoticeQualifierTest19EE",
    "inhibitAnyPolicyTest3EE",
})  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One test: what PKITS expects, what we say, and why."""

    name: str
    expected: bool
    found: bool
    why: str

    @property
    def agrees(self) -> bool:
        """Whether both say the same."""
        return self.expected == self.found


@cache
def folder() -> Path:
    """Where the data is."""
    return Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"


def names() -> list[str]:
    """Every test, by its last certificate."""
    return sorted(one.stem for one in (folder() / "certs").iterdir() if "Test" in one.stem)


@cache
def world() -> tuple[TrustStore, CrlStore]:
    """The anchor, every authority, every list that can be read."""
    authorities = []
    for path in sorted((folder() / "certs").iterdir()):
        if "Test" not in path.stem:
            try:
                authorities.append((path.stem, read_certificate(path.read_bytes())))
            except Unparseable:
                continue
    anchor = tuple(one for name, one in authorities if name == ANCHOR)
    lists = CrlStore()
    for path in sorted((folder() / "crls").iterdir()):
        try:
            lists.add(path.read_bytes())
        except CrlUnreadable:
            continue
    return TrustStore(anchor, tuple(one for name, one in authorities if name != ANCHOR), "test"), lists


def _above(der: bytes, trust: TrustStore) -> TrustStore:
    """Only the authorities whose names lead to this certificate: what the others cost in time changes no answer."""
    wanted = {compared_name(read_certificate(der).issuer_der)}
    before = 0
    while before != len(wanted):
        before = len(wanted)
        wanted |= {
            compared_name(one.issuer_der) for one in trust.intermediates if compared_name(one.subject_der) in wanted
        }
    kept = tuple(one for one in trust.intermediates if compared_name(one.subject_der) in wanted)
    return TrustStore(trust.anchors, kept, trust.environment)


def outcome(name: str) -> Outcome:
    """The judgement of one test."""
    trust, lists = world()
    der = (folder() / "certs" / f"{name}.crt").read_bytes()
    found: Judgement = judge(der, trust=_above(der, trust), crls=lists, at=AT)
    failed = [one for one in found.evidence if one.check in ASKED and one.verdict is not None]
    expected = name.startswith("Valid") or name in NEUTRAL_VALID
    return Outcome(name, expected, not failed, failed[0].text if failed else "accepté")
