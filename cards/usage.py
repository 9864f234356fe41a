"""What a certificate may be used for: from KeyUsage and ExtendedKeyUsage, never from names (facts: cards §2)."""

from __future__ import annotations

from enum import StrEnum

EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"


class Usage(StrEnum):
    """The one usage of a certificate."""

    SIGNATURE = "SIGNATURE"
    AUTHENTICATION = "AUTHENTICATION"
    CONFIDENTIALITY = "CONFIDENTIALITY"
    SERVER = "SERVER"
    CA = "CA"
    UNKNOWN = "UNKNOWN"


PURPOSES = {"sign": Usage.SIGNATURE, "encrypt": Usage.CONFIDENTIALITY, "server": Usage.SERVER}


def usage_of(key_usage: frozenset[str] | None, extended: frozenset[str]) -> Usage:
    """`key_usage`: asn1crypto's names of the bits, None when the extension is absent; `extended`: dotted OIDs."""
    bits = key_usage or frozenset()
    encipher = bool(bits & {"key_encipherment", "key_agreement"})
    if "key_cert_sign" in bits:
        return Usage.CA
    if "non_repudiation" in bits and not encipher and EMAIL_PROTECTION in extended:
        return Usage.SIGNATURE
    if "digital_signature" in bits and encipher and SERVER_AUTH in extended:
        return Usage.SERVER
    alone = "digital_signature" in bits and "non_repudiation" not in bits
    if alone and CLIENT_AUTH in extended and SERVER_AUTH not in extended:
        return Usage.AUTHENTICATION
    if encipher and "digital_signature" not in bits and EMAIL_PROTECTION in extended:
        return Usage.CONFIDENTIALITY
    return Usage.UNKNOWN
