"""Key pairs with their certificate: what opens and what signs (R-KEYS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from dcc.smime.algorithms import KEMS, POST_QUANTUM, PURE
from dcc.smime.errors import SmimeError


class KeyUnreadable(SmimeError):
    """A key file cannot be read: wrong password, damaged, or not a key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key, its certificate (DER) and the intermediate certificates (DER) that came with it."""

    certificate: bytes
    key: PrivateKeyTypes = field(repr=False)
    chain: tuple[bytes, ...] = ()


def load_pkcs12(data: bytes, password: bytes | None) -> KeyPair:
    """Read a PKCS#12 file. Raises KeyUnreadable."""
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, password)
    except (ValueError, TypeError) as error:
        raise KeyUnreadable("PKCS#12 unreadable: wrong password or damaged file") from error
    if key is None or certificate is None:
        raise KeyUnreadable("PKCS#12 without a key and its certificate")
    chain = tuple(other.public_bytes(Encoding.DER) for other in others)
    return KeyPair(certificate.public_bytes(Encoding.DER), key, chain)


def load_key_file(data: bytes, password: bytes | None) -> KeyPair:
    """Read PKCS#12, or PEM with a private key (PKCS#8) and its certificate among others. Raises KeyUnreadable.

    PEM is for the keys that PKCS#12 writers do not know yet: ML-KEM and ML-DSA, as their seed (RFC 9881 §6, RFC 9935 §6).
    """
    if b"-----BEGIN" not in data:
        return load_pkcs12(data, password)
    try:
        private = load_pem_private_key(data, password)
        certificates = x509.load_pem_x509_certificates(data)
        own = [one for one in certificates if one.public_key() == private.public_key()]
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise KeyUnreadable("PEM unreadable: wrong password, no certificate, or damaged file") from error
    if not own:
        raise KeyUnreadable("PEM without the certificate of its key")
    chain = tuple(one.public_bytes(Encoding.DER) for one in certificates if one != own[0])
    return KeyPair(own[0].public_bytes(Encoding.DER), private, chain)


def load_pkcs8(key: bytes, certificate: bytes, chain: Sequence[bytes] = (), password: bytes | None = None) -> KeyPair:
    """Read a private key and its certificate, each PEM or DER. Raises KeyUnreadable."""
    try:
        read_key = load_pem_private_key if b"-----BEGIN" in key else load_der_private_key
        private = read_key(key, password)
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in certificate else x509.load_der_x509_certificate
        loaded = load(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnreadable("private key or certificate unreadable") from error
    return KeyPair(loaded.public_bytes(Encoding.DER), private, tuple(chain))


def written(pair: KeyPair, name: str, password: bytes | None) -> tuple[bytes, str]:
    """A key file as `load_key_file` reads it, and the ending of its name: PKCS#12 where it can hold the key, else PEM."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    certificate, *chain = [x509.load_der_x509_certificate(one) for one in (pair.certificate, *pair.chain)]
    key: Any = pair.key
    try:
        return pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, chain, protection), "p12"
    except TypeError:  # a kind of key that no PKCS#12 is written for
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        return b"".join([private, *(one.public_bytes(Encoding.PEM) for one in (certificate, *chain))]), "pem"


def post_quantum_name(pair: KeyPair) -> str | None:
    """Which algorithm behind the switch the key is for (RFC 9882, RFC 9936); None: any other key."""
    public = pair.key.public_key()
    kinds = [(name, one.public) for name, one in PURE.items()] + [(kem.name, kem.public) for kem in KEMS.values()]
    return next((name for name, kind in kinds if name in POST_QUANTUM and isinstance(public, kind)), None)
