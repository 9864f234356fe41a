"""Content keys unwrapped with a key-encryption key: AES, and Triple-DES for archives (RFC 3394, RFC 3217)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

TRIPLE_DES_WRAP = "1.2.840.113549.1.9.16.3.6"
KEY = 24
_VECTOR = bytes.fromhex("4adda22c79e82105")


def unwrap(wrapping: str, kek: bytes, wrapped: bytes) -> bytes | None:
    """The content key, or None when it was not wrapped with this key. `wrapping` is a key of `KEY_WRAPS`."""
    if wrapping == TRIPLE_DES_WRAP:
        return _triple_des(kek, wrapped)
    try:
        return aes_key_unwrap(kek, wrapped)
    except (InvalidUnwrap, ValueError):
        return None


def _triple_des(kek: bytes, wrapped: bytes) -> bytes | None:
    """RFC 3217 §3.2: decrypted twice, the octets turned round in between, then a check value of SHA-1."""
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
