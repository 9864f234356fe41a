"""A key pair put into a token: what `dcc key import` does where the gateway's keys are in one (R-KEYS)."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair
from dcc.smime.token import Token, TokenRefused
from dcc.smime.tokenfacts import curve_parameters


def put(token: Token, label: str, pair: KeyPair, *, certificate_label: str | None = None) -> None:
    """Write the RSA or EC key (never to be read again), its certificate and its authorities. Raises TokenRefused, TokenAway.

    The token must have been opened to be written to. A label that is taken is refused: nothing is written over.
    """
    from pkcs11 import Attribute, CertificateType, ObjectClass
    from pkcs11.exceptions import PKCS11Error

    secret = _secret(pair.key)
    identifier = hashlib.sha256(pair.certificate).digest()[:20]

    def write(session: Any) -> None:
        if list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label})):
            raise TokenRefused(f"le jeton a déjà une clé nommée {label}")
        try:
            session.create_object({
                Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label, Attribute.ID: identifier,
                Attribute.TOKEN: True, Attribute.PRIVATE: True, Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False, Attribute.SIGN: True, **secret,
            })  # fmt: skip
            for name, ident, der in (
                (certificate_label or label, identifier, pair.certificate),
                *((f"AC {label}", hashlib.sha256(one).digest()[:20], one) for one in pair.chain),
            ):
                session.create_object({
                    Attribute.CLASS: ObjectClass.CERTIFICATE, Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                    Attribute.LABEL: name, Attribute.ID: ident, Attribute.TOKEN: True, Attribute.PRIVATE: False,
                    Attribute.SUBJECT: parts(der).subject, Attribute.VALUE: der,
                })  # fmt: skip
        except PKCS11Error as error:
            raise TokenRefused(f"le jeton n'a pas pris la clé ({type(error).__name__})") from error

    token.within(write)


def _secret(key: PrivateKeyTypes) -> dict[Any, Any]:
    """The attributes of its kind of key. Raises TokenRefused."""
    from pkcs11 import Attribute, KeyType

    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return {
            Attribute.KEY_TYPE: KeyType.RSA, Attribute.DECRYPT: True,
            Attribute.MODULUS: _octets(numbers.public_numbers.n),
            Attribute.PUBLIC_EXPONENT: _octets(numbers.public_numbers.e),
            Attribute.PRIVATE_EXPONENT: _octets(numbers.d), Attribute.PRIME_1: _octets(numbers.p),
            Attribute.PRIME_2: _octets(numbers.q), Attribute.EXPONENT_1: _octets(numbers.dmp1),
            Attribute.EXPONENT_2: _octets(numbers.dmq1), Attribute.COEFFICIENT: _octets(numbers.iqmp),
        }  # fmt: skip
    curve = curve_parameters(key.curve) if isinstance(key, ec.EllipticCurvePrivateKey) else None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or curve is None:
        raise TokenRefused("un jeton ne reçoit ici que des clés RSA ou EC")
    return {
        Attribute.KEY_TYPE: KeyType.EC, Attribute.DERIVE: True, Attribute.EC_PARAMS: curve,
        Attribute.VALUE: _octets(key.private_numbers().private_value),
    }  # fmt: skip


def _octets(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")
