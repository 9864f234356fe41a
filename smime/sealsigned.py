"""SignedData, written as the body passes: hashed once, signed at its end (RFC 5652 §5, RFC 8551 §3.5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from dcc.smime import der
from dcc.smime.algorithms import HASHES, POST_QUANTUM, PURE
from dcc.smime.errors import SmimeError, Unsupported
from dcc.smime.segments import Body, body_chunks, body_size
from dcc.smime.signedparts import (
    DATA,
    SIGNED_DATA,
    Always,
    always_of,
    attributes_of,
    longest,
    signed_data,
    signer_infos,
)
from dcc.smime.signer import Signer
from dcc.smime.transfer import base64_lines, base64_size, lines_of

if TYPE_CHECKING:
    from dcc.smime.seal import Profile

PURE_KEYS = tuple(one.public for one in PURE.values())
MICALG = {"sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}


class NotVerified(SmimeError):
    """The signature just made does not verify with the signer's certificate, or that certificate may not sign."""


@dataclass(slots=True)
class SignedWriter:
    """Writes one signed payload; `verify` proves the signature on the digest that was really written."""

    signer: Signer
    profile: Profile
    at: datetime
    boundary: str
    _proof: tuple[bytes, bytes] | None = field(default=None, init=False)
    _tail: int = field(default=0, init=False)
    _always: Always = field(init=False)

    def __post_init__(self) -> None:
        signer, profile = self.signer, self.profile
        if signer.family in POST_QUANTUM and not profile.post_quantum:
            raise Unsupported(f"{signer.family} is behind the switch")
        self._always = always_of(
            signer.certificate, signer.chain, signer.family, profile.extra_certificates, profile.digest, profile.pss
        )

    def mail(self, entity: Body) -> Iterator[bytes]:
        """The signed MIME entity: multipart/signed, or opaque application/pkcs7-mime."""
        return self._detached(entity) if self.profile.detached else self._opaque(entity)

    def mail_size(self, entity_size: int) -> int:
        """Octets that `mail` writes for an entity of this size; known before the first is written."""
        if self.profile.detached:
            return len(self._detached_head()) + entity_size + self._tail_size()
        return len(_OPAQUE_HEAD) + base64_size(self._opaque_size(entity_size))

    # multipart/signed

    def _detached_head(self) -> bytes:
        micalg = MICALG[self.profile.digest]
        return (
            f'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg={micalg};\r\n'
            f' boundary="{self.boundary}"\r\n\r\n'
            "This is an S/MIME signed message\r\n\r\n"
            f"--{self.boundary}\r\n"
        ).encode()

    def _detached_tail(self, signature: bytes) -> bytes:
        return (
            f"\r\n--{self.boundary}\r\n"
            'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
            "Content-Transfer-Encoding: base64\r\n"
            'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n'
        ).encode() + lines_of(signature) + f"--{self.boundary}--\r\n".encode()  # fmt: skip

    def _tail_size(self) -> int:
        """Octets behind the entity with the longest possible signature; measured once."""
        if self._tail:
            return self._tail
        most = longest(self._always, self.profile.digest, self.signer.signature_size, len(der.time(self.at)))
        self._tail = len(self._detached_tail(bytes(most)))
        return self._tail

    def _detached(self, entity: Body) -> Iterator[bytes]:
        digest = hashlib.new(self.profile.digest)
        yield self._detached_head()
        for chunk in body_chunks(entity):
            digest.update(chunk)
            yield chunk
        tail = self._detached_tail(signed_data(self._always, self._closing(digest.digest(), None)[1]))
        # An ECDSA signature may be shorter than announced: the epilogue, which nobody reads, makes up for it.
        yield tail + b" " * (self._tail_size() - len(tail))

    # application/pkcs7-mime

    def _opaque(self, entity: Body) -> Iterator[bytes]:
        yield _OPAQUE_HEAD
        size = body_size(entity)
        written = 0
        for chunk in base64_lines(self._opaque_der(entity, size)):
            written += len(chunk)
            yield chunk
        missing = self.mail_size(size) - len(_OPAQUE_HEAD) - written
        if missing:
            yield b"\r\n" * (missing // 2)

    def _opaque_parts(self, size: int, signed_attributes_digest: bytes, signature: bytes | None) -> tuple[bytes, bytes]:
        certificates, infos = self._closing(signed_attributes_digest, signature)
        inner = der.length_of(size) + size
        octet_head = der.header(0x04, size)
        explicit = der.header(0xA0, inner) + octet_head
        encapsulated = der.oid(DATA) + explicit
        head_of_encapsulated = der.header(0x30, len(encapsulated) + size) + encapsulated
        start = der.integer(1) + der.set_of(self._always.digest) + head_of_encapsulated
        body = len(start) + size + len(certificates) + len(infos)
        content = der.header(0x30, body)
        kind = der.oid(SIGNED_DATA)
        wrapped = der.header(0xA0, len(content) + body)
        whole = der.header(0x30, len(kind) + len(wrapped) + len(content) + body)
        return whole + kind + wrapped + content + start, certificates + infos

    def _opaque_size(self, size: int) -> int:
        digest = bytes(hashlib.new(self.profile.digest).digest_size)
        head, tail = self._opaque_parts(size, digest, bytes(self.signer.signature_size))
        return len(head) + size + len(tail)

    def _opaque_der(self, entity: Body, size: int) -> Iterator[bytes]:
        if self.signer.family == "ecdsa":
            # The length of an ECDSA signature is known only once it is made: one pass to hash, one to write.
            digest = hashlib.new(self.profile.digest)
            for chunk in body_chunks(entity):
                digest.update(chunk)
            head, tail = self._opaque_parts(size, digest.digest(), None)
            yield head
            again = hashlib.new(self.profile.digest)
            for chunk in body_chunks(entity):
                again.update(chunk)
                yield chunk
            if again.digest() != digest.digest():
                raise NotVerified("the body changed between its two readings")
            yield tail
            return
        running = hashlib.new(self.profile.digest)
        head, _ = self._opaque_parts(size, bytes(running.digest_size), bytes(self.signer.signature_size))
        yield head
        for chunk in body_chunks(entity):
            running.update(chunk)
            yield chunk
        yield b"".join(self._closing(running.digest(), None))

    # SignedData

    def _closing(self, digest: bytes, signature: bytes | None) -> tuple[bytes, bytes]:
        """(certificates, signerInfos); signs unless a stand-in signature is given to measure sizes."""
        always = self._always
        attributes = attributes_of(always, der.time(self.at), digest)
        if signature is None:
            signature = self.signer.sign(attributes, self.profile.digest, self.profile.pss)
            self._proof = (attributes, signature)
        return always.certificates, signer_infos(always, attributes, signature)

    def verify(self) -> None:
        """Check the signature with the certificate's own key. Raises NotVerified."""
        if self._proof is None:
            raise NotVerified("nothing was signed")
        attributes, signature = self._proof
        key = _public_key(self.signer.certificate)
        kind = HASHES[self.profile.digest]()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                pss = padding.PSS(padding.MGF1(kind), kind.digest_size)
                key.verify(signature, attributes, pss if self.profile.pss else padding.PKCS1v15(), kind)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, attributes, ec.ECDSA(kind))
            elif isinstance(key, PURE_KEYS):
                key.verify(signature, attributes)
            else:
                raise NotVerified("a certificate's key that cannot verify")
        except InvalidSignature as error:
            raise NotVerified("the key does not belong to the certificate") from error


_OPAQUE_HEAD = (
    b'Content-Type: application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n'
)


@lru_cache(maxsize=16)
def _public_key(certificate: bytes) -> object:
    """The key of a certificate that may sign mail: digitalSignature or nonRepudiation (RFC 8550 §4.4.2, R-USAGE)."""
    loaded = x509.load_der_x509_certificate(certificate)
    try:
        usage = loaded.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return loaded.public_key()
    if not (usage.digital_signature or usage.content_commitment):
        raise NotVerified("the signer's certificate is not made for signatures")
    return loaded.public_key()
