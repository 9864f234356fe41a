"""Which certificate made a signature: the one that the signer named, whatever stands beside it (RFC 5035, RFC 4055)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding

import throwaway
from dcc.smime import ber, der
from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair
from dcc.smime.verdict import Opened, Problem
from forge import DIGEST_OIDS, Signing, pss_algorithm, signed_data
from rsakeys import rsa_key
from throwaway import ENTITY, pair

Open = Callable[..., Opened]
V1, V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"


def like(one: KeyPair, key: Any, *, serial: int | None = None) -> KeyPair:
    """Another certificate of the same name and key identifier, for this key."""
    found = x509.load_der_x509_certificate(one.certificate)
    identifier = found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = x509.CertificateBuilder(
        found.issuer, found.subject, key.public_key(), serial or x509.random_serial_number()
    )
    builder = builder.not_valid_before(found.not_valid_before_utc).not_valid_after(found.not_valid_after_utc)
    made = builder.add_extension(identifier, critical=False).sign(throwaway._key("rsa", "authority"), hashes.SHA256())
    return KeyPair(made.public_bytes(Encoding.DER), key)


def v1(certificate: bytes) -> bytes:
    """signingCertificate (RFC 2634 §5.4)."""
    digest = hashlib.sha1(certificate, usedforsecurity=False).digest()
    return der.attribute(V1, der.sequence(der.sequence(der.sequence(der.octets(digest)))))


def v2(certificate: bytes, digest: str | None = None) -> bytes:
    """signingCertificateV2, with its default digest or another (RFC 5035 §3)."""
    value = der.octets(hashlib.new(digest or "sha256", certificate).digest())
    named = b"" if digest is None else der.algorithm(DIGEST_OIDS[digest])
    return der.attribute(V2, der.sequence(der.sequence(der.sequence(named, value))))


@cache
def made(name: str) -> KeyPair:
    """The signer's key pair, or another that looks like it."""
    mine = pair()
    match name:
        case "twin":  # the same key under another certificate
            return like(mine, mine.key)
        case "double":  # the same key identifier, another key
            return like(mine, rsa_key("double"))
        case "namesake":  # the same issuer and serial number too
            return like(mine, rsa_key("double"), serial=parts(mine.certificate).serial)
    return mine


@pytest.mark.parametrize("attribute", [v1, v2, lambda one: v2(one, "sha384"), lambda one: v2(one, "sha512")])
def test_rule_7_r_attrs_signing_certificate(attribute: Callable[[bytes], bytes], open_cms_part: Open) -> None:
    """R-ATTRS: another certificate of the same key does not stand for the one that was signed (RFC 5035 §5.4.1)."""
    mine, twin = made("mine").certificate, made("twin").certificate
    signing = Signing(made("mine"), more=[attribute(mine)], by_key_identifier=True)
    for beside in ([mine, twin], [twin, mine]):
        found = open_cms_part(signed_data(ENTITY, [signing], certificates=beside))
        assert found.problem is None
        assert found.signers[0].certificate == mine
    stolen = open_cms_part(signed_data(ENTITY, [signing], certificates=[twin]))
    assert (stolen.problem, stolen.content) == (Problem.NOT_INTACT, None)
    assert "R-ATTRS" in stolen.findings


@pytest.mark.parametrize(
    "attribute",
    [
        der.attribute(V2, der.sequence(der.sequence())),
        der.attribute(V2, der.sequence()),
        der.attribute(V2),
        v2(b"twice") + v2(b"twice"),
        der.attribute(V2, der.sequence(der.sequence(der.sequence(der.algorithm("1.2.3"), der.octets(bytes(32)))))),
    ],
)
def test_a_signing_certificate_that_says_nothing(attribute: bytes, open_cms_part: Open) -> None:
    """Empty, doubled, or by an unknown digest: whose certificate is meant cannot be known, and nothing is believed."""
    found = open_cms_part(signed_data(ENTITY, [Signing(more=[attribute])]))
    assert found.problem in (Problem.MALFORMED, Problem.NOT_INTACT)
    assert found.content is None


@pytest.mark.parametrize("name", ["double", "namesake"])
def test_a_certificate_of_the_same_identifier_spoils_nothing(name: str, open_cms_part: Open) -> None:
    """RFC 5652 §5.1: the set of certificates is not signed, nor in an order; the key that made the signature is found."""
    mine, other = made("mine").certificate, made(name).certificate
    signing = Signing(made("mine"), by_key_identifier=name == "double")
    for beside in ([mine, other], [other, mine]):
        found = open_cms_part(signed_data(ENTITY, [signing], certificates=beside))
        assert found.problem is None
        assert found.signers[0].certificate == mine
    alone = open_cms_part(signed_data(ENTITY, [signing], certificates=[other]))
    assert alone.problem is Problem.NOT_INTACT


def pss_only(digest: str | None, salt: int) -> KeyPair:
    """The signer with a key that is for RSASSA-PSS alone, for this digest and at least this salt (RFC 4055 §1.2)."""
    mine = made("mine")
    der_ = mine.certificate
    outer = ber.children(der_, ber.whole(der_, ber.SEQUENCE))
    fields = [der_[one.start : one.end] for one in ber.children(der_, outer[0])]
    info = fields[6]
    bits = ber.children(info, ber.whole(info, ber.SEQUENCE))[1]
    own = der.algorithm("1.2.840.113549.1.1.10") if digest is None else pss_algorithm(digest, digest, salt)
    fields[6] = der.sequence(own, info[bits.start : bits.end])
    whole = der.sequence(*fields)
    signature = throwaway._key("rsa", "authority").sign(whole, padding.PKCS1v15(), hashes.SHA256())
    algorithm = der_[outer[1].start : outer[1].end]
    return KeyPair(der.sequence(whole, algorithm, der.tlv(3, b"\0" + signature)), mine.key)


@pytest.mark.parametrize(
    ("digest", "salt", "signing", "good"),
    [
        (None, 0, {"pss_salt": 32}, True),
        ("sha256", 32, {"pss_salt": 32}, True),
        ("sha256", 32, {"pss_salt": 20}, False),
        ("sha512", 64, {"pss_salt": 32}, False),
        ("sha512", 64, {"pss_salt": 64, "digest": "sha512"}, True),
        (None, 0, {}, False),
        ("sha256", 32, {}, False),
    ],
)
def test_rule_14_r_algo_a_key_for_pss_only(
    digest: str | None, salt: int, signing: dict[str, Any], good: bool, open_cms_part: Open
) -> None:
    """R-ALGO: a key that is for RSASSA-PSS signs nothing else, and only with the digest and salt that it names."""
    found = open_cms_part(signed_data(ENTITY, [Signing(pss_only(digest, salt), **signing)]))
    assert found.problem is (None if good else Problem.NOT_INTACT)
    assert found.signers[0].weakness == ()  # the key itself was read
