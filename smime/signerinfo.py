"""One SignerInfo judged: attributes by the rules, digest, signature (RFC 5652 §5.3, §5.4, §11; R-ATTRS, R-ALGO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dcc.smime import algorithms, ber, capabilities, signatures
from dcc.smime.certificates import CertificateParts
from dcc.smime.errors import Malformed
from dcc.smime.limits import Limits
from dcc.smime.verdict import SignatureCheck

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
KEY_PREFERENCE = "1.2.840.113549.1.9.16.2.11"
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
    if len(rest) < 2 or rest[0].tag != ber.SEQUENCE or rest[1].tag != ber.OCTET_STRING:
        raise Malformed("SignerInfo")
    if [one.tag for one in rest[2:]] not in ([], [0xA1]):
        raise Malformed("SignerInfo with something behind it")  # R-ASN1: trailing bytes
    return SignerInfo(
        members[1],
        digest,
        raw[rest[0].start : rest[0].end],
        attributes,
        raw[rest[1].value : rest[1].end],
        raw,
        _misplaced(raw, rest[2:]),
    )


def _misplaced(raw: bytes, rest: Sequence[ber.Slice]) -> bool:
    """contentType, messageDigest and signingTime must not be unsigned attributes (RFC 5652 §11.1, §11.2, §11.3)."""
    for unsigned in rest:
        for attribute in ber.children(raw, unsigned):
            name = ber.first_slice(raw, attribute.value, attribute.end)
            if raw[name.start : name.end] in SIGNED_ONLY:
                return True
    return False


def find_certificate(info: SignerInfo, certificates: Sequence[CertificateParts]) -> CertificateParts | None:
    """The enclosed certificate that the signer identifier names."""
    raw, identifier = info.raw, info.identifier
    if identifier.tag == 0x80:
        value = raw[identifier.value : identifier.end]
        return next((c for c in certificates if c.key_identifier == value), None)
    members = ber.children(raw, identifier)
    if len(members) != 2:
        raise Malformed("signer identifier")
    issuer = raw[members[0].start : members[0].end]
    serial = ber.integer(raw, members[1])
    return next((c for c in certificates if c.serial == serial and c.issuer == issuer), None)


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
    certificate = find_certificate(info, certificates)
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
        attributes, is_der = _attributes(info.attributes, limits)
        digest_claimed, ok = _required(attributes, content_type, limits)
        ok = ok and is_der
        if not ok:
            findings.append("R-ATTRS")
        intact = ok and bool(found) and digest_claimed == found
        signing_time, time_ok = _signing_time(attributes)
        if not time_ok:
            findings.append("R-ATTRS")
            intact = False
        preference = _preference(attributes, certificates)
        values = attributes.get(capabilities.CAPABILITIES, [])
        announced = capabilities.read(values[0], limits) if len(values) == 1 else ()
    if info.misplaced:
        findings.append("R-ATTRS")
        intact = False
    verified = signatures.verify(
        info.algorithm, info.signature, info.digest, None if certificate is None else certificate.der,
        attributes=info.attributes, digest=found, limits=limits, post_quantum=post_quantum,
    )  # fmt: skip
    weak = verified.weakness
    if info.digest not in algorithms.TRUSTED_DIGESTS:
        weak = tuple(dict.fromkeys((*weak, info.digest)))
    if weak:
        findings.append("R-ALGO")
    if certificate is None:
        findings.append("R-SIGNERS")
    done = SignatureCheck(
        certificate=None if certificate is None else certificate.der,
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


def _attributes(data: bytes, limits: Limits) -> tuple[dict[str, list[bytes]], bool]:
    """Attribute type -> its values as TLVs, and whether the set is DER: shortest lengths, the attributes in ascending
    order (RFC 5652 §5.3, X.690 §10.1, §11.6). A type that occurs twice keeps both, and is refused where it matters."""
    outer = ber.whole(data, ber.SET)
    is_der = ber.is_shortest(outer)
    found: dict[str, list[bytes]] = {}
    before = b""
    for attribute in ber.children(data, outer):
        members = ber.children(data, attribute)
        if len(members) != 2 or members[1].tag != ber.SET:
            raise Malformed("attribute")
        encoding = data[attribute.start : attribute.end]
        is_der = is_der and before <= encoding and all(map(ber.is_shortest, (attribute, *members)))
        before = encoding
        name = ber.oid(data, members[0], limits)
        values = [data[value.start : value.end] for value in ber.children(data, members[1])]
        if name in found:
            found[name].extend(values or [b""])
        else:
            found[name] = values
    return found, is_der


def _required(attributes: Mapping[str, list[bytes]], content_type: str, limits: Limits) -> tuple[bytes, bool]:
    """contentType and messageDigest once, one value each, contentType equal to eContentType (RFC 5652 §11.1, §11.2)."""
    types, found = attributes.get(CONTENT_TYPE, []), attributes.get(MESSAGE_DIGEST, [])
    if len(types) != 1 or len(found) != 1:
        return b"", False
    kind = ber.oid(types[0], ber.whole(types[0], ber.OBJECT_IDENTIFIER), limits)
    value = ber.whole(found[0], ber.OCTET_STRING)
    return found[0][value.value :], kind == content_type


def _signing_time(attributes: Mapping[str, list[bytes]]) -> tuple[datetime | None, bool]:
    """UTCTime to 2049, GeneralizedTime after, with seconds and Z (RFC 5652 §11.3); (None, True) when absent."""
    values = attributes.get(SIGNING_TIME)
    if values is None:
        return None, True
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


def _preference(attributes: Mapping[str, list[bytes]], certificates: Sequence[CertificateParts]) -> bytes | None:
    """SMIMEEncryptionKeyPreference resolved among the enclosed certificates (RFC 8551 §2.5.3)."""
    values = attributes.get(KEY_PREFERENCE, [])
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
    except Malformed:
        return False
    return bool(found & SIGNED_ONLY)
