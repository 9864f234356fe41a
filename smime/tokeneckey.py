"""An elliptic-curve private key that stays in a token: ECDSA and ECDH with the face of a key in memory (R-KEYS)."""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dcc.smime.tokenkey import Holder, InToken, TokenAway


class TokenEcKey(InToken, ec.EllipticCurvePrivateKey):
    """Signs and agrees in the token; everything else that a private key can do is refused."""

    def __init__(self, holder: Holder, label: str, public: ec.EllipticCurvePublicKey) -> None:
        self._holder, self._label, self._public = holder, label, public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The certificate's curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve's order."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half, from the certificate."""
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """An ECDSA signature, DER. Raises UnsupportedAlgorithm, TokenAway.

        Hashed here: CKM_ECDSA is the one mechanism that every token has (SoftHSM 2.6.1 has no other). A token tells
        nothing of the public half of its key, so each signature is checked against the certificate before it leaves.
        """
        from pkcs11 import Mechanism, PKCS11Error

        chosen = signature_algorithm.algorithm
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(chosen, hashes.HashAlgorithm):
            raise UnsupportedAlgorithm("a token signs with ECDSA what is hashed for it")
        hasher = hashes.Hash(chosen)
        hasher.update(data)
        digest = hasher.finalize()
        size = (self.key_size + 7) // 8
        try:
            raw = self._holder.with_key(
                self._label, lambda key: bytes(key.sign(digest[:size], mechanism=Mechanism.ECDSA))
            )
        except PKCS11Error as error:
            raise TokenAway(type(error).__name__) from error
        if len(raw) != 2 * size:  # PKCS #11 v2.40 §2.3.1: r and s, each as long as the order
            raise TokenAway("no signature of this curve")
        signature = asymmetric_utils.encode_dss_signature(
            int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")
        )
        try:
            self._public.verify(signature, digest, ec.ECDSA(asymmetric_utils.Prehashed(chosen)))
        except InvalidSignature as error:
            raise TokenAway("the key is not the certificate's") from error
        return signature

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """The shared secret (CKM_ECDH1_DERIVE without a derivation function). Raises ValueError, TokenAway."""
        if peer_public_key.curve.name != self.curve.name:
            raise ValueError("another curve")
        from pkcs11 import KDF, Attribute, KeyType, Mechanism, PKCS11Error

        point = peer_public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        size = (self._public.curve.key_size + 7) // 8

        def work(key: Any) -> bytes:
            # A secret of this session alone, which has to be read: the wrapping key is derived from it here (RFC 5753)
            made = key.derive_key(
                KeyType.GENERIC_SECRET, 8 * size, mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template={Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
            )  # fmt: skip
            try:
                return bytes(made[Attribute.VALUE])
            finally:
                made.destroy()

        try:
            found = self._holder.with_key(self._label, work)
        except PKCS11Error as error:  # the point lies on the curve: a failure is the token's
            raise TokenAway(type(error).__name__) from error
        return found.rjust(size, b"\x00")

    def agrees(self) -> bool:
        """Whether the token's key is the certificate's and can agree on a secret; tried. Raises TokenAway."""
        other = ec.generate_private_key(self.curve)
        return self.exchange(ec.ECDH(), other.public_key()) == other.exchange(ec.ECDH(), self._public)
