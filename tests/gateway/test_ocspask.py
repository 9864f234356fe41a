"""Who is asked about a signer and about the authorities above it, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from cardworld import DAY, HOUR, NOW, authority, card, crl, leaf, store
from dcc.cards.judge import judge
from dcc.cards.opposition import Beside
from dcc.cards.trust import trust_of
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.fetch import Fetcher
from dcc.gateway.ocspask import OcspAsker
from dcc.gateway.settings_trust import TrustSettings
from listhost import ListHost, http, list_host

GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


@pytest.fixture
def host() -> Iterator[ListHost]:
    """The responder of the root."""
    with list_host() as found:
        yield found


def naming(url: str) -> bytes:
    """The authority of the cards, certified anew by its root with the address of a responder."""
    own = x509.load_der_x509_certificate(authority("FO-PP").der)
    place = x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder().subject_name(own.subject).issuer_name(own.issuer).public_key(own.public_key())
        .serial_number(own.serial_number + 1).not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.AuthorityInformationAccess([place]), critical=False)
    )  # fmt: skip
    for extension in own.extensions:
        if not isinstance(extension.value, x509.AuthorityInformationAccess):
            builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(authority("FO").key, hashes.SHA256()).public_bytes(Encoding.DER)


def answer(about: bytes, status: Any) -> bytes:
    """What the root says of one of its authorities."""
    issuing = x509.load_der_x509_certificate(authority("FO").der)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=x509.load_der_x509_certificate(about), issuer=issuing, algorithm=hashes.SHA1(), cert_status=status,
        this_update=NOW - HOUR, next_update=NOW + DAY, revocation_reason=None,
        revocation_time=NOW - DAY if status is REVOKED else None,
    )  # fmt: skip
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuing).sign(authority("FO").key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def verdicts(between: bytes, asker: OcspAsker) -> tuple[Judgement, Judgement]:
    """Without a responder, and with what the asker was told."""
    known: dict[str, Any] = {
        "trust": trust_of((authority("FO").der, between)), "crls": store(crl("FO-PP")), "at": NOW
    }  # fmt: skip
    own = card().signature.certificate
    before = judge(own, **known)
    assert asker.wanted(before)
    return before, judge(own, **known, beside=Beside(asker.ask(before, NOW), NOW, asker.age))


def asker_of(*hosts: str, **settings: Any) -> OcspAsker:
    """As an instance makes it."""
    return OcspAsker(
        TrustSettings.model_validate({"certificates": [], "ocsp": "unknown", **settings}), Fetcher(frozenset(hosts))
    )


@pytest.mark.parametrize(("status", "meant"), [(GOOD, Verdict.VALID), (REVOKED, Verdict.UNTRUSTED_CHAIN)])
def test_an_authority_that_names_a_responder(host: ListHost, status: Any, meant: Verdict) -> None:
    """Where no list speaks of it, an authority is asked about at the responder that it names; once while it is good."""
    between = naming(host.url("/ocsp"))
    host.answers["/ocsp"] = http(answer(between, status))
    asker = asker_of("127.0.0.1")
    before, after = verdicts(between, asker)
    assert (before.verdict, after.verdict) == (Verdict.REVOCATION_UNKNOWN, meant)
    verdicts(between, asker)
    assert len(host.asked) == 1


def test_a_host_that_is_not_listed(host: ListHost) -> None:
    """An authority may name anything: nobody is asked whose host is not listed."""
    between = naming(host.url("/ocsp"))
    host.answers["/ocsp"] = http(answer(between, GOOD))
    _, after = verdicts(between, asker_of("elsewhere.example"))
    assert after.verdict is Verdict.REVOCATION_UNKNOWN
    assert host.asked == []


def test_the_responder_for_cards_is_not_asked_about_authorities(host: ListHost) -> None:
    """`ocsp_url` answers for cards; an authority is asked about where it says itself, or nowhere."""
    host.answers["/cards"] = http(b"", "503 Service Unavailable")
    between = naming(host.url("/ocsp"))
    host.answers["/ocsp"] = http(answer(between, GOOD))
    _, after = verdicts(between, asker_of("127.0.0.1", ocsp_url=host.url("/cards")))
    assert after.verdict is Verdict.VALID
    assert sorted(one.split(b" ")[1] for one in host.asked) == [b"/cards", b"/ocsp"]


def test_a_card_that_names_a_responder(host: ListHost) -> None:
    """Card and authority are each asked about; both answers count together."""
    between = naming(host.url("/root"))
    place = x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(host.url("/cards"))
    )  # fmt: skip
    own = leaf(extensions=[(x509.AuthorityInformationAccess([place]), False)])
    host.answers["/root"] = http(answer(between, GOOD))
    known: dict[str, Any] = {"trust": trust_of((authority("FO").der, between)), "crls": store(), "at": NOW}
    asked = asker_of("127.0.0.1").ask(judge(own, **known), NOW)
    assert len(asked) == 1
    assert {one.split(b" ")[1] for one in host.asked} == {b"/root", b"/cards"}
