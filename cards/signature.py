"""Whether one authority issued a certificate: named by it, and its key signed the octets as they are (RFC 5280 §4.1.1.3).

`cryptography` refuses to load certificates that are slightly off DER (an RDN in another order); what was signed is
the octets, whatever their order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from asn1crypto import x509 as asn1
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import load_der_public_key

from dcc.cards.certificate import BROKEN, CardCertificate

HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1, "sha224": hashes.SHA224, "sha256": hashes.SHA256, "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}  # fmt: skip


# What may vouch for something (R-ALGO); the last: Ed448 (RFC 8419 §2.3)
TRUSTED_HASHES = frozenset({"sha256", "sha384", "sha512", "shake256"})


def is_issuer(certificate: CardCertificate, authority: CardCertificate) -> bool:
    """Whether the certificate names this authority: by its DN, and by its key identifier where both tell one."""
    named, own = certificate.authority_key_identifier, authority.key_identifier
    if named is not None and own is not None and named != own:
        return False
    if authority.subject_der == certificate.issuer_der:
        return True
    compared = compared_name(certificate.issuer_der)
    return compared is not None and compared == compared_name(authority.subject_der)


@lru_cache(maxsize=512)
def compared_name(der: bytes) -> str | None:
    """A name as names are compared, without its writing: case, spaces, kinds of string (RFC 5280 §7.1)."""
    try:
        return str(asn1.Name.load(der).hashable)
    except BROKEN:
        return None  # an old authority's name that is no text: it is itself and no other


def signed_by(certificate: CardCertificate, authority: CardCertificate) -> bool | None:
    """Whether the authority's key signed the certificate; None: a key or an algorithm that cannot be worked with."""
    try:
        whole: Any = asn1.Certificate.load(certificate.der)
        fields = whole["tbs_certificate"]
        if fields["signature"].dump() != whole["signature_algorithm"].dump():
            return None  # RFC 5280 §4.1.1.2: the two must be the same
        key: Any = load_der_public_key(asn1.Certificate.load(authority.der).public_key.dump())
        verify_octets(key, whole["signature_algorithm"], whole["signature_value"].native, fields.dump())
    except InvalidSignature:
        return False
    except (*BROKEN, UnsupportedAlgorithm):
        return None
    return True


def verify_octets(key: Any, algorithm: Any, signature: bytes, signed: bytes) -> None:
    """Check one signature with the algorithm as X.509 writes it. Raises InvalidSignature, UnsupportedAlgorithm, KeyError."""
    kind = algorithm.signature_algo
    if kind in {"ed25519", "ed448"}:
        key.verify(signature, signed)
        return
    digest = HASHES[algorithm.hash_algo]()
    if kind == "ecdsa":
        key.verify(signature, signed, ec.ECDSA(digest))
    elif kind == "rsassa_pss":
        stated = algorithm["parameters"]
        mask = HASHES[stated["mask_gen_algorithm"]["parameters"]["algorithm"].native]()
        key.verify(signature, signed, padding.PSS(padding.MGF1(mask), stated["salt_length"].native), digest)
    elif kind == "rsassa_pkcs1v15":
        key.verify(signature, signed, padding.PKCS1v15(), digest)
    else:
        raise UnsupportedAlgorithm(str(kind))
