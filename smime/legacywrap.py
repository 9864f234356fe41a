"""Triple-DES key wrap, for archives only (RFC 3217 §3.2)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC

TRIPLE_DES_WRAP = "1.2.840.113549.1.9.16.3.6"
KEY = 24
_VECTOR = bytes.fromhex("4adda22c79e82105")


def unwrap(kek: bytes, wrapped: bytes) -> bytes | None:
    """The content key, or None when the check value is wrong."""
    if len(wrapped) != KEY + 16:
        return None
    reversed_ = _decrypt(kek, _VECTOR, wrapped)[::-1]
    clear = _decrypt(kek, reversed_[:8], reversed_[8:])
    key, check = clear[:KEY], clear[KEY:]
    right = hashlib.sha1(key, usedforsecurity=False).digest()[:8]
    return key if hmac.compare_digest(check, right) else None


def _decrypt(kek: bytes, vector: bytes, data: bytes) -> bytes:
    decryptor = Cipher(TripleDES(kek), CBC(vector)).decryptor()
    return decryptor.update(data) + decryptor.finalize()
