"""EME-OAEP decoded in software, for tokens that know it with SHA-1 only (RFC 8017 §7.1.2)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import padding


def mask(seed: bytes, length: int, digest: str) -> bytes:
    """MGF1 (RFC 8017 §B.2.1)."""
    blocks = -(-length // hashlib.new(digest).digest_size)
    return b"".join(hashlib.new(digest, seed + at.to_bytes(4, "big")).digest() for at in range(blocks))[:length]


def decode(block: bytes, digest: str, mask_digest: str, label: bytes) -> bytes | None:
    """The message in a decrypted block, or None.

    Every check is made on every block and their results are joined at the end: a first octet that is not zero
    answers no sooner than a wrong label (RFC 8017 §7.1.2 note, Manger's attack).
    """
    size = hashlib.new(digest).digest_size
    if len(block) < 2 * size + 2:  # the key's size, which is public
        return None
    seed = _xor(block[1 : 1 + size], mask(block[1 + size :], size, mask_digest))
    data = _xor(block[1 + size :], mask(seed, len(block) - size - 1, mask_digest))
    wrong = block[0]
    wrong |= 1 - int(hmac.compare_digest(data[:size], hashlib.new(digest, label).digest()))
    looking, end = 1, 0
    for at, octet in enumerate(data[size:], start=size):
        one = ((octet ^ 1) - 1) >> 8 & 1
        zero = (octet - 1) >> 8 & 1
        end |= at * (looking & one)
        wrong |= looking & (1 - one) & (1 - zero)
        looking &= 1 - one
    wrong |= looking
    message = data[end + 1 :]
    return None if wrong else message


def parameters(scheme: padding.OAEP) -> tuple[str, str, bytes]:
    """(digest, digest of the mask, label) of an OAEP scheme."""
    mgf = scheme.mgf
    inner = mgf._algorithm if isinstance(mgf, padding.MGF1) else scheme.algorithm
    return scheme.algorithm.name, inner.name, scheme._label or b""


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")
