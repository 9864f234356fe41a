"""Trust anchors and intermediate authorities; production and test never in one set (facts: cards §11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import pem

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.errors import Unparseable


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Anchors (self-signed) and the authorities known below them."""

    anchors: tuple[CardCertificate, ...]
    intermediates: tuple[CardCertificate, ...]
    environment: str  # "test" | "production"


def trust_of(certificates: Iterable[bytes], environment: str | None = None) -> TrustStore:
    """Sort certificates (DER) into anchors and intermediates; test when an anchor's name carries TEST.

    In production, anchors of the test world are left out: the two are never in one set. Raises Unparseable.
    """
    read = [read_certificate(one) for one in dict.fromkeys(certificates)]
    anchors = tuple(one for one in read if one.self_issued)
    if environment is None:
        environment = "test" if any(one.environment == "test" for one in anchors) else "production"
    if environment == "production":
        anchors = tuple(one for one in anchors if one.environment == environment)
    return TrustStore(anchors, tuple(one for one in read if not one.self_issued), environment)


def load_trust(files: Sequence[Path], environment: str | None = None) -> TrustStore:
    """Read PEM or DER files, each with one certificate or many. Raises OSError, Unparseable."""
    found: list[bytes] = []
    for path in files:
        found.extend(certificates_in(path.read_bytes()))
    return trust_of(found, environment)


def certificates_in(data: bytes) -> list[bytes]:
    """The certificates of one file, DER. Raises Unparseable."""
    if b"-----BEGIN" not in data:
        return [data]
    try:
        found = [bytes(der) for name, _, der in pem.unarmor(data, multiple=True) if "CERTIFICATE" in name]
    except ValueError as error:
        raise Unparseable("PEM illisible") from error
    if not found:
        raise Unparseable("le fichier ne contient pas de certificat")
    return found
