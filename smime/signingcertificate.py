"""Which certificate the signer meant: signingCertificate and its second version (RFC 5035 §3, §5; RFC 8551 §2.5).

The certificates beside a signature are not signed: without this, one of the same key stands for the other.
"""

from __future__ import annotations

import hashlib

from dcc.smime import algorithms, ber
from dcc.smime.attributes import Attributes
from dcc.smime.errors import Malformed
from dcc.smime.limits import Limits

SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
Named = tuple[tuple[str, bytes], ...]  # (digest, digest of the certificate), every one of which must be it


def read(attributes: Attributes, limits: Limits) -> Named | None:
    """What the attributes say of the signer's certificate; None when they say nothing. Raises Malformed, LimitPassed."""
    found: list[tuple[str, bytes]] = []
    for name, default in ((SIGNING_CERTIFICATE, "sha1"), (SIGNING_CERTIFICATE_V2, "sha256")):
        if name in attributes:
            values = attributes.values(name)
            if len(values) != 1:
                raise Malformed("signingCertificate")
            found.append(_first(values[0], default, limits))
    return tuple(found) or None


def is_named(certificate: bytes, named: Named) -> bool:
    """Whether a certificate (DER) is the one; an unknown digest names none."""
    return all(
        digest in algorithms.HASHES and hashlib.new(digest, certificate, usedforsecurity=False).digest() == value
        for digest, value in named
    )


def _first(value: bytes, default: str, limits: Limits) -> tuple[str, bytes]:
    """The first ESSCertID or ESSCertIDv2: the others name authorities."""
    certificates = ber.children(value, ber.whole(value, ber.SEQUENCE))
    listed = ber.children(value, certificates[0]) if certificates else []
    members = ber.children(value, listed[0]) if listed else []
    digest = default
    if members and members[0].tag == ber.SEQUENCE and default == "sha256":
        identifier, _ = ber.algorithm(value, members.pop(0), limits)
        digest = algorithms.DIGESTS[identifier][0] if identifier in algorithms.DIGESTS else identifier
    if not members or members[0].tag != ber.OCTET_STRING:
        raise Malformed("signingCertificate")
    return digest, value[members[0].value : members[0].end]
