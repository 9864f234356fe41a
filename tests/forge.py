"""Hand-made CMS structures, legal and hostile, for tests of the reader: every field can be said."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, x25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dcc.smime import der
from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair
from dcc.smime.recipients import shared_info
from throwaway import ENCRYPT, NOW, pair

DATA, SIGNED, ENVELOPED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.3"
AUTH_ENVELOPED, COMPRESSED = "1.2.840.113549.1.9.16.1.23", "1.2.840.113549.1.9.16.1.9"
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (f"1.2.840.113549.1.9.{last}" for last in (3, 4, 5))
DIGEST_OIDS = {
    "sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3",
    "sha1": "1.3.14.3.2.26", "md5": "1.2.840.113549.2.5",
}  # fmt: skip
HASHES = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512, "sha1": hashes.SHA1}
RSA, RSA_OAEP, RSA_PSS, MGF1 = (f"1.2.840.113549.1.1.{last}" for last in (1, 7, 10, 8))
ECDSA = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
ED25519 = "1.3.101.112"
CBC_OIDS = {16: "2.16.840.1.101.3.4.1.2", 24: "2.16.840.1.101.3.4.1.22", 32: "2.16.840.1.101.3.4.1.42"}
GCM_OIDS = {16: "2.16.840.1.101.3.4.1.6", 24: "2.16.840.1.101.3.4.1.26", 32: "2.16.840.1.101.3.4.1.46"}

CCM_OIDS = {16: "2.16.840.1.101.3.4.1.7", 24: "2.16.840.1.101.3.4.1.27", 32: "2.16.840.1.101.3.4.1.47"}
CHACHA20_POLY1305, CEK_HKDF = "1.2.840.113549.1.9.16.3.18", "1.2.840.113549.1.9.16.3.31"


def ber(tag: int, *parts: bytes) -> bytes:
    """An element of indefinite length (X.690 §8.1.3.6)."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def segments(tag: int, data: bytes, size: int) -> bytes:
    """A constructed string of indefinite length in segments, as mail clients write it."""
    cut = [der.octets(data[at : at + size]) for at in range(0, len(data), size)]
    return ber(tag, *cut)


def content_info(kind: str, body: bytes, *, indefinite: bool = False) -> bytes:
    """ContentInfo around a structure."""
    if indefinite:
        return ber(0x30, der.oid(kind), ber(0xA0, body))
    return der.sequence(der.oid(kind), der.tlv(0xA0, body))


@dataclass
class Signing:
    """One SignerInfo to be made; each field changes one thing."""

    pair: KeyPair = field(default_factory=pair)
    digest: str = "sha256"
    attributes: bool = True
    content_type: str | None = DATA  # None: no contentType attribute
    digest_value: bytes | None = None
    time: datetime | bytes | None = NOW
    more: Sequence[bytes] = ()  # further attributes, DER
    unsorted: bool = False
    algorithm: bytes | None = None
    signature: bytes | None = None
    unsigned: Sequence[bytes] = ()
    pss_salt: int | None = None
    by_key_identifier: bool = False

    def signed_attributes(self, content: bytes) -> list[bytes]:
        value = hashlib.new(self.digest, content).digest() if self.digest_value is None else self.digest_value
        made = [der.attribute(MESSAGE_DIGEST, der.octets(value))]
        if self.content_type is not None:
            made.append(der.attribute(CONTENT_TYPE, der.oid(self.content_type)))
        if self.time is not None:
            made.append(der.attribute(SIGNING_TIME, self.time if isinstance(self.time, bytes) else der.time(self.time)))
        made.extend(self.more)
        made.sort(reverse=self.unsorted)
        return made

    def info(self, content: bytes) -> bytes:
        """The SignerInfo over this content."""
        cut = parts(self.pair.certificate)
        who = der.sequence(cut.issuer, der.integer(cut.serial))
        if self.by_key_identifier:
            who = der.tlv(0x80, cut.key_identifier or b"")
        attributes = b"".join(self.signed_attributes(content)) if self.attributes else b""
        covered = der.tlv(0x31, attributes) if self.attributes else content
        found = self._sign(covered) if self.signature is None else self.signature
        return der.sequence(
            der.integer(3 if self.by_key_identifier else 1),
            who,
            der.algorithm(DIGEST_OIDS[self.digest]),
            der.tlv(0xA0, attributes) if self.attributes else b"",
            self.algorithm or self._algorithm(),
            der.octets(found),
            der.tlv(0xA1, *self.unsigned) if self.unsigned else b"",
        )

    def _algorithm(self) -> bytes:
        key = self.pair.key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return der.algorithm(ED25519)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return der.algorithm(ECDSA[self.digest])
        if self.pss_salt is not None:
            return pss_algorithm(self.digest, self.digest, self.pss_salt)
        return der.algorithm(RSA, der.NULL)

    def _sign(self, covered: bytes) -> bytes:
        key: Any = self.pair.key
        kind = HASHES[self.digest]()
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(covered)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(covered, ec.ECDSA(kind))
        pad: Any = padding.PKCS1v15()
        if self.pss_salt is not None:
            pad = padding.PSS(padding.MGF1(kind), self.pss_salt)
        return bytes(key.sign(covered, pad, kind))


def pss_algorithm(digest: str, mask: str, salt: int) -> bytes:
    """RSASSA-PSS with its parameters (RFC 4056 §3)."""
    return der.algorithm(
        RSA_PSS,
        der.sequence(
            der.tlv(0xA0, der.algorithm(DIGEST_OIDS[digest], der.NULL)),
            der.tlv(0xA1, der.algorithm(MGF1, der.algorithm(DIGEST_OIDS[mask], der.NULL))),
            der.tlv(0xA2, der.integer(salt)),
        ),
    )


def signed_data(
    content: bytes,
    signers: Sequence[Signing] | None = None,
    *,
    enclosed: bool = True,
    content_type: str = DATA,
    certificates: Sequence[bytes] | None = None,
    digests: Sequence[str] | None = None,
    chunk: int = 0,
    in_order: bool = False,
) -> bytes:
    """A ContentInfo holding SignedData; `chunk` > 0: BER, the content in segments of so many octets; `in_order`: the
    SignerInfos as they were given, which DER would sort."""
    who = [Signing()] if signers is None else signers
    given = [one.pair.certificate for one in who] if certificates is None else certificates
    names = sorted({one.digest for one in who}) if digests is None else digests
    inner = b""
    if enclosed:
        inner = ber(0xA0, segments(0x24, content, chunk)) if chunk else der.tlv(0xA0, der.octets(content))
    body = (
        der.integer(1),
        der.set_of(*(der.algorithm(DIGEST_OIDS[name]) for name in names)),
        (ber if chunk else der.tlv)(0x30, der.oid(content_type), inner),
        der.tlv(0xA0, *given) if given else b"",
        (partial(der.tlv, 0x31) if in_order else der.set_of)(*(one.info(content) for one in who)),
    )
    return content_info(SIGNED, (ber if chunk else der.tlv)(0x30, *body), indefinite=bool(chunk))


def key_transport(
    cek: bytes, to: KeyPair, *, oaep: hashes.HashAlgorithm | None = None, raw: bytes | None = None,
    by_key_identifier: bool = False, label: bytes | None = None,
) -> bytes:  # fmt: skip
    """KeyTransRecipientInfo; `raw` in place of the encrypted key."""
    cut = parts(to.certificate)
    key: Any = to.key
    who = der.sequence(cut.issuer, der.integer(cut.serial))
    if by_key_identifier:
        who = der.tlv(0x80, cut.key_identifier or b"")
    algorithm, pad = der.algorithm(RSA, der.NULL), padding.PKCS1v15()
    if oaep is not None:
        digest = der.algorithm(DIGEST_OIDS[oaep.name], der.NULL)
        fields = [der.tlv(0xA0, digest), der.tlv(0xA1, der.algorithm(MGF1, digest))]
        if label is not None:
            fields.append(der.tlv(0xA2, der.algorithm("1.2.840.113549.1.1.9", der.octets(label))))
        algorithm = der.algorithm(RSA_OAEP, der.sequence(*fields))
        pad = padding.OAEP(padding.MGF1(oaep), oaep, label)  # type: ignore[assignment]
    value = key.public_key().encrypt(cek, pad) if raw is None else raw
    return der.sequence(der.integer(2 if by_key_identifier else 0), who, algorithm, der.octets(value))


def agreement(
    cek: bytes,
    to: KeyPair,
    name: str,
    digest: hashes.HashAlgorithm,
    ukm: bytes | None = None,
    *,
    parameters: bytes = b"",
    unused_bits: int = 0,
) -> bytes:
    """KeyAgreeRecipientInfo with an ephemeral key and AES-256 key wrap (RFC 5753 §3.1, RFC 8418)."""
    cut = parts(to.certificate)
    key: Any = to.key
    if isinstance(key, x25519.X25519PrivateKey):
        ephemeral: Any = x25519.X25519PrivateKey.generate()
        secret = ephemeral.exchange(key.public_key())
        point = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        kind = der.algorithm("1.3.101.110")
    else:
        ephemeral = ec.generate_private_key(key.curve)
        secret = ephemeral.exchange(ec.ECDH(), key.public_key())
        point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        kind = der.algorithm("1.2.840.10045.2.1", parameters)
    wrap = der.algorithm("2.16.840.1.101.3.4.1.45")
    info = shared_info(wrap, ukm, 32)
    hkdf = name.startswith("1.2.840.113549.1.9.16.3.")
    kek = HKDF(digest, 32, None, info).derive(secret) if hkdf else X963KDF(digest, 32, info).derive(secret)
    return der.tlv(
        0xA1,
        der.integer(3),
        der.tlv(0xA0, der.tlv(0xA1, kind, der.tlv(0x03, bytes([unused_bits]) + point))),
        b"" if ukm is None else der.tlv(0xA1, der.octets(ukm)),
        der.algorithm(name, wrap),
        der.sequence(
            der.sequence(der.sequence(cut.issuer, der.integer(cut.serial)), der.octets(aes_key_wrap(kek, cek)))
        ),
    )


def enveloped_data(
    content: bytes,
    infos: Sequence[bytes] | None = None,
    *,
    cek: bytes | None = None,
    chunk: int = 0,
    pad: bool = True,
    vector: bytes = bytes(range(16)),
    algorithm: bytes | None = None,
) -> bytes:
    """A ContentInfo holding EnvelopedData under AES-CBC; `chunk` > 0: BER in segments, as Thunderbird sends."""
    key = os.urandom(32) if cek is None else cek
    who = [key_transport(key, pair("rsa", ENCRYPT, "reader"))] if infos is None else infos
    fill = 16 - len(content) % 16
    clear = content + bytes([fill]) * fill if pad else content
    encryptor = Cipher(AES(key), CBC(vector)).encryptor()
    hidden = encryptor.update(clear) + encryptor.finalize()
    name = algorithm or der.algorithm(CBC_OIDS[len(key)], der.octets(vector))
    inner = segments(0xA0, hidden, chunk) if chunk else der.tlv(0x80, hidden)
    wrap = ber if chunk else der.tlv
    body = (der.integer(0), der.tlv(0x31, *who), wrap(0x30, der.oid(DATA), name, inner))
    return content_info(ENVELOPED, wrap(0x30, *body), indefinite=bool(chunk))


def auth_enveloped_data(
    content: bytes,
    infos: Sequence[bytes] | None = None,
    *,
    cek: bytes | None = None,
    attributes: bytes = b"",
    unauthenticated: bytes = b"",
    spoil: int = 0,
    tag_size: int = 16,
    nonce: bytes = bytes(range(12)),
    chunk: int = 0,
    mode: str = "gcm",
    bound: bool = False,
) -> bytes:
    """A ContentInfo holding AuthEnvelopedData (RFC 5083, RFC 5084, RFC 8103); `spoil` is XORed into the tag.

    `bound`: the content key bound to its algorithm (RFC 9709).
    """
    key = os.urandom(32) if cek is None else cek
    who = [key_transport(key, pair("rsa", ENCRYPT, "reader"))] if infos is None else infos
    parameters = der.sequence(der.octets(nonce), der.integer(tag_size))
    if mode == "chacha20":
        name = der.algorithm(CHACHA20_POLY1305, der.octets(nonce))
    else:
        name = der.algorithm((GCM_OIDS if mode == "gcm" else CCM_OIDS)[len(key)], parameters)
    if bound:
        key = HKDF(hashes.SHA256(), len(key), b"The Cryptographic Message Syntax", name).derive(key)
        name = der.algorithm(CEK_HKDF, name)
    engine = {"gcm": AESGCM, "ccm": AESCCM, "chacha20": ChaCha20Poly1305}[mode](key)
    both = engine.encrypt(nonce, content, der.tlv(0x31, attributes) if attributes else None)
    hidden, tag = both[:-16], bytes([both[-16] ^ spoil]) + both[-15:][: tag_size - 1]
    inner = segments(0xA0, hidden, chunk) if chunk else der.tlv(0x80, hidden)
    body = der.sequence(
        der.integer(0),
        der.tlv(0x31, *who),
        der.sequence(der.oid(DATA), name, inner),
        der.tlv(0xA1, attributes) if attributes else b"",
        der.octets(tag),
        der.tlv(0xA2, unauthenticated) if unauthenticated else b"",
    )
    return content_info(AUTH_ENVELOPED, body)


def compressed_data(content: bytes) -> bytes:
    """A ContentInfo holding CompressedData (RFC 3274)."""
    inner = der.sequence(der.oid(DATA), der.tlv(0xA0, der.octets(zlib.compress(content))))
    body = der.sequence(der.integer(0), der.algorithm("1.2.840.113549.1.9.16.3.8"), inner)
    return content_info(COMPRESSED, body)
