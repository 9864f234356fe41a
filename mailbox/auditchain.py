"""How audit records hang together: what is hashed, what is signed, what the gateway vouches for (decision 0008)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from dcc.mailbox.rows import iso, pack

GENESIS = "gateway:audit:opened"
REKEYED = "gateway:audit:rekeyed"
ANNOUNCEMENTS = (GENESIS, REKEYED)
# Keys that sign the octets themselves (decision 0020)
PURE = (ed25519.Ed25519PublicKey, mldsa.MLDSA65PublicKey, mldsa.MLDSA87PublicKey)
NOTHING = "0" * 64  # what the first record follows
FIELDS = (
    "tag", "actor", "certificate", "message", "mail_message_id", "folder", "document", "decision", "code", "detail",
)  # fmt: skip


def digest(sequence: int, at: datetime, fields: Sequence[str | None], previous: str) -> str:
    """SHA-256 (hex) of one record and, through `previous`, of every record before it."""
    return hashlib.sha256(pack([sequence, iso(at), *fields, previous]).encode()).hexdigest()


def head_text(sequence: int, last: str) -> str:
    """What is signed for the end of the chain."""
    return f"head:{sequence}:{last}"


def signed(key: ec.EllipticCurvePublicKey, signature: Any, text: str) -> bool:
    """Whether the audit key signed this text; anything that is no signature is not."""
    try:
        key.verify(signature, text.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def vouched(certificates: Sequence[bytes], voucher: bytes, public_key: bytes) -> bool:
    """Whether the key of one of these certificates (DER) signed this audit key (SubjectPublicKeyInfo, DER)."""
    return any(_vouched(x509.load_der_x509_certificate(one).public_key(), voucher, public_key) for one in certificates)


def _vouched(key: Any, voucher: bytes, public_key: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(voucher, public_key, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(voucher, public_key, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, PURE):
            key.verify(voucher, public_key)
        else:
            return False
    except InvalidSignature:
        return False
    return True
