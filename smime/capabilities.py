"""What a correspondent says it can read: SMIMECapabilities, in a signature or a certificate (RFC 8551 §2.5.2, RFC 4262)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509

from dcc.smime import algorithms, ber
from dcc.smime.errors import SmimeError
from dcc.smime.limits import Limits

CAPABILITIES = "1.2.840.113549.1.9.15"
AES_256_GCM = "2.16.840.1.101.3.4.1.46"
RSA_OAEP = algorithms.RSA_OAEP
MOST = 50  # real lists have about ten; the rest says nothing that is used


def read(value: bytes, limits: Limits) -> tuple[str, ...]:
    """The algorithms of one SMIMECapabilities (DER), best first; nothing where it cannot be read: it is advice."""
    try:
        members = ber.children(value, ber.whole(value, ber.SEQUENCE))[:MOST]
        return tuple(ber.oid(value, ber.children(value, one)[0], limits) for one in members)
    except (SmimeError, IndexError):
        return ()


@lru_cache(maxsize=512)  # each reader's certificate comes again with every mail
def of_certificate(certificate: bytes, limits: Limits | None = None) -> tuple[str, ...]:
    """Those that a certificate carries (RFC 4262 §2); none when it carries none or cannot be read."""
    try:
        found = x509.load_der_x509_certificate(certificate).extensions
        extension = found.get_extension_for_oid(x509.ObjectIdentifier(CAPABILITIES)).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ()
    if not isinstance(extension, x509.UnrecognizedExtension):
        return ()
    return read(extension.value, limits or Limits())


def reads_gcm(known: Sequence[str]) -> bool:
    """Whether AES-256-GCM was announced: Thunderbird and Outlook show such a mail as empty (facts: mail clients)."""
    return AES_256_GCM in known


def reads_oaep(known: Sequence[str]) -> bool:
    """Whether RSAES-OAEP was announced."""
    return RSA_OAEP in known
