"""Keys in a PKCS#11 token behave as keys in a file (facts/mail §6)."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dcc.smime.keys import KeyPair
from dcc.smime.seal import Profile
from dcc.smime.token import PinRefused, Token, TokenRefused, open_token
from dcc.smime.tokenkey import TokenAway, TokenRsaKey
from dcc.smime.verdict import Problem
from softhsm import MODULE, PIN, HsmToken
from throwaway import ENCRYPT, opened, pair, sealed

pytestmark = pytest.mark.peer("softhsm")


@pytest.fixture(scope="module")
def made() -> HsmToken:
    """A token with a signing and a decryption key."""
    token = HsmToken.make("essai")
    token.put("signature", pair())
    token.put("dechiffrement", pair("rsa", ENCRYPT, "reader"))
    return token


@pytest.fixture
def token(made: HsmToken) -> Token:
    """The same, opened."""
    return open_token(MODULE, made.label, made.pin)


def block(key: KeyPair, message: bytes, scheme: padding.AsymmetricPadding) -> bytes:
    public: Any = key.key.public_key()
    found: bytes = public.encrypt(message, scheme)
    return found


@pytest.mark.parametrize("profile", [Profile(), Profile(pss=True, digest="sha384"), Profile(cipher="aes256-gcm")])
def test_sign_and_open(token: Token, profile: Profile) -> None:
    """A mail signed in the token verifies, its chain is enclosed without the root, and the token opens it."""
    mail, _ = sealed(profile, signer=token.pair("signature"))
    read = opened(mail, token.pair("dechiffrement"))
    assert read.problem is None
    assert read.content is not None
    assert read.intact
    (signature,) = read.signers
    assert signature.certificate == pair().certificate
    assert token.pair("signature").chain == pair().chain


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA512()], ids=lambda one: one.name)
def test_oaep_in_software(token: Token, digest: hashes.HashAlgorithm) -> None:
    """With raw_oaep every hash and label opens; without it this token knows SHA-1 only."""
    scheme = padding.OAEP(padding.MGF1(digest), digest, b"nom")
    encrypted = block(pair("rsa", ENCRYPT, "reader"), b"k" * 32, scheme)
    raw: Any = token.pair("dechiffrement", raw_oaep=True).key
    assert raw.decrypt(encrypted, scheme) == b"k" * 32
    plain = padding.OAEP(padding.MGF1(digest), digest, None)
    own: Any = token.pair("dechiffrement").key
    encrypted = block(pair("rsa", ENCRYPT, "reader"), b"k" * 32, plain)
    if digest.name == "sha1":
        assert own.decrypt(encrypted, plain) == b"k" * 32
    else:
        with pytest.raises(ValueError, match="not opened"):
            own.decrypt(encrypted, plain)


def test_a_wrong_block_is_no_oracle(token: Token) -> None:
    """A block with a wrong padding is `ValueError` in both schemes, as from a key in memory; the caller substitutes."""
    key = token.pair("dechiffrement", raw_oaep=True).key
    assert isinstance(key, rsa.RSAPrivateKey)
    for scheme in (padding.PKCS1v15(), padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)):
        for wrong in (b"\x00" * 255 + b"\x07", b"\xff" * 256, b"short"):
            with pytest.raises(ValueError, match=r"not opened|range|length"):
                key.decrypt(wrong, scheme)
    assert key.decrypt(block(pair("rsa", ENCRYPT, "reader"), b"k", padding.PKCS1v15()), padding.PKCS1v15()) == b"k"


def test_a_damaged_mail_is_not_opened(token: Token) -> None:
    """R-ORACLE: a mail whose content key cannot be had ends as one whose content is damaged."""
    ours = pair("rsa", ENCRYPT, "reader")
    other = KeyPair(ours.certificate, pair("rsa", ENCRYPT, "stranger").key)
    mail, _ = sealed()
    assert opened(mail, other).problem is Problem.NOT_OPENED
    key: Any = token.pair("signature").key  # another key than the certificate's
    assert opened(mail, KeyPair(ours.certificate, key)).problem is Problem.NOT_OPENED


def test_one_lock_for_many_threads(token: Token) -> None:
    """Eight threads use the token at once: SoftHSM crashes with a session each, and does not with one lock."""
    key: Any = token.pair("dechiffrement").key
    encrypted = block(pair("rsa", ENCRYPT, "reader"), b"k" * 32, padding.PKCS1v15())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: key.decrypt(encrypted, padding.PKCS1v15()), range(200)))
    assert set(found) == {b"k" * 32}


def test_never_across_fork(token: Token) -> None:
    """A child process does not touch its parent's session."""
    key: Any = token.pair("signature").key
    child = os.fork()
    if child == 0:
        try:
            key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())
        except TokenAway:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())


def test_a_lost_session_is_opened_again(token: Token) -> None:
    """When the session is closed under its feet the next signature works all the same."""
    key: Any = token.pair("signature").key
    token.within(lambda session: session.close())
    assert key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())


class Broken:
    """Holds a key that answers nothing."""

    def with_key(self, _label: str, work: Any) -> bytes:
        from pkcs11.exceptions import GeneralError

        class Key:
            def decrypt(self, *_: Any, **__: Any) -> bytes:
                raise GeneralError

            sign = decrypt

        done: bytes = work(Key())
        return done


def test_a_broken_token_says_nothing_of_the_mail() -> None:
    """A token that answers an error to everything is away (to be tried again), which is not a wrong padding."""
    ours = pair("rsa", ENCRYPT, "reader")
    key = TokenRsaKey(Broken(), "x", ours.key.public_key())  # type: ignore[arg-type]
    with pytest.raises(TokenAway):
        key.decrypt(block(ours, b"k", padding.PKCS1v15()), padding.PKCS1v15())
    with pytest.raises(TokenAway):
        key.sign(b"data", padding.PKCS1v15(), hashes.SHA256())
    mail, _ = sealed()
    with pytest.raises(TokenAway):
        opened(mail, KeyPair(ours.certificate, key))


def test_what_is_wrong_with_a_token() -> None:
    """An absent module, token or label and a wrong PIN are each told in a sentence without the PIN."""
    HsmToken.make("autre").put("signature", pair())
    with pytest.raises(TokenRefused, match="ne se charge pas"):
        open_token(Path("/absent/module.so"), "autre", PIN)
    with pytest.raises(TokenRefused, match="jeton nulle-part absent"):
        open_token(MODULE, "nulle-part", PIN)
    with pytest.raises(TokenRefused, match="pas de clé nommée chiffrement"):
        open_token(MODULE, "autre", PIN).pair("chiffrement")
    with pytest.raises(PinRefused, match="code du jeton est faux") as raised:
        open_token(MODULE, "autre", "9876")
    assert "9876" not in str(raised.value)


def test_a_refused_pin_is_not_tried_again() -> None:
    """The same wrong PIN reaches the token once, however often the session is asked for."""
    made = HsmToken.make("une-fois")
    token = Token(MODULE, made.label, "9999")
    for _ in range(5):
        with pytest.raises(PinRefused):
            token.open()
    assert token.was_refused


def test_a_key_does_not_leave(token: Token) -> None:
    """The private key cannot be read from a token."""
    from cryptography.exceptions import UnsupportedAlgorithm

    key: Any = token.pair("signature").key
    with pytest.raises(UnsupportedAlgorithm):
        key.private_numbers()


def test_without_the_extra() -> None:
    """Where python-pkcs11 is not installed a token is refused in a sentence that says what to install."""
    with patch.dict(sys.modules, {"pkcs11": None}), pytest.raises(TokenRefused, match=r"dcc-gateway\[pkcs11\]"):
        open_token(MODULE, "nulle-part", PIN)
