"""A key pair put into a token: what `dcc key import` does where the gateway's keys are in one (R-KEYS)."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair
from dcc.smime.token import Token, TokenRefused


def put(token: Token, label: str, pair: KeyPair, *, certificate_label: str | None = None) -> None:
    """Write the RSA key (never to be read again), its certificate and its authorities. Raises TokenRefused, TokenAway.

    The token must have been opened to be written to. A label that is taken is refused: nothing is written over.
    """
    from pkcs11 import Attribute, CertificateType, KeyType, ObjectClass
    from pkcs11.exceptions import PKCS11Error

    if not isinstance(pair.key, rsa.RSAPrivateKey):
        raise TokenRefused("un jeton ne reçoit ici que des clés RSA")
    numbers = pair.key.private_numbers()
    public = numbers.public_numbers
    identifier = hashlib.sha256(pair.certificate).digest()[:20]

    def integer(value: int) -> bytes:
        return value.to_bytes((value.bit_length() + 7) // 8, "big")

    def write(session: Any) -> None:
        if list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label})):
            raise TokenRefused(f"le jeton a déjà une clé nommée {label}")
        try:
            session.create_object({
                Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA, Attribute.LABEL: label,
                Attribute.ID: identifier, Attribute.TOKEN: True, Attribute.PRIVATE: True, Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False, Attribute.SIGN: True, Attribute.DECRYPT: True,
                Attribute.MODULUS: integer(public.n), Attribute.PUBLIC_EXPONENT: integer(public.e),
                Attribute.PRIVATE_EXPONENT: integer(numbers.d), Attribute.PRIME_1: integer(numbers.p),
                Attribute.PRIME_2: integer(numbers.q), Attribute.EXPONENT_1: integer(numbers.dmp1),
                Attribute.EXPONENT_2: integer(numbers.dmq1), Attribute.COEFFICIENT: integer(numbers.iqmp),
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
