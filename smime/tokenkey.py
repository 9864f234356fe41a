"""An RSA private key that stays in a token, with the face of a key in memory (R-KEYS, R-ORACLE)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding as paddings
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from dcc.smime import oaep

PROBE = b"the token still answers."  # its secrecy does not matter


class TokenAway(OSError):
    """The token does not answer now: nothing is known of the message, which is to be tried again."""


class Holder(Protocol):
    """What holds the key: runs one piece of work with it, alone."""

    def with_key(self, label: str, work: Callable[[Any], bytes], /) -> bytes: ...


class InToken:
    """What no key in a token does: leave it."""

    def private_numbers(self) -> NoReturn:
        """Never: the key stays in the token."""
        raise UnsupportedAlgorithm("the key stays in the token")

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> NoReturn:
        """Never: the key stays in the token."""
        raise UnsupportedAlgorithm("the key stays in the token")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Self:
        return self


class TokenRsaKey(InToken, rsa.RSAPrivateKey):
    """Signs and decrypts in the token; everything else that a private key can do is refused."""

    def __init__(self, holder: Holder, label: str, public: rsa.RSAPublicKey, *, raw_oaep: bool = False) -> None:
        self._holder, self._label, self._public, self._raw_oaep = holder, label, public, raw_oaep
        self._probe: bytes | None = None

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half, from the certificate."""
        return self._public

    def sign(
        self,
        data: Any,
        padding: paddings.AsymmetricPadding,
        algorithm: asymmetric_utils.Prehashed | hashes.HashAlgorithm | asymmetric_utils.NoDigestInfo,
    ) -> bytes:
        """A signature made in the token. Raises UnsupportedAlgorithm, TokenAway."""
        return _sign(self, self._holder, self._label, bytes(data), padding, algorithm)

    def decrypt(self, ciphertext: Any, padding: paddings.AsymmetricPadding) -> bytes:
        """Open one block. Raises ValueError when it is not well-formed, UnsupportedAlgorithm, TokenAway.

        PKCS #1 v1.5: the token has no implicit rejection; the caller takes a random key for any ValueError (RFC 3218).
        """
        block = bytes(ciphertext)
        if len(block) != (self.key_size + 7) // 8:
            raise ValueError("wrong length")
        if isinstance(padding, paddings.PKCS1v15):
            return self._v15(block)
        return self._oaep(block, padding)

    def _v15(self, block: bytes) -> bytes:
        from pkcs11 import Mechanism, PKCS11Error

        # SoftHSM says CKR_GENERAL_ERROR for a wrong padding: only a second block, known to be good, tells that from a
        # token that is broken. It is always opened, whatever came of the first, so that time tells nothing.
        if self._probe is None:
            self._probe = self._public.encrypt(PROBE, paddings.PKCS1v15())
        known = self._probe

        def both(key: Any) -> bytes:
            try:
                found = b"\x01" + bytes(key.decrypt(block, mechanism=Mechanism.RSA_PKCS))
            except PKCS11Error:
                found = b"\x00"
            try:
                answers = bytes(key.decrypt(known, mechanism=Mechanism.RSA_PKCS)) == PROBE
            except PKCS11Error:
                answers = False
            return found if answers else b""

        found = self._holder.with_key(self._label, both)
        if not found:
            raise TokenAway("no answer to a known block")
        if found == b"\x00":
            raise ValueError("not opened")
        return found[1:]

    def _oaep(self, block: bytes, scheme: paddings.AsymmetricPadding) -> bytes:
        from pkcs11 import MGF, Mechanism, PKCS11Error

        if not isinstance(scheme, paddings.OAEP):
            raise UnsupportedAlgorithm("unknown encryption scheme")
        digest, mask_digest, label = oaep.parameters(scheme)
        if self._raw_oaep:
            # RSA without padding answers every block below the modulus: a failure is the token's
            if int.from_bytes(block, "big") >= self._public.public_numbers().n:
                raise ValueError("out of range")
            try:
                plain = self._holder.with_key(
                    self._label, lambda key: bytes(key.decrypt(block, mechanism=Mechanism.RSA_X_509))
                )
            except PKCS11Error as error:
                raise TokenAway(type(error).__name__) from error
            found = oaep.decode(plain.rjust(len(block), b"\x00"), digest, mask_digest, label)
            if found is None:
                raise ValueError("not opened")
            return found
        chosen = (_digest(digest), getattr(MGF, mask_digest.upper()), label or None)
        try:
            return self._holder.with_key(
                self._label,
                lambda key: bytes(key.decrypt(block, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=chosen)),
            )
        except PKCS11Error as error:
            raise ValueError("not opened") from error

    def opens_oaep(self) -> bool:
        """Whether a block made with OAEP and SHA-256 opens; tried. Raises TokenAway."""
        scheme = paddings.OAEP(paddings.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        try:
            return self.decrypt(self._public.encrypt(PROBE, scheme), scheme) == PROBE
        except ValueError:
            return False


def _sign(
    key: TokenRsaKey, holder: Holder, label: str, data: bytes, scheme: paddings.AsymmetricPadding, algorithm: object
) -> bytes:
    from pkcs11 import MGF, Mechanism, PKCS11Error

    if not isinstance(algorithm, hashes.HashAlgorithm):
        raise UnsupportedAlgorithm("a token hashes what it signs")
    name = algorithm.name.upper()
    if isinstance(scheme, paddings.PSS):
        mechanism = getattr(Mechanism, f"{name}_RSA_PKCS_PSS")
        options: dict[str, Any] = {
            "mechanism_param": (_digest(algorithm.name), getattr(MGF, name), algorithm.digest_size)
        }
    elif isinstance(scheme, paddings.PKCS1v15):
        mechanism, options = getattr(Mechanism, f"{name}_RSA_PKCS"), {}
    else:
        raise UnsupportedAlgorithm("unknown signature scheme")
    try:
        return holder.with_key(label, lambda held: bytes(held.sign(data, mechanism=mechanism, **options)))
    except PKCS11Error as error:
        raise TokenAway(type(error).__name__) from error


def _digest(name: str) -> Any:
    from pkcs11 import Mechanism

    return Mechanism.SHA_1 if name == "sha1" else getattr(Mechanism, name.upper())
