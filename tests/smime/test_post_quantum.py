"""ML-KEM recipients and ML-DSA signatures: behind one switch, read and written (RFC 9629, RFC 9936, RFC 9882)."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

import forge
from dcc.smime import algorithms, der
from dcc.smime.certificates import parts
from dcc.smime.errors import Unsupported
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import Profile
from dcc.smime.sealenveloped import MixedRecipients, UnusableRecipient
from dcc.smime.verdict import Opened, Problem
from forge import auth_enveloped_data, signed_data
from throwaway import ENCRYPT, ENTITY, SIGN, multipart, pair, sealed

Open = Callable[..., Opened]
SIGNED_MAIL = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
OIDS = {one.name: name for name, one in algorithms.KEMS.items()}
HKDF_OIDS = {
    "sha256": "1.2.840.113549.1.9.16.3.28",
    "sha384": "1.2.840.113549.1.9.16.3.29",
    "sha512": "1.2.840.113549.1.9.16.3.30",
}
WRAPS = {16: "2.16.840.1.101.3.4.1.5", 32: "2.16.840.1.101.3.4.1.45"}
ON = Profile(digest="sha512", post_quantum=True)


def read(mail: bytes, *keys: KeyPair, on: bool = True) -> Opened:
    return open_message(io.BytesIO(mail), keys=keys, post_quantum=on)


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
@pytest.mark.parametrize(("signature", "kem"), [("ml-dsa-65", "ml-kem-768"), ("ml-dsa-87", "ml-kem-1024")])
def test_sealed_and_opened(signature: str, kem: str, detached: bool, cipher: Any) -> None:
    """With the switch on both sides a mail is signed with ML-DSA, encrypted for ML-KEM, opened and believed."""
    reader = pair(kem, ENCRYPT, "reader")
    profile = replace(ON, cipher=cipher, detached=detached)
    mail, _ = sealed(profile, signer=pair(signature), recipient=reader.certificate)
    found = read(mail, reader)
    assert (found.problem, found.intact, found.findings) == (None, True, ())
    assert found.layers[0].algorithms["key"] == kem
    assert found.signers[0].signature_algorithm == signature
    assert not found.signers[0].weak


def test_off_by_default_when_writing() -> None:
    """Without the switch nothing is signed with ML-DSA nor encrypted for ML-KEM."""
    with pytest.raises(Unsupported):
        sealed(Profile(digest="sha512"), signer=pair("ml-dsa-65"))
    with pytest.raises(Unsupported):
        sealed(Profile(), recipient=pair("ml-kem-768", ENCRYPT, "reader").certificate)


def test_off_by_default_when_reading() -> None:
    """Without the switch mail to an ML-KEM key of ours stays closed and an ML-DSA signature verifies nothing; each refusal
    names its algorithm, and an ML-KEM key of others is not ours."""
    reader, other = pair("ml-kem-768", ENCRYPT, "reader"), pair("rsa", ENCRYPT, "reader")
    mail, _ = sealed(ON, recipient=reader.certificate)
    closed = read(mail, reader, on=False)
    assert (closed.problem, closed.detail, closed.decrypted) == (Problem.NOT_ENABLED, "ml-kem-768", False)
    assert (read(mail, other, on=False).problem, read(mail, other, on=False).detail) == (Problem.NOT_FOR_US, "ori")
    signed, _ = sealed(ON, signer=pair("ml-dsa-65"))
    for legacy in (False, True):  # the other switch changes nothing
        found = open_message(io.BytesIO(signed), keys=[other], allow_legacy=legacy)
        assert (found.problem, found.detail, found.content) == (Problem.NOT_ENABLED, "ml-dsa-65", None)
        assert "R-ALGO" in found.findings


def test_off_hides_no_other_failure(open_cms_part: Open) -> None:
    """Altered content, or a second signature that is false, is not intact, whatever the switch would say."""
    signer = MlDsaSigning(
        pair("ml-dsa-65", SIGN), digest="sha512", algorithm=der.algorithm(algorithms.PURE["ml-dsa-65"].identifier)
    )
    assert open_cms_part(signed_data(ENTITY, [signer])).problem is Problem.NOT_ENABLED
    assert open_cms_part(signed_data(ENTITY, [signer]).replace(b"RCP", b"RCQ", 1)).problem is Problem.NOT_INTACT
    false = forge.Signing(signature=bytes(256))
    assert open_cms_part(signed_data(ENTITY, [signer, false])).problem is Problem.NOT_INTACT


def test_off_hides_no_malformed_recipient(open_cms_part: Open) -> None:
    """Off, a malformed ML-KEM recipient is of an unknown kind, and does not keep another recipient from reading."""
    to, cek = pair("rsa", ENCRYPT, "reader"), os.urandom(32)
    broken = der.tlv(0xA4, der.oid("1.2.840.113549.1.9.16.13.3"), der.sequence(der.integer(0)))
    good = forge.key_transport(cek, to)
    assert open_cms_part(auth_enveloped_data(SIGNED_MAIL, [broken, good], cek=cek), keys=[to]).problem is None
    alone = open_cms_part(auth_enveloped_data(SIGNED_MAIL, [broken], cek=cek), keys=[to])
    assert (alone.problem, alone.detail) == (Problem.NOT_FOR_US, "ori")


def kem_recipient(
    cek: bytes, to: KeyPair, *, ukm: bytes | None = None, hkdf: str = "sha256", wrap: int = 32, length: int | None = None,
    by_key_identifier: bool = False, name: str | None = None, ciphertext: bytes | None = None,
) -> bytes:  # fmt: skip
    """KEMRecipientInfo, made apart from the product (RFC 9629 §3, §5)."""
    cut = parts(to.certificate)
    key: Any = to.key
    secret, real = key.public_key().encapsulate()
    who = (
        der.tlv(0x80, cut.key_identifier or b"")
        if by_key_identifier
        else der.sequence(cut.issuer, der.integer(cut.serial))
    )
    given = wrap if length is None else length
    user = b"" if ukm is None else der.tlv(0xA0, der.octets(ukm))
    wrapping = der.algorithm(WRAPS[wrap])
    kek = HKDF(forge.HASHES[hkdf](), wrap, None, der.sequence(wrapping, der.integer(given), user)).derive(secret)
    return der.tlv(
        0xA4,
        der.oid("1.2.840.113549.1.9.16.13.3"),
        der.sequence(
            der.integer(0), who, der.algorithm(name or OIDS["ml-kem-768"]), der.octets(ciphertext or real),
            der.algorithm(HKDF_OIDS[hkdf]), der.integer(given), user, wrapping, der.octets(aes_key_wrap(kek, cek)),
        ),
    )  # fmt: skip


READ: dict[str, tuple[dict[str, Any], Problem | None]] = {
    "as RFC 9936 has it": ({}, None),
    "with user keying material": ({"ukm": b"0123456789"}, None),
    "HKDF with SHA-512": ({"hkdf": "sha512"}, None),
    "by key identifier": ({"by_key_identifier": True}, None),
    "a wrap weaker than the encapsulation": ({"wrap": 16}, Problem.NOT_OPENED),
    "another length than the wrap's": ({"length": 16}, Problem.NOT_OPENED),
    "another set of parameters": ({"name": OIDS["ml-kem-1024"]}, Problem.NOT_OPENED),
    "an unknown encapsulation": ({"name": "1.2.3.4"}, Problem.NOT_OPENED),
    "a ciphertext of zeros": ({"ciphertext": bytes(1088)}, Problem.NOT_OPENED),
    "a short ciphertext": ({"ciphertext": bytes(1087)}, Problem.NOT_OPENED),
}


@pytest.mark.parametrize("name", READ)
def test_recipient(name: str, open_cms_part: Open) -> None:
    """R-ORACLE: an ML-KEM recipient in each legal form opens the mail; whatever else fails has the one outcome."""
    options, problem = READ[name]
    to, cek = pair("ml-kem-768", ENCRYPT, "reader"), os.urandom(32)
    cms = auth_enveloped_data(SIGNED_MAIL, [kem_recipient(cek, to, **options)], cek=cek)
    found = open_cms_part(cms, keys=[to], post_quantum=True)
    assert found.problem is problem
    if problem is not None:
        assert (found.content, found.layers) == (None, ())


@pytest.mark.parametrize(
    ("kind", "digest", "good"),
    [
        ("ml-dsa-65", "sha384", True), ("ml-dsa-65", "sha512", True), ("ml-dsa-65", "sha256", False),
        ("ml-dsa-87", "sha512", True), ("ml-dsa-87", "sha384", False),
    ],
)  # fmt: skip
def test_rule_14_digests(kind: str, digest: str, good: bool, open_cms_part: Open) -> None:
    """R-ALGO: the digest beside an ML-DSA signature is as strong as the signature (RFC 9882 §3.3)."""
    signer = MlDsaSigning(pair(kind, SIGN), digest=digest, algorithm=der.algorithm(algorithms.PURE[kind].identifier))
    found = open_cms_part(signed_data(ENTITY, [signer]), post_quantum=True)
    assert found.problem is (None if good else Problem.NOT_INTACT)
    other = replace(signer, signature=bytes(algorithms.PURE[kind].size))
    assert open_cms_part(signed_data(ENTITY, [other]), post_quantum=True).problem is Problem.NOT_INTACT
    bare = replace(signer, attributes=False)
    assert open_cms_part(signed_data(ENTITY, [bare]), post_quantum=True).problem is Problem.NOT_INTACT


class MlDsaSigning(forge.Signing):
    """A SignerInfo whose signature is over the attributes themselves."""

    def _sign(self, covered: bytes) -> bytes:
        key: Any = self.pair.key
        return bytes(key.sign(covered))


def test_refused_when_writing() -> None:
    """A digest that is too weak, a signature certificate as a recipient, kinds of recipients in one mail: refused."""
    with pytest.raises(Unsupported):
        sealed(replace(ON, digest="sha256"), signer=pair("ml-dsa-65"))
    with pytest.raises(UnusableRecipient):
        sealed(ON, recipient=pair("ml-kem-768", SIGN).certificate)
    both = [pair("ml-kem-768", ENCRYPT, "reader").certificate, pair("rsa", ENCRYPT, "reader").certificate]
    with pytest.raises(MixedRecipients):
        sealed(ON, recipient=both)
