"""Recipients by key encapsulation: ML-KEM in CMS, read and written (RFC 9629, RFC 9936)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from dcc.smime import algorithms, ber, der, keywrap
from dcc.smime.errors import Malformed
from dcc.smime.limits import Limits

KEM_RECIPIENT = "1.2.840.113549.1.9.16.13.3"  # id-ori-kem, RFC 9629 §3
HKDF_SHA256 = "1.2.840.113549.1.9.16.3.28"  # RFC 9936 §2.2.1: what everybody who has ML-KEM has
AES256_WRAP = "2.16.840.1.101.3.4.1.45"


@dataclass(frozen=True, slots=True)
class KemRecipient:
    """One KEMRecipientInfo, sliced (RFC 9629 §3)."""

    identifier: ber.Slice
    algorithm: str
    ciphertext: bytes
    derivation: str
    length: int  # of the key-encryption key, in octets
    ukm: bytes | None
    wrap: bytes  # AlgorithmIdentifier, DER
    wrapping: str
    encrypted: bytes

    def recover(self, key: object) -> bytes | None:
        """The content key, or None whatever the reason (R-ORACLE)."""
        kem = algorithms.KEMS.get(self.algorithm)
        kdf = algorithms.KEM_DERIVATIONS.get(self.derivation)
        # RFC 9936 §2.2.2: the wrap is as strong as the encapsulation; RFC 9629 §3: kekLength is what the wrap needs.
        right = kem is not None and algorithms.KEY_WRAPS.get(self.wrapping) == self.length == kem.wrap
        if kem is None or kdf is None or not right or not isinstance(key, kem.private):
            return None
        try:
            secret = key.decapsulate(self.ciphertext)
        except (ValueError, UnsupportedAlgorithm):
            return None
        kek = HKDF(kdf(), self.length, None, other_info(self.wrap, self.length, self.ukm)).derive(secret)
        return keywrap.unwrap(self.wrapping, kek, self.encrypted)


def read(data: bytes, info: ber.Slice, limits: Limits) -> KemRecipient | None:
    """Slice an OtherRecipientInfo; None when it is of another type. Raises Malformed."""
    outer = ber.children(data, info)
    if len(outer) != 2:
        raise Malformed("OtherRecipientInfo")
    if ber.oid(data, outer[0], limits) != KEM_RECIPIENT:
        return None
    members = ber.children(data, outer[1])
    ukm = None
    if len(members) == 9 and members[6].tag == 0xA0:
        inner = ber.only(data, members.pop(6))
        ukm = data[inner.value : inner.end]
    if [one.tag for one in members[2:]] != [ber.SEQUENCE, 0x04, ber.SEQUENCE, ber.INTEGER, ber.SEQUENCE, 0x04]:
        raise Malformed("KEMRecipientInfo")
    value: Callable[[int], bytes] = lambda at: data[members[at].value : members[at].end]  # noqa: E731
    name: Callable[[int], str] = lambda at: ber.algorithm(data, members[at], limits)[0]  # noqa: E731
    return KemRecipient(
        identifier=members[1],
        algorithm=name(2),
        ciphertext=value(3),
        derivation=name(4),
        length=int.from_bytes(value(5), "big"),
        ukm=ukm,
        wrap=data[members[6].start : members[6].end],
        wrapping=name(6),
        encrypted=value(7),
    )


def other_info(wrap: bytes, length: int, ukm: bytes | None) -> bytes:
    """CMSORIforKEMOtherInfo, which binds the key-encryption key to its use (RFC 9629 §5)."""
    return der.sequence(wrap, der.integer(length), b"" if ukm is None else der.tlv(0xA0, der.octets(ukm)))


def recipient_info(identifier: bytes, public: Any, key: bytes) -> bytes:
    """A RecipientInfo for an ML-KEM public key: HKDF with SHA-256, AES-256 key wrap (RFC 9936 §2)."""
    name, kem = next((name, kem) for name, kem in algorithms.KEMS.items() if isinstance(public, kem.public))
    secret, ciphertext = public.encapsulate()
    wrap = der.algorithm(AES256_WRAP)
    kdf = algorithms.KEM_DERIVATIONS[HKDF_SHA256]
    kek = HKDF(kdf(), kem.wrap, None, other_info(wrap, kem.wrap, None)).derive(secret)
    body = der.sequence(
        der.integer(0), identifier, der.algorithm(name), der.octets(ciphertext), der.algorithm(HKDF_SHA256),
        der.integer(kem.wrap), wrap, der.octets(aes_key_wrap(kek, key)),
    )  # fmt: skip
    return der.tlv(0xA4, der.oid(KEM_RECIPIENT), body)
