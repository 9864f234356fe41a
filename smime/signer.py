"""Who signs: one method, so that a key in a file and a key in a token are the same (R-KEYS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from dcc.smime.algorithms import HASHES, PURE
from dcc.smime.errors import Unsupported
from dcc.smime.keys import KeyPair


class Signer(Protocol):
    """A signing key and its certificate. `family`: "rsa", "ecdsa" or a name of `PURE`."""

    @property
    def certificate(self) -> bytes: ...
    @property
    def chain(self) -> tuple[bytes, ...]: ...
    @property
    def family(self) -> str: ...
    @property
    def signature_size(self) -> int:
        """The largest signature in octets; an RSA signature has exactly this size."""

    def sign(self, data: bytes, digest: str, pss: bool) -> bytes:
        """The signature over `data`, hashed with `digest`; RSASSA-PSS (salt as long as the hash) when `pss`."""


class PureKey(Protocol):
    """A private key that signs the octets themselves."""

    def sign(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A signer whose key is in memory."""

    pair: KeyPair

    @property
    def certificate(self) -> bytes:
        return self.pair.certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        return self.pair.chain

    @property
    def family(self) -> str:
        return _family(self.pair.key)

    @property
    def signature_size(self) -> int:
        key = self.pair.key
        if isinstance(key, rsa.RSAPrivateKey):
            return (key.key_size + 7) // 8
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return 2 * ((key.key_size + 7) // 8) + 9
        return PURE[self.family].size

    @property
    def digest(self) -> Literal["sha256", "sha512"]:
        """What to hash with when nobody says: SHA-256, or what the scheme asks for (RFC 8419 §3.1, RFC 9882 §3.3)."""
        return "sha512" if self.family in PURE else "sha256"

    def sign(self, data: bytes, digest: str, pss: bool) -> bytes:
        key = self.pair.key
        kind: hashes.HashAlgorithm = HASHES[digest]()
        if isinstance(key, rsa.RSAPrivateKey):
            scheme = padding.PSS(padding.MGF1(kind), kind.digest_size) if pss else padding.PKCS1v15()
            return key.sign(data, scheme, kind)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(data, ec.ECDSA(kind))
        _family(key)  # one of PURE, or Unsupported
        return cast("PureKey", key).sign(data)


def _family(key: PrivateKeyTypes) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "rsa"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ecdsa"
    public = cast("Any", key).public_key()
    for name, pure in PURE.items():
        if isinstance(public, pure.public):
            return name
    raise Unsupported("signing key")


def key_signer(pair: KeyPair) -> KeySigner:
    """A signer from a key pair."""
    return KeySigner(pair)
