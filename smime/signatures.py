"""One signature verified with one certificate's key: valid or not, weak or not (RFC 5652 §5.6; R-ALGO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from dcc.smime import algorithms, ber
from dcc.smime.certificates import parts
from dcc.smime.errors import SmimeError
from dcc.smime.limits import Limits

UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Verified:
    """`family`: rsa, rsa-pss, ecdsa, dsa, a name of `PURE`, or unknown; `weakness`: by name, what is not trusted."""

    valid: bool
    family: str
    weakness: tuple[str, ...] = ()


def verify(
    algorithm: bytes,
    signature: bytes,
    digest_name: str,
    certificate: bytes | None,
    *,
    attributes: bytes | None,
    digest: bytes,
    limits: Limits,
    post_quantum: bool = False,
) -> Verified:
    """Verify over the signed attributes (a SET OF, DER), or over the content's digest when there are none.

    `algorithm` is the signatureAlgorithm (DER), `certificate` the signer's (DER). Raises Malformed.
    """
    name, parameters = ber.algorithm(algorithm, ber.whole(algorithm, ber.SEQUENCE), limits)
    family, named = algorithms.SIGNATURES.get(name, ("unknown", None))
    if family in algorithms.POST_QUANTUM and not post_quantum:
        return Verified(valid=False, family=family, weakness=(family,))  # behind the switch, like an unknown one
    if certificate is None:
        return Verified(valid=False, family=family)
    found = _public_key(certificate)
    if found is None:
        return Verified(valid=False, family=family, weakness=("unreadable key",))
    key, weak, own = found
    if named is not None and named not in algorithms.TRUSTED_DIGESTS:
        weak = (*weak, named)
    # digestAlgorithm agrees with signatureAlgorithm (R-ALGO); an unknown digest cannot be verified
    if digest_name not in algorithms.HASHES or named not in (None, digest_name):
        return Verified(valid=False, family=family, weakness=weak)
    kind = algorithms.HASHES[digest_name]()
    try:
        if own is not None and not _allows(own, family, algorithm, kind, limits):
            return Verified(valid=False, family=family, weakness=weak)
        pss, trusted = _pss(algorithm, parameters, kind, limits) if family == "rsa-pss" else (padding.PKCS1v15(), True)
        done = _check(key, family, pss, signature, kind, attributes, digest)
    except (InvalidSignature, *UNREADABLE):
        return Verified(valid=False, family=family, weakness=weak)
    return Verified(valid=done, family=family, weakness=weak if trusted else (*weak, "pss salt"))


@lru_cache(maxsize=256)  # senders come back; an object of a public key is never changed
def _public_key(certificate: bytes) -> tuple[object, tuple[str, ...], bytes | None] | None:
    """The certificate's key, what makes it weak (R-ALGO), and its algorithm (DER) when that is RSASSA-PSS, which the
    loaded key does not tell; None when it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        info = parts(certificate).public_key
        identifier = ber.first_slice(info, ber.whole(info, ber.SEQUENCE).value, len(info))
        algorithm = info[identifier.start : identifier.end]
        own = (
            algorithm
            if ber.algorithm(algorithm, ber.whole(algorithm, ber.SEQUENCE), Limits())[0] == algorithms.RSA_PSS
            else None
        )
    except (*UNREADABLE, SmimeError):
        return None
    weak = algorithms.weakness(key)
    return key, () if weak is None else (weak,), own


def _allows(own: bytes, family: str, algorithm: bytes, kind: hashes.HashAlgorithm, limits: Limits) -> bool:
    """Whether a key that is for RSASSA-PSS only made this kind of signature: with the hash that it names, and a salt not
    shorter (RFC 4055 §1.2, §3.3). Raises ValueError where the hash is another."""
    if family != "rsa-pss":
        return False
    _, wanted = ber.algorithm(own, ber.whole(own, ber.SEQUENCE), limits)
    if not wanted or wanted[0].tag != ber.SEQUENCE:
        return True
    _, used = ber.algorithm(algorithm, ber.whole(algorithm, ber.SEQUENCE), limits)
    return _salt(_pss(algorithm, used, kind, limits)) >= _salt(_pss(own, wanted, kind, limits))


def _salt(read: tuple[padding.PSS, bool]) -> int:
    length = read[0]._salt_length
    return length if isinstance(length, int) else 0


def _check(
    key: object,
    family: str,
    pad: padding.AsymmetricPadding,
    signature: bytes,
    kind: hashes.HashAlgorithm,
    attributes: bytes | None,
    digest: bytes,
) -> bool:
    """Whether key and algorithm belong together; raises InvalidSignature when the signature is not good."""
    data = digest if attributes is None else attributes
    how: hashes.HashAlgorithm | Prehashed = Prehashed(kind) if attributes is None else kind
    if isinstance(key, rsa.RSAPublicKey) and family in ("rsa", "rsa-pss"):
        key.verify(signature, data, pad, how)
    elif isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa":
        key.verify(signature, data, ec.ECDSA(how))
    elif isinstance(key, dsa.DSAPublicKey) and family == "dsa":
        key.verify(signature, data, how)
    else:
        pure = algorithms.PURE.get(family)
        if pure is None or not isinstance(key, pure.public) or attributes is None or kind.name not in pure.digests:
            return False
        key.verify(signature, attributes)
    return True


def _pss(
    data: bytes, parameters: Sequence[ber.Slice], kind: hashes.HashAlgorithm, limits: Limits
) -> tuple[padding.PSS, bool]:
    """RSASSA-PSS-params (RFC 4056 §3), and whether they are trusted: the salt not longer than the hash (R-ALGO).

    Raises ValueError when the hash is not the digest, or the mask generation is not MGF1 with the same hash.
    """
    digest = mask = "sha1"
    salt = 20
    if parameters and parameters[0].tag == ber.SEQUENCE:
        for one in ber.children(data, parameters[0]):
            inner = ber.only(data, one)
            if one.tag == 0xA0:
                digest = _digest_name(data, inner, limits)
            elif one.tag == 0xA1:
                generation, fields = ber.algorithm(data, inner, limits)
                if generation != algorithms.MGF1 or not fields:
                    raise ValueError("mask generation")
                mask = _digest_name(data, fields[0], limits)
            elif one.tag == 0xA2:
                salt = ber.integer(data, inner)
    if digest != kind.name or mask != digest:
        raise ValueError("RSASSA-PSS parameters")
    return padding.PSS(padding.MGF1(kind), salt), salt <= kind.digest_size


def _digest_name(data: bytes, of: ber.Slice, limits: Limits) -> str:
    name, _ = ber.algorithm(data, of, limits)
    return algorithms.DIGESTS[name][0] if name in algorithms.DIGESTS else name
