"""One SignerInfo judged: attributes by the rules, digest, signature (RFC 5652 §5.3, §5.4, §11; R-ATTRS, R-ALGO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dcc.smime import algorithms, ber, capabilities, signatures, signingcertificate
from dcc.smime.attributes import Attributes
from dcc.smime.certificates import CertificateParts
from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits
from dcc.smime.signatures import Verified
from dcc.smime.verdict import SignatureCheck

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
KEY_PREFERENCE = "1.2.840.113549.1.9.16.2.11"
MOST_CANDIDATES = (
    3  # certificates of one identifier that are tried: ten signers in three layers stay below 100 (R-PATH)
)
DATA = "1.2.840.113549.1.7.1"
SIGNED_ONLY = frozenset(bytes.fromhex("06092a864886f70d0109" + last) for last in ("03", "04", "05"))


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """The parts of one SignerInfo, sliced; attributes stay raw octets."""

    identifier: ber.Slice
    digest: str  # name, or the dotted identifier of an unknown one
    algorithm: bytes  # signatureAlgorithm, DER
    attributes: bytes | None  # signedAttrs as a SET OF (0xA0 replaced by 0x31), what the signature covers
    signature: bytes
    raw: bytes
    misplaced: bool  # an attribute that must be signed stands among the unsigned ones


def read(raw: bytes, limits: Limits) -> SignerInfo:
    """Slice one SignerInfo. Raises Malformed."""
    members = ber.children(raw, ber.whole(raw, ber.SEQUENCE))
    if len(members) < 5:
        raise Malformed("SignerInfo")
    ber.integer(raw, members[0])
    name, _ = ber.algorithm(raw, members[2], limits)
    digest = algorithms.DIGESTS[name][0] if name in algorithms.DIGESTS else name
    rest = members[3:]
    attributes = None
    if rest[0].tag == 0xA0:
        attributes = b"\x31" + raw[rest[0].start + 1 : rest[0].end]  # RFC 5652 §5.4
        rest = rest[1:]
    if len(rest) < 2 or rest[0].tag != ber.SEQUENCE or rest[1].tag & ~ber.CONSTRUCTED != ber.OCTET_STRING:
        raise Malformed("SignerInfo")
    if [one.tag for one in rest[2:]] not in ([], [0xA1]):
        raise Malformed("SignerInfo with something behind it")  # R-ASN1: trailing bytes
    return SignerInfo(
        members[1],
        digest,
        raw[rest[0].start : rest[0].end],
        attributes,
        ber.octets(raw, rest[1]),
        raw,
        _misplaced(raw, rest[2:], limits),
    )


def _misplaced(raw: bytes, rest: Sequence[ber.Slice], limits: Limits) -> bool:
    """contentType, messageDigest and signingTime must not be unsigned attributes (RFC 5652 §11.1, §11.2, §11.3)."""
    for unsigned in rest:
        for attribute in ber.children(raw, unsigned, limits.attributes, "attributes"):
            name = ber.first_slice(raw, attribute.value, attribute.end)
            if raw[name.start : name.end] in SIGNED_ONLY:
                return True
    return False


def find_certificates(info: SignerInfo, certificates: Sequence[CertificateParts]) -> list[bytes]:
    """The enclosed certificates (DER) that the signer identifier names: several may have one key identifier, and the set
    is not signed."""
    raw, identifier = info.raw, info.identifier
    if identifier.tag & ~ber.CONSTRUCTED == 0x80:
        value = ber.octets(raw, identifier)
        found = [c.der for c in certificates if c.key_identifier == value]
    else:
        members = ber.children(raw, identifier)
        if len(members) != 2:
            raise Malformed("signer identifier")
        issuer = raw[members[0].start : members[0].end]
        serial = ber.integer(raw, members[1])
        found = [c.der for c in certificates if c.serial == serial and c.issuer == issuer]
    return list(dict.fromkeys(found))


def check(
    info: SignerInfo,
    content_type: str,
    digests: Mapping[str, bytes],
    certificates: Sequence[CertificateParts],
    limits: Limits,
    *,
    post_quantum: bool = False,
) -> tuple[SignatureCheck, tuple[str, ...]]:
    """Judge one signer over the content's digests; the findings name the rules that failed. Raises Malformed."""
    candidates = find_certificates(info, certificates)
    found = digests.get(info.digest, b"")
    findings: list[str] = []
    intact, signing_time, preference = bool(found), None, None
    announced: tuple[str, ...] = ()
    if info.attributes is None:
        # RFC 5652 §5.3: attributes must be present unless the content type is data.
        if content_type != DATA:
            intact = False
            findings.append("R-ATTRS")
        digest_claimed = found
    else:
        attributes = Attributes(info.attributes, limits)
        digest_claimed, ok = _required(attributes, content_type, limits)
        named = signingcertificate.read(attributes, limits)
        if named is not None and candidates:  # RFC 5035 §5.4.1: that certificate and no other of the same key
            candidates = [one for one in candidates if signingcertificate.is_named(one, named)]
            ok = ok and bool(candidates)
        signing_time, time_ok = _signing_time(attributes)
        ok = ok and time_ok and attributes.is_der
        if not ok:
            findings.append("R-ATTRS")
        intact = ok and bool(found) and digest_claimed == found
        preference = _preference(attributes, certificates)
        values = attributes.values(capabilities.CAPABILITIES)
        announced = capabilities.read(values[0], limits) if len(values) == 1 else ()
    if info.misplaced:
        findings.append("R-ATTRS")
        intact = False
    certificate, verified = _verified(info, candidates, found, limits, post_quantum=post_quantum)
    weak = verified.weakness
    if info.digest not in algorithms.TRUSTED_DIGESTS:
        weak = tuple(dict.fromkeys((*weak, info.digest)))
    if weak:
        findings.append("R-ALGO")
    if certificate is None:
        findings.append("R-SIGNERS")
    done = SignatureCheck(
        certificate=certificate,
        intact=intact,
        valid=verified.valid,
        weak=bool(weak),
        weakness=weak,
        signing_time=signing_time,
        digest_algorithm=info.digest,
        signature_algorithm=verified.family,
        message_digest=digest_claimed,
        encryption_key_preference=preference,
        capabilities=announced,
    )
    return done, tuple(findings)


def _verified(
    info: SignerInfo, candidates: Sequence[bytes], digest: bytes, limits: Limits, *, post_quantum: bool
) -> tuple[bytes | None, Verified]:
    """The first of the certificates whose key made the signature, else the first; None where there is none."""
    tried: list[tuple[bytes | None, Verified]] = []
    for one in candidates[:MOST_CANDIDATES] or (None,):
        verified = signatures.verify(
            info.algorithm, info.signature, info.digest, one, attributes=info.attributes, digest=digest, limits=limits,
            post_quantum=post_quantum,
        )  # fmt: skip
        if verified.valid:
            return one, verified
        tried.append((one, verified))
    return tried[0]


def _required(attributes: Attributes, content_type: str, limits: Limits) -> tuple[bytes, bool]:
    """contentType and messageDigest once, one value each, contentType equal to eContentType (RFC 5652 §11.1, §11.2)."""
    types, found = attributes.values(CONTENT_TYPE), attributes.values(MESSAGE_DIGEST)
    if len(types) != 1 or len(found) != 1:
        return b"", False
    kind = ber.oid(types[0], ber.whole(types[0], ber.OBJECT_IDENTIFIER), limits)
    value = ber.whole(found[0], ber.OCTET_STRING)
    return found[0][value.value :], kind == content_type


def _signing_time(attributes: Attributes) -> tuple[datetime | None, bool]:
    """UTCTime to 2049, GeneralizedTime after, with seconds and Z (RFC 5652 §11.3); (None, True) when absent."""
    if SIGNING_TIME not in attributes:
        return None, True
    values = attributes.values(SIGNING_TIME)
    if len(values) != 1 or not values[0]:
        return None, False
    one = ber.first_slice(values[0], 0, len(values[0]))
    text = values[0][one.value : one.end].decode("ascii", "replace")
    years = {0x17: 2, 0x18: 4}.get(one.tag, 0)
    digits = text.removesuffix("Z")
    if not years or one.end != len(values[0]) or digits == text or len(digits) != years + 10 or not digits.isdecimal():
        return None, False
    year = int(digits[:years])
    if years == 2:  # RFC 5280 §4.1.2.5.1: two-digit years 50..99 are 19xx
        year += 1900 if year >= 50 else 2000
    month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(years, years + 10, 2))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC), True
    except ValueError:
        return None, False


def _preference(attributes: Attributes, certificates: Sequence[CertificateParts]) -> bytes | None:
    """SMIMEEncryptionKeyPreference resolved among the enclosed certificates (RFC 8551 §2.5.3)."""
    values = attributes.values(KEY_PREFERENCE)
    if len(values) != 1 or not values[0]:
        return None
    data = values[0]
    choice = ber.first_slice(data, 0, len(data))
    if choice.tag == 0xA0:
        members = ber.children(data, choice)
        if len(members) == 1 and members[0].tag == ber.SEQUENCE:
            members = ber.children(data, members[0])
        if len(members) == 2:
            issuer = data[members[0].start : members[0].end]
            serial = ber.integer(data, members[1])
            return next((c.der for c in certificates if c.serial == serial and c.issuer == issuer), None)
    if choice.tag in {0x82, 0xA2}:
        value = data[choice.value : choice.end]
        return next((c.der for c in certificates if c.key_identifier and value.endswith(c.key_identifier)), None)
    return None


def is_attributes(data: bytes) -> bool:
    """Whether content is itself a SET of signed attributes: a signature without attributes over it was made over
    another message's attributes (Strenzke 2023; RFC 8933 §5; R-ATTRS)."""
    if not data:
        return False
    try:
        members = ber.children(data, ber.whole(data, ber.SET))
        names = [ber.first_slice(data, one.value, one.end) for one in members if one.tag == ber.SEQUENCE]
        found = {data[name.start : name.end] for name in names}
    except LimitPassed:
        return True  # a SET to its last octet, of more elements than anything that is read here
    except Malformed:
        return False
    return bool(found & SIGNED_ONLY)
