"""EnvelopedData and AuthEnvelopedData, written in one pass with lengths known in advance (RFC 5652 §6, RFC 5084)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dcc.smime import algorithms, der, kem
from dcc.smime.certificates import parts
from dcc.smime.enveloped import content_key_derived
from dcc.smime.errors import SmimeError, Unsupported
from dcc.smime.recipients import shared_info

if TYPE_CHECKING:
    from dcc.smime.seal import Profile

DATA = "1.2.840.113549.1.7.1"
VERSIONS = {0xA1: 2, 0xA4: 3}  # of EnvelopedData by its recipients; 0 for RSA alone (RFC 5652 §6.1)
CIPHERS = {
    "aes128-cbc": ("2.16.840.1.101.3.4.1.2", 16),
    "aes256-cbc": ("2.16.840.1.101.3.4.1.42", 32),
    "aes256-gcm": ("2.16.840.1.101.3.4.1.46", 32),
}
AES256_WRAP = "2.16.840.1.101.3.4.1.45"
ECDH_SHA256 = "1.3.132.1.11.1"
ECDH_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.19"
SHA256 = "2.16.840.1.101.3.4.2.1"
PIECE = 1 << 17  # octets encrypted at a time into one buffer


KEM_KEYS = tuple(one.public for one in algorithms.KEMS.values())


class UnusableRecipient(SmimeError):
    """The certificate cannot receive encrypted mail: usage, dates or kind of key (R-USAGE)."""


class MixedRecipients(SmimeError):
    """Recipients with keys of different kinds in one message: some clients read none of it (facts: interoperability)."""


def enveloped(
    chunks: Iterator[bytes],
    size: int,
    recipients: Sequence[bytes],
    profile: Profile,
    at: datetime,
    random_bytes: Callable[[int], bytes],
) -> Iterator[bytes]:
    """The DER octets of the ContentInfo. `size`: octets of the plaintext. Raises UnusableRecipient, MixedRecipients."""
    name, key_size = CIPHERS[profile.cipher]
    key = random_bytes(key_size)
    infos = _recipient_infos(recipients, key, profile, at)
    write = _gcm if profile.cipher.endswith("gcm") else _cbc
    return write(chunks, size, infos, name, key, random_bytes, profile.bound_key)


def _bound(algorithm: bytes, key: bytes, bound: bool) -> tuple[bytes, bytes]:
    """The algorithm to write and the key to use; when bound, the key is worth nothing under another algorithm."""
    if not bound:
        return algorithm, key
    return der.algorithm(algorithms.CEK_HKDF_SHA256, algorithm), content_key_derived(key, algorithm)


def _heads(kind: str, infos: bytes, algorithm: bytes, octets: int, version: int, after: int) -> bytes:
    """Everything before the encrypted octets; `after` octets follow them inside the structure."""
    content = der.header(0x80, octets)
    encrypted = der.oid(DATA) + algorithm + content
    info = der.header(0x30, len(encrypted) + octets) + encrypted
    body = der.integer(version) + infos + info
    inner = der.header(0x30, len(body) + octets + after) + body
    explicit = der.header(0xA0, len(inner) + octets + after) + inner
    name = der.oid(kind)
    return der.header(0x30, len(name) + len(explicit) + octets + after) + name + explicit


def _cbc(
    chunks: Iterator[bytes],
    size: int,
    infos: bytes,
    name: str,
    key: bytes,
    random_bytes: Callable[[int], bytes],
    bound: bool,
) -> Iterator[bytes]:
    vector = random_bytes(16)
    octets = (size // 16 + 1) * 16
    algorithm = der.algorithm(name, der.octets(vector))
    algorithm, key = _bound(algorithm, key, bound)
    version = VERSIONS.get(infos[_first(infos)], 0)
    yield _heads("1.2.840.113549.1.7.3", infos, algorithm, octets, version, 0)
    context = Cipher(AES(key), CBC(vector)).encryptor()
    buffer = bytearray(PIECE + 32)
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        view = memoryview(chunk)
        while view:
            part, view = view[:PIECE], view[PIECE:]
            count = context.update_into(part, buffer)
            yield bytes(memoryview(buffer)[:count])
    if seen != size:
        raise SmimeError("the body is not as long as announced")
    pad = 16 - size % 16
    yield context.update(bytes([pad]) * pad) + context.finalize()


def _first(infos: bytes) -> int:
    """Offset of the first member of a SET."""
    return 2 if infos[1] < 0x80 else 2 + (infos[1] & 0x7F)


def _gcm(
    chunks: Iterator[bytes],
    size: int,
    infos: bytes,
    name: str,
    key: bytes,
    random_bytes: Callable[[int], bytes],
    bound: bool,
) -> Iterator[bytes]:
    nonce = random_bytes(12)
    algorithm = der.algorithm(name, der.sequence(der.octets(nonce), der.integer(16)))
    algorithm, key = _bound(algorithm, key, bound)
    yield _heads("1.2.840.113549.1.9.16.1.23", infos, algorithm, size, 0, 18)
    context = Cipher(AES(key), GCM(nonce)).encryptor()
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        yield context.update(chunk)
    if seen != size:
        raise SmimeError("the body is not as long as announced")
    context.finalize()
    yield der.octets(context.tag)


def _recipient_infos(recipients: Sequence[bytes], key: bytes, profile: Profile, at: datetime) -> bytes:
    made, kinds = [], set()
    for certificate in recipients:
        public = _usable(certificate, at)
        if isinstance(public, rsa.RSAPublicKey):
            kinds.add("rsa")
            made.append(_transport(certificate, public, key, profile))
        elif isinstance(public, ec.EllipticCurvePublicKey | x25519.X25519PublicKey):
            kinds.add("ec")
            made.append(_agreement(certificate, public, key))
        elif profile.post_quantum and isinstance(public, KEM_KEYS):
            kinds.add("kem")
            made.append(kem.recipient_info(_identifier(certificate), public, key))
        else:
            raise Unsupported("recipient key")
    if len(kinds) > 1:
        raise MixedRecipients("seal one message for each kind of recipient key")
    return der.set_of(*made)


def _usable(certificate: bytes, at: datetime) -> object:
    """R-USAGE: keyEncipherment (RSA, ML-KEM) or keyAgreement (EC), a key that is not weak, and dates that cover `at`."""
    reader = _reader(certificate)
    if not reader.not_before <= at <= reader.not_after:
        raise UnusableRecipient("certificate outside its dates")
    if algorithms.weak_key(reader.public):
        raise UnusableRecipient("the certificate's key is too weak (R-ALGO)")
    if reader.usage is not None:
        enciphers = isinstance(reader.public, (rsa.RSAPublicKey, *KEM_KEYS))  # RFC 8550 §4.4.2, RFC 9935 §5
        if not (reader.usage.key_encipherment if enciphers else reader.usage.key_agreement):
            raise UnusableRecipient("certificate not made for encryption")
    return reader.public


@dataclass(frozen=True, slots=True)
class _Reader:
    """What of a recipient's certificate decides whether it can receive; `usage` None: the extension is absent."""

    public: object
    usage: x509.KeyUsage | None
    not_before: datetime
    not_after: datetime


@lru_cache(maxsize=256)
def _reader(certificate: bytes) -> _Reader:
    try:
        loaded = x509.load_der_x509_certificate(certificate)
        public = loaded.public_key()
        usage = loaded.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnusableRecipient("certificate unreadable") from error
    return _Reader(public, usage, loaded.not_valid_before_utc, loaded.not_valid_after_utc)


def _identifier(certificate: bytes) -> bytes:
    theirs = parts(certificate)
    return der.sequence(theirs.issuer, der.integer(theirs.serial))


def _transport(certificate: bytes, public: rsa.RSAPublicKey, key: bytes, profile: Profile) -> bytes:
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    algorithm = der.algorithm("1.2.840.113549.1.1.1", der.NULL)
    if profile.key_transport == "oaep":
        scheme = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        digest = der.algorithm(SHA256)
        mask = der.algorithm("1.2.840.113549.1.1.8", digest)
        algorithm = der.algorithm("1.2.840.113549.1.1.7", der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, mask)))
    return der.sequence(der.integer(0), _identifier(certificate), algorithm, der.octets(public.encrypt(key, scheme)))


def _agreement(certificate: bytes, public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey, key: bytes) -> bytes:
    """Ephemeral-static ECDH, AES-256 key wrap (RFC 5753 §3.1, RFC 8418 §2)."""
    wrap = der.algorithm(AES256_WRAP)
    info = shared_info(wrap, None, 32)
    if isinstance(public, x25519.X25519PublicKey):
        own = x25519.X25519PrivateKey.generate()
        point = own.public_key().public_bytes_raw()
        kek = HKDF(hashes.SHA256(), 32, None, info).derive(own.exchange(public))
        name, key_algorithm = ECDH_HKDF_SHA256, der.algorithm("1.3.101.110")
    else:
        mine = ec.generate_private_key(public.curve)
        point = mine.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        kek = X963KDF(hashes.SHA256(), 32, info).derive(mine.exchange(ec.ECDH(), public))
        name, key_algorithm = ECDH_SHA256, der.algorithm("1.2.840.10045.2.1")
    originator = der.tlv(0xA0, der.tlv(0xA1, key_algorithm, der.tlv(0x03, b"\x00", point)))
    wrapped = der.sequence(der.sequence(_identifier(certificate), der.octets(aes_key_wrap(kek, key))))
    return der.tlv(0xA1, der.integer(3), originator, der.algorithm(name, wrap), wrapped)
