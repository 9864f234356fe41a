"""Elliptic-curve keys in a PKCS#11 token behave as keys in a file (R-KEYS)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from dcc.smime import tokenfacts
from dcc.smime.keys import KeyPair
from dcc.smime.seal import Profile, key_signer
from dcc.smime.token import Token, TokenRefused, open_token
from dcc.smime.tokeneckey import TokenEcKey
from dcc.smime.tokenfacts import KeyFacts, curve_parameters
from dcc.smime.tokenkey import TokenAway
from dcc.smime.verdict import Problem
from peerprograms import run
from softhsm import MODULE, HsmToken
from throwaway import ENCRYPT, opened, pair, pem, sealed

CURVES = ("p256", "p384", "p521")
pytestmark = [pytest.mark.peer("softhsm"), pytest.mark.peer("openssl")]


@pytest.fixture(scope="module")
def made() -> HsmToken:
    """A token with a signing and a decryption key on each curve."""
    token = HsmToken.make("courbes")
    for curve in CURVES:
        token.put(f"signature-{curve}", pair(curve))
        token.put(f"dechiffrement-{curve}", pair(curve, ENCRYPT, "reader"))
    return token


@pytest.fixture
def token(made: HsmToken) -> Token:
    """The same, opened."""
    return open_token(MODULE, made.label, made.pin)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_sign_and_open(token: Token, curve: str, digest: str) -> None:
    """A mail signed with ECDSA in the token verifies, and the token opens it by ECDH, on each curve."""
    ours = token.pair(f"dechiffrement-{curve}")
    mail, _ = sealed(Profile(digest=digest), signer=token.pair(f"signature-{curve}"), recipient=ours.certificate)
    read = opened(mail, ours)
    assert read.problem is None
    assert read.intact
    assert [one.certificate for one in read.signers] == [pair(curve).certificate]


def test_a_short_secret(token: Token) -> None:
    """A shared secret that begins with zeros is as long as the field, as from a key in memory (SEC 1 §2.3.5)."""
    own: Any = token.pair("dechiffrement-p256").key
    public = pair("p256", ENCRYPT, "reader").key.public_key()
    for _ in range(5000):
        other = ec.generate_private_key(ec.SECP256R1())
        wanted = other.exchange(ec.ECDH(), public)  # type: ignore[arg-type]
        if wanted[0] == 0:
            break
    assert wanted[0] == 0
    assert own.exchange(ec.ECDH(), other.public_key()) == wanted
    assert own.agrees()


def test_a_secret_leaves_nothing_in_the_token(token: Token) -> None:
    """The shared secret is an object of the session, destroyed once it is read."""
    from pkcs11 import Attribute, ObjectClass

    own: Any = token.pair("dechiffrement-p256").key
    own.agrees()
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY}
    assert token.within(lambda session: len(list(session.get_objects(wanted)))) == 0


def test_another_curve(token: Token) -> None:
    """A point of another curve is `ValueError`, as from a key in memory, and the token is not asked."""
    own: Any = token.pair("dechiffrement-p256").key
    with pytest.raises(ValueError, match="another curve"):
        own.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP384R1()).public_key())


def test_a_damaged_mail_is_not_opened(token: Token) -> None:
    """R-ORACLE: the key of another certificate gives another secret, and the mail ends as a damaged one."""
    ours = pair("p256", ENCRYPT, "reader")
    mail, _ = sealed(recipient=ours.certificate)
    key: Any = token.pair("signature-p256").key
    assert opened(mail, KeyPair(ours.certificate, key)).problem is Problem.NOT_OPENED


def test_openssl_verifies(token: Token, tmp_path: Path) -> None:
    """OpenSSL verifies what the token signed: r and s are in the DER that RFC 3279 §2.2.3 wants."""
    signature = key_signer(token.pair("signature-p384")).sign(b"data", "sha384", False)
    (tmp_path / "sig").write_bytes(signature)
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "cert").write_bytes(pem(pair("p384").certificate))
    (tmp_path / "pub").write_bytes(run("openssl", "x509", "-in", tmp_path / "cert", "-noout", "-pubkey"))
    told = run(
        "openssl", "dgst", "-sha384", "-verify", tmp_path / "pub", "-signature", tmp_path / "sig", tmp_path / "data"
    )
    assert told == b"Verified OK\n"


def test_a_key_that_is_not_the_certificates(token: Token) -> None:
    """A signature that the certificate does not verify never leaves; `agrees` says the same of a decryption key."""
    stranger: Any = pair("p256", ENCRYPT, "stranger").key.public_key()
    wrong = TokenEcKey(token, "signature-p256", stranger)
    with pytest.raises(TokenAway, match="not the certificate's"):
        wrong.sign(b"data", ec.ECDSA(hashes.SHA256()))
    assert not TokenEcKey(token, "dechiffrement-p256", stranger).agrees()


def test_the_public_half_beside(made: HsmToken, token: Token) -> None:
    """Where the token holds the public half too, a certificate of another key on the same curve is not taken."""
    from pkcs11 import Attribute, KeyType, ObjectClass

    public: Any = pair("p256", ENCRYPT, "stranger").key.public_key()
    own = token.pair("signature-p256")
    point = tokenfacts.uncompressed(public)

    def write(session: Any) -> Any:
        identifier = bytes(session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="signature-p256")[Attribute.ID])
        return session.create_object({
            Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: KeyType.EC, Attribute.ID: identifier,
            Attribute.TOKEN: False, Attribute.EC_PARAMS: curve_parameters(public.curve),
            Attribute.EC_POINT: b"\x04" + bytes([len(point)]) + point,
        })  # fmt: skip

    beside = token.within(write)
    try:
        with pytest.raises(TokenRefused, match="pas de certificat pour la clé signature-p256"):
            token.pair("signature-p256")
    finally:
        token.within(lambda _: beside.destroy())
    assert token.pair("signature-p256").certificate == own.certificate


class Broken:
    """Holds a key that answers nothing, or something that is no signature."""

    def __init__(self, answer: bytes | None = None) -> None:
        self._answer = answer

    def with_key(self, _label: str, work: Any) -> bytes:
        from pkcs11.exceptions import GeneralError

        answer = self._answer

        class Key:
            def sign(self, *_: Any, **__: Any) -> bytes:
                if answer is None:
                    raise GeneralError
                return answer

            derive_key = sign

        done: bytes = work(Key())
        return done


@pytest.mark.parametrize("answer", [None, b"", b"\x00" * 64, b"\x01" * 63])
def test_a_broken_token_says_nothing_of_the_mail(answer: bytes | None) -> None:
    """A token that answers errors or nonsense is away, to be tried again: nothing is concluded of the mail."""
    key = TokenEcKey(Broken(answer), "x", pair("p256").key.public_key())  # type: ignore[arg-type]
    with pytest.raises(TokenAway):
        key.sign(b"data", ec.ECDSA(hashes.SHA256()))


def test_a_broken_token_opens_nothing() -> None:
    """An error while agreeing is the token's: the mail waits."""
    ours = pair("p256", ENCRYPT, "reader")
    mail, _ = sealed(recipient=ours.certificate)
    with pytest.raises(TokenAway):
        opened(mail, KeyPair(ours.certificate, TokenEcKey(Broken(), "x", ours.key.public_key())))  # type: ignore[arg-type]


def test_what_it_does_not_do() -> None:
    """The key does not leave, and nothing is signed that was hashed elsewhere."""
    key: Any = TokenEcKey(Broken(), "x", pair("p256").key.public_key())  # type: ignore[arg-type]
    for attempt in (key.private_numbers, lambda: key.private_bytes(None, None, None)):
        with pytest.raises(UnsupportedAlgorithm):
            attempt()
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    with pytest.raises(UnsupportedAlgorithm):
        key.sign(b"0" * 32, ec.ECDSA(Prehashed(hashes.SHA256())))


def test_facts_of_another_kind() -> None:
    """An RSA key's facts fit no curve, and a curve's no other curve."""
    facts = KeyFacts(b"id", curve=curve_parameters(ec.SECP256R1()))
    assert facts.fits(pair("p256").key.public_key())
    assert not facts.fits(pair("p384").key.public_key())
    assert not facts.fits(pair().key.public_key())
    assert not KeyFacts(b"id", modulus=5).fits(pair("p256").key.public_key())
