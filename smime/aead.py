"""Authenticated ciphers, decrypted as streams: GCM, CCM and ChaCha20-Poly1305 in one form (RFC 5084, RFC 8103).

The library has the last two only in one piece, which would hold a whole mail in memory: they are composed here of its
stream primitives, and the tests compare them with the library's own.
"""

from __future__ import annotations

import hmac
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, ChaCha20
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, GCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

TAG = 16
BLOCK = 16
PIECE = 72 << 10  # the longest piece that `update_into` is given
NONCES = {"gcm": (12,), "chacha20": (12,), "ccm": (7, 8, 9, 10, 11, 12, 13)}  # R-GCM; RFC 5084 §3.1


class Decryptor(Protocol):
    """What it writes may be believed only once `finalize_with_tag` has returned (R-GCM)."""

    def update_into(self, data: bytes | memoryview, buffer: memoryview) -> int:
        """Decrypt one piece into a buffer that is 16 octets longer; returns how many octets were written."""

    def finalize_with_tag(self, tag: bytes) -> object:
        """Raises InvalidTag when anything was altered."""


def decryptor(mode: str, key: bytes, nonce: bytes, attributes: bytes, size: int) -> Decryptor:
    """A decryptor over `size` octets, with what is authenticated beside them. Raises ValueError."""
    if mode == "ccm":
        return _Ccm(key, nonce, attributes, size)
    if mode == "chacha20":
        return _ChaCha20Poly1305(key, nonce, attributes)
    context = Cipher(AES(key), GCM(nonce)).decryptor()
    context.authenticate_additional_data(attributes)
    return context


class _Ccm:
    """CBC-MAC over the plaintext, counter mode around it (RFC 3610 §2)."""

    def __init__(self, key: bytes, nonce: bytes, attributes: bytes, size: int) -> None:
        width = 15 - len(nonce)
        if size >> 8 * width:
            raise ValueError("content too long for this nonce")  # RFC 3610 §2.1
        self._counter = Cipher(AES(key), CTR(bytes([width - 1]) + nonce + bytes(width))).decryptor()
        self._mask = self._counter.update(bytes(BLOCK))
        self._mac = Cipher(AES(key), CBC(bytes(BLOCK))).encryptor()
        self._scratch = bytearray(PIECE + 2 * BLOCK)
        self._last = b""
        self._fed = 0
        flags = (0x40 if attributes else 0) | (TAG - 2) // 2 << 3 | (width - 1)
        self._feed(bytes([flags]) + nonce + size.to_bytes(width, "big"))
        if attributes:
            short = len(attributes) < 0xFF00
            count = len(attributes).to_bytes(2, "big") if short else b"\xff\xfe" + len(attributes).to_bytes(4, "big")
            beside = memoryview(count + attributes)
            for at in range(0, len(beside), PIECE):
                self._feed(beside[at : at + PIECE])
            self._fill()

    def _feed(self, data: bytes | memoryview) -> None:
        self._fed += len(data)
        count = self._mac.update_into(data, self._scratch)
        if count:
            self._last = bytes(self._scratch[count - BLOCK : count])

    def _fill(self) -> None:
        self._feed(bytes(-self._fed % BLOCK))

    def update_into(self, data: bytes | memoryview, buffer: memoryview) -> int:
        count = self._counter.update_into(data, buffer)
        self._feed(buffer[:count])
        return count

    def finalize_with_tag(self, tag: bytes) -> None:
        self._fill()
        expected = bytes(one ^ other for one, other in zip(self._last, self._mask, strict=True))
        if not hmac.compare_digest(expected, tag):
            raise InvalidTag


class _ChaCha20Poly1305:
    """The stream's first block is the key of the MAC over the ciphertext (RFC 8439 §2.8)."""

    def __init__(self, key: bytes, nonce: bytes, attributes: bytes) -> None:
        self._stream = Cipher(ChaCha20(key, bytes(4) + nonce), mode=None).decryptor()
        self._mac = Poly1305(self._stream.update(bytes(64))[:32])
        self._mac.update(attributes + bytes(-len(attributes) % BLOCK))
        self._beside = len(attributes)
        self._size = 0

    def update_into(self, data: bytes | memoryview, buffer: memoryview) -> int:
        self._mac.update(data)
        self._size += len(data)
        return self._stream.update_into(data, buffer)

    def finalize_with_tag(self, tag: bytes) -> None:
        lengths = self._beside.to_bytes(8, "little") + self._size.to_bytes(8, "little")
        self._mac.update(bytes(-self._size % BLOCK) + lengths)
        try:
            self._mac.verify(tag)
        except InvalidSignature as error:
            raise InvalidTag from error
