"""The parts of a SignedData that one signer writes again and again, in DER (RFC 5652 §5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from dcc.smime import der
from dcc.smime.algorithms import PURE
from dcc.smime.certificates import parts
from dcc.smime.errors import Unsupported

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
DIGEST_OIDS = {
    "sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3",
}  # fmt: skip
ECDSA_OIDS = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}
# What we can read, best first (RFC 8551 §2.5.2)
CAPABILITIES = (
    "2.16.840.1.101.3.4.1.42",  # AES-256-CBC
    "2.16.840.1.101.3.4.1.46",  # AES-256-GCM
    "2.16.840.1.101.3.4.1.22",  # AES-192-CBC
    "2.16.840.1.101.3.4.1.2",  # AES-128-CBC
    "2.16.840.1.101.3.4.1.6",  # AES-128-GCM
)


@dataclass(frozen=True, slots=True)
class Always:
    """What every SignedData of one signer and profile holds, in DER."""

    certificates: bytes
    identifier: bytes
    digest: bytes
    signature: bytes
    attributes: tuple[bytes, ...]  # all but the digest and the time


def attributes_of(always: Always, time: bytes, digest: bytes) -> bytes:
    return der.set_of(
        *always.attributes,
        der.attribute("1.2.840.113549.1.9.5", time),
        der.attribute("1.2.840.113549.1.9.4", der.octets(digest)),
    )


def signer_infos(always: Always, attributes: bytes, signature: bytes) -> bytes:
    info = der.sequence(
        der.integer(1), always.identifier, always.digest, b"\xa0" + attributes[1:], always.signature,
        der.octets(signature),
    )  # fmt: skip
    return der.set_of(info)


def signed_data(always: Always, infos: bytes) -> bytes:
    algorithms = der.set_of(always.digest)
    content = der.sequence(der.integer(1), algorithms, der.sequence(der.oid(DATA)), always.certificates, infos)
    return der.sequence(der.oid(SIGNED_DATA), der.tlv(0xA0, content))


@lru_cache(maxsize=64)
def longest(always: Always, digest: str, signature_size: int, time_size: int) -> int:
    """Octets of a SignedData with the longest possible signature; only the sizes of its parts count."""
    attributes = attributes_of(always, bytes(time_size), bytes(hashlib.new(digest).digest_size))
    return len(signed_data(always, signer_infos(always, attributes, bytes(signature_size))))


@lru_cache(maxsize=64)
def always_of(
    certificate: bytes, chain: tuple[bytes, ...], family: str, extra: tuple[bytes, ...], digest: str, pss: bool
) -> Always:
    others = [one for one in (*chain, *extra) if not _self_signed(one)]  # never the root
    attributes = [
        der.attribute("1.2.840.113549.1.9.3", der.oid(DATA)),
        der.attribute("1.2.840.113549.1.9.15", der.sequence(*(der.algorithm(one) for one in CAPABILITIES))),
        # signingCertificateV2 (RFC 5035 §3); SHA-256 is its default
        der.attribute(
            "1.2.840.113549.1.9.16.2.47",
            der.sequence(der.sequence(der.sequence(der.octets(hashlib.sha256(certificate).digest())))),
        ),
    ]
    if extra:
        theirs = parts(extra[0])
        preference = der.tlv(0xA0, theirs.issuer, der.integer(theirs.serial))
        attributes.append(der.attribute("1.2.840.113549.1.9.16.2.11", preference))  # RFC 8551 §2.5.3
    mine = parts(certificate)
    return Always(
        certificates=der.tlv(0xA0, *sorted({certificate, *others})),
        identifier=der.sequence(mine.issuer, der.integer(mine.serial)),
        digest=der.algorithm(DIGEST_OIDS[digest]),
        signature=_signature_algorithm(family, digest, pss),
        attributes=tuple(attributes),
    )


def _signature_algorithm(family: str, digest: str, pss: bool) -> bytes:
    name = DIGEST_OIDS[digest]
    if family == "ecdsa":
        return der.algorithm(ECDSA_OIDS[digest])
    if family in PURE:
        if digest not in PURE[family].digests:
            raise Unsupported(f"{family} with {digest} (RFC 8419 §3.1, RFC 9882 §3.3)")
        return der.algorithm(PURE[family].identifier)
    if pss:
        salt = hashlib.new(digest).digest_size
        mask = der.algorithm("1.2.840.113549.1.1.8", der.algorithm(name))
        chosen = (der.tlv(0xA0, der.algorithm(name)), der.tlv(0xA1, mask), der.tlv(0xA2, der.integer(salt)))
        return der.algorithm("1.2.840.113549.1.1.10", der.sequence(*chosen))
    return der.algorithm("1.2.840.113549.1.1.1", der.NULL)


def _self_signed(certificate: bytes) -> bool:
    mine = parts(certificate)
    return mine.issuer == mine.subject
