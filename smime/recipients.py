"""From the RecipientInfos to the content-encryption key, without telling anybody why not (RFC 5652 §6.2, R-ORACLE)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from dcc.smime import algorithms, ber, kem, keywrap
from dcc.smime.certificates import CertificateParts, parts
from dcc.smime.der import oid as der_oid
from dcc.smime.errors import LimitPassed, Malformed, NotEnabled, NotForUs
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits

KINDS = {0x30: "ktri", 0xA1: "kari", 0xA2: "kekri", 0xA3: "pwri", 0xA4: "ori"}
NULL = 0x05
X25519, EC_PUBLIC_KEY = "1.3.101.110", "1.2.840.10045.2.1"


@dataclass(frozen=True, slots=True)
class OurKey:
    """A key pair and the parts of its certificate that recipients are matched by."""

    pair: KeyPair
    parts: CertificateParts

    @property
    def encrypts(self) -> bool:
        """Whether the certificate's KeyUsage allows encryption to it; without a KeyUsage it does (R-USAGE)."""
        return _may_encrypt(self.pair.certificate)

    @property
    def weakness(self) -> str | None:
        """What makes the key less than what is trusted, by name: it opens archives only (R-ALGO)."""
        return _weakness(self.pair.certificate)

    @classmethod
    def of(cls, pair: KeyPair) -> OurKey:
        """Slice the certificate once."""
        return cls(pair, parts(pair.certificate))


@dataclass(frozen=True, slots=True)
class Selected:
    """A recipient that is a key of ours; `recover` gives the content key, or None when it cannot."""

    ours: OurKey
    transport: str
    recover: Callable[[], bytes | None]
    legacy: bool = False  # a key wrap for archives only


@lru_cache(maxsize=64)
def _may_encrypt(certificate: bytes) -> bool:
    try:
        usage = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.InvalidVersion):
        return True
    return usage.key_encipherment or usage.key_agreement


@lru_cache(maxsize=64)
def _weakness(certificate: bytes) -> str | None:
    try:
        return algorithms.weakness(x509.load_der_x509_certificate(certificate).public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return "unreadable key"


def select(infos: bytes, keys: Sequence[OurKey], limits: Limits, *, post_quantum: bool = False) -> Selected:
    """The first recipient that is ours. Raises NotForUs (naming the kinds that were there), NotEnabled (ours, behind the
    post-quantum switch), Malformed, LimitPassed."""
    found = ber.children(infos, ber.whole(infos, ber.SET))
    if len(found) > limits.recipient_infos:
        raise LimitPassed("recipient_infos")
    kinds = []
    room = limits.recipient_infos
    for info in found:
        kind = KINDS.get(info.tag, "unknown")
        kinds.append(kind)
        selected = None
        if kind == "ktri":
            selected = _key_transport(infos, info, keys, limits)
        elif kind == "kari":
            selected, room = _key_agreement(infos, info, keys, limits, room)
        elif kind == "ori" and post_quantum:
            selected = _encapsulation(infos, info, keys, limits)
        if selected is not None:
            return selected
    off = None if post_quantum else _switched_off(infos, found, keys, limits)
    if off is not None:
        raise NotEnabled(off)
    raise NotForUs(",".join(sorted(set(kinds))) or "none")


def _switched_off(data: bytes, infos: Sequence[ber.Slice], keys: Sequence[OurKey], limits: Limits) -> str | None:
    """The key encapsulation of the first recipient that would be ours were the switch on."""
    for info in infos:
        if KINDS.get(info.tag) == "ori":
            try:
                found = _encapsulation(data, info, keys, limits)
            except Malformed:
                continue  # with the switch off, a recipient of an unknown kind
            if found is not None:
                return found.transport
    return None


def _encapsulation(data: bytes, info: ber.Slice, keys: Sequence[OurKey], limits: Limits) -> Selected | None:
    found = kem.read(data, info, limits)
    ours = None if found is None else _matching(data, found.identifier, keys)
    if found is None or ours is None:
        return None
    known = algorithms.KEMS.get(found.algorithm)
    label = found.algorithm if known is None else known.name
    return Selected(ours, label, lambda: found.recover(ours.pair.key))


def _matching(data: bytes, identifier: ber.Slice, keys: Sequence[OurKey]) -> OurKey | None:
    if identifier.tag == ber.SEQUENCE:
        members = ber.children(data, identifier)
        if len(members) != 2 or members[1].tag != ber.INTEGER:
            raise Malformed("issuerAndSerialNumber")
        issuer = data[members[0].start : members[0].end]
        serial = ber.integer(data, members[1])
        return next((k for k in keys if k.parts.serial == serial and k.parts.issuer == issuer), None)
    if identifier.tag in (0x80, 0xA0):
        value = data[identifier.value : identifier.end]
        if identifier.tag == 0xA0:  # RecipientKeyIdentifier: SEQUENCE { subjectKeyIdentifier, date?, other? }
            first = ber.first_slice(data, identifier.value, identifier.end)
            value = data[first.value : first.end]
        return next((k for k in keys if k.parts.key_identifier == value), None)
    raise Malformed("recipient identifier")


def _key_transport(data: bytes, info: ber.Slice, keys: Sequence[OurKey], limits: Limits) -> Selected | None:
    members = ber.children(data, info)
    if len(members) != 4 or members[3].tag & ~ber.CONSTRUCTED != ber.OCTET_STRING:
        raise Malformed("KeyTransRecipientInfo")
    ours = _matching(data, members[1], keys)
    if ours is None:
        return None
    name, parameters = ber.algorithm(data, members[2], limits)
    encrypted = ber.octets(data, members[3])
    key = ours.pair.key
    if not isinstance(key, rsa.RSAPrivateKey):
        return Selected(ours, "rsa", lambda: None)
    if name == algorithms.RSA_ENCRYPTION:
        return Selected(ours, "rsa", lambda: _rsa(key, encrypted, padding.PKCS1v15()))
    if name == algorithms.RSA_OAEP:
        scheme = _oaep(data, parameters, limits)
        label = f"rsa-oaep-{scheme.algorithm.name}" if scheme is not None else "rsa-oaep"
        return Selected(ours, label, lambda: None if scheme is None else _rsa(key, encrypted, scheme))
    return Selected(ours, name, lambda: None)


def _rsa(key: rsa.RSAPrivateKey, encrypted: bytes, scheme: padding.AsymmetricPadding) -> bytes | None:
    try:
        return key.decrypt(encrypted, scheme)
    except (ValueError, UnsupportedAlgorithm):
        # Also for a ciphertext of the wrong length: that depends on public bytes only, and takes the same path.
        return None


def _oaep(data: bytes, parameters: Sequence[ber.Slice], limits: Limits) -> padding.OAEP | None:
    """RSAES-OAEP-params (RFC 4055 §4.1); None when they name what is not accepted."""
    digest: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - the default of RFC 4055 §4.1
    mask: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303
    label = b""
    if parameters and parameters[0].tag == ber.SEQUENCE:
        for one in ber.children(data, parameters[0]):
            name, fields = ber.algorithm(data, ber.only(data, one), limits)
            if one.tag == 0xA0:
                digest = _hash(name)
            elif one.tag == 0xA1:
                if name != algorithms.MGF1 or not fields:
                    return None
                mask = _hash(ber.algorithm(data, fields[0], limits)[0])
            elif one.tag == 0xA2:
                if fields:
                    label = ber.octets(data, fields[0])
            else:
                return None
    return padding.OAEP(padding.MGF1(mask), digest, label or None)


def _hash(name: str) -> hashes.HashAlgorithm:
    if name not in algorithms.DIGESTS:
        raise Malformed("unknown digest")
    return algorithms.DIGESTS[name][1]()


def _key_agreement(
    data: bytes, info: ber.Slice, keys: Sequence[OurKey], limits: Limits, room: int
) -> tuple[Selected | None, int]:
    """The recipient of ours in a KeyAgreeRecipientInfo, and how many recipients more the message may have."""
    members = ber.children(data, info)
    if len(members) not in (4, 5) or members[1].tag != 0xA0:
        raise Malformed("KeyAgreeRecipientInfo")
    ukm = None
    if members[2].tag == 0xA1:
        inner = ber.only(data, members[2])
        ukm = ber.octets(data, inner)
    algorithm, encrypted_keys = members[-2], ber.children(data, members[-1])
    room -= len(encrypted_keys)
    if room < 0:
        raise LimitPassed("recipient_infos")
    for one in encrypted_keys:
        pair = ber.children(data, one)
        if len(pair) != 2:
            raise Malformed("RecipientEncryptedKey")
        encrypted = pair[1]
        ours = _matching(data, pair[0], keys)
        if ours is None:
            continue
        name, fields = ber.algorithm(data, algorithm, limits)
        wrap = data[fields[0].start : fields[0].end] if fields else b""
        legacy = der_oid(keywrap.TRIPLE_DES_WRAP) in wrap
        originator = _originator_point(data, members[1], ours.pair, limits)
        wrapped = ber.octets(data, encrypted)
        label = (algorithms.KEY_AGREEMENTS.get(name) or algorithms.HKDF_AGREEMENTS.get(name) or (name,))[0]
        agree = partial(_agree, ours.pair, name, wrap, originator, ukm, wrapped, limits)
        return Selected(ours, label, agree, legacy), room
    return None, room


def _originator_point(data: bytes, originator: ber.Slice, pair: KeyPair, limits: Limits) -> bytes | None:
    """The ephemeral public key's bits, when the originator is an originatorKey of our curve (RFC 5753 §3.1.1)."""
    inner = ber.first_slice(data, originator.value, originator.end)
    if inner.tag != 0xA1:
        return None
    members = ber.children(data, inner)
    if len(members) != 2 or members[1].tag != 0x03:
        return None
    name, parameters = ber.algorithm(data, members[0], limits)
    key = pair.key
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePrivateKey) else None
    if name != (EC_PUBLIC_KEY if curve else X25519) or len(parameters) > 1:
        return None
    for one in parameters:
        # NULL, the curve's name, or the curve spelt out: RFC 5480 §2.1.1 forbids the last and BouncyCastle may write it.
        # What it says is not used: the point must lie on the curve of our own certificate.
        named = one.tag == ber.OBJECT_IDENTIFIER and algorithms.CURVES.get(ber.oid(data, one, limits)) == curve
        if one.tag not in {NULL, ber.SEQUENCE} and not named:
            return None
    bits = data[members[1].value : members[1].end]
    return bits[1:] if bits[:1] == b"\x00" else None  # no unused bits


def _agree(
    pair: KeyPair, name: str, wrap: bytes, point: bytes | None, ukm: bytes | None, wrapped: bytes, limits: Limits
) -> bytes | None:
    try:
        wrapping, _ = ber.algorithm(wrap, ber.whole(wrap, ber.SEQUENCE), limits)
        size = algorithms.KEY_WRAPS[wrapping]
        secret = _shared_secret(pair, point)
        if secret is None:
            return None
        info = shared_info(wrap, ukm, size)
        if name in algorithms.KEY_AGREEMENTS:
            kek = X963KDF(algorithms.KEY_AGREEMENTS[name][1](), size, info).derive(secret)
        elif name in algorithms.HKDF_AGREEMENTS:
            kek = HKDF(algorithms.HKDF_AGREEMENTS[name][1](), size, None, info).derive(secret)
        else:
            return None
        return keywrap.unwrap(wrapping, kek, wrapped)
    except (KeyError, IndexError, ValueError, UnsupportedAlgorithm, Malformed, LimitPassed):
        return None


def _shared_secret(pair: KeyPair, point: bytes | None) -> bytes | None:
    if point is None:
        return None
    if isinstance(pair.key, ec.EllipticCurvePrivateKey):
        public = ec.EllipticCurvePublicKey.from_encoded_point(pair.key.curve, point)
        return pair.key.exchange(ec.ECDH(), public)
    if isinstance(pair.key, x25519.X25519PrivateKey):
        return pair.key.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    return None


def shared_info(wrap_algorithm: bytes, ukm: bytes | None, key_size: int) -> bytes:
    """ECC-CMS-SharedInfo in DER (RFC 5753 §7.2): wrap algorithm, ukm, key length in bits."""
    entity = (
        b"" if ukm is None else ber.header(0xA0, len(ber.header(4, len(ukm)) + ukm)) + ber.header(4, len(ukm)) + ukm
    )
    length = ber.header(4, 4) + (8 * key_size).to_bytes(4, "big")
    body = wrap_algorithm + entity + ber.header(0xA2, len(length)) + length
    return ber.header(ber.SEQUENCE, len(body)) + body
