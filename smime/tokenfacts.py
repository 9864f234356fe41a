"""What a token tells of one of its private keys, and which certificate is that key's (R-KEYS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from asn1crypto import core, keys
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dcc.smime.tokeneckey import TokenEcKey
from dcc.smime.tokenkey import Holder, TokenRsaKey

if TYPE_CHECKING:
    from pkcs11 import Session


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """The public side of a key that stays where it is. `point`: None when the token does not tell it (a CPS may not)."""

    identifier: bytes
    modulus: int | None = None  # RSA
    curve: bytes | None = None  # EC: the parameters, DER
    point: bytes | None = None

    @classmethod
    def of(cls, session: Session, key: Any) -> KeyFacts:
        """Read them."""
        from pkcs11 import Attribute, KeyType, ObjectClass

        identifier = bytes(key[Attribute.ID])
        if key.key_type is KeyType.RSA:
            return cls(identifier, modulus=int.from_bytes(bytes(key[Attribute.MODULUS]), "big"))
        wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: KeyType.EC, Attribute.ID: identifier}
        beside = list(session.get_objects(wanted)) if identifier else []
        point = bytes(beside[0][Attribute.EC_POINT]) if len(beside) == 1 else None
        return cls(identifier, curve=bytes(key[Attribute.EC_PARAMS]), point=point)

    def fits(self, public: object) -> bool:
        """Whether this may be the public half of the key."""
        if isinstance(public, rsa.RSAPublicKey):
            return public.public_numbers().n == self.modulus
        if not isinstance(public, ec.EllipticCurvePublicKey) or curve_parameters(public.curve) != self.curve:
            return False
        own = uncompressed(public)
        # PKCS #11 v2.40 §2.3.3: a DER OCTET STRING; some tokens give the point itself
        return self.point is None or self.point in (own, core.OctetString(own).dump())


def key_in_token(holder: Holder, label: str, public: object, *, raw_oaep: bool) -> TokenRsaKey | TokenEcKey:
    """The key with the face of one in memory, for a public half that fits."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        return TokenEcKey(holder, label, public)
    return TokenRsaKey(holder, label, cast("rsa.RSAPublicKey", public), raw_oaep=raw_oaep)


def uncompressed(public: ec.EllipticCurvePublicKey) -> bytes:
    """The point, X9.62."""
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def curve_parameters(curve: ec.EllipticCurve) -> bytes | None:
    """CKA_EC_PARAMS of a curve by its name (RFC 5480 §2.1.1); None for one that has no name here."""
    try:
        return bytes(keys.ECDomainParameters({"named": curve.name}).dump())
    except ValueError:
        return None
