"""The few parts of a certificate that CMS matching needs, sliced without interpreting the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from dcc.smime import ber
from dcc.smime.errors import Malformed
from dcc.smime.limits import Limits

MOST_EXTENSIONS = Limits().extensions
SUBJECT_KEY_IDENTIFIER = bytes.fromhex("0603551d0e")


@dataclass(frozen=True, slots=True)
class CertificateParts:
    """Raw issuer, serial number and subject key identifier of one certificate."""

    der: bytes
    issuer: bytes
    serial: int
    subject: bytes
    public_key: bytes  # SubjectPublicKeyInfo, DER
    key_identifier: bytes | None


@lru_cache(maxsize=256)  # the gateway's own and its readers' certificates come again in every mail
def parts(der: bytes, extensions: int = MOST_EXTENSIONS) -> CertificateParts:
    """Slice one DER certificate of so many extensions at most. Raises Malformed, LimitPassed."""
    fields = ber.children(der, ber.whole(der, ber.SEQUENCE))
    if len(fields) != 3:
        raise Malformed("not a certificate")
    tbs = ber.children(der, fields[0])
    if tbs and tbs[0].tag == 0xA0:
        tbs = tbs[1:]
    if len(tbs) < 6:
        raise Malformed("not a certificate")
    serial = ber.integer(der, tbs[0])
    identifier = None
    for one in tbs[6:]:
        if one.tag == 0xA3:
            identifier = _key_identifier(der, one, extensions)
    raw = [der[one.start : one.end] for one in tbs[2:6]]
    return CertificateParts(der, raw[0], serial, raw[2], raw[3], identifier)


def _key_identifier(der: bytes, extensions: ber.Slice, most: int) -> bytes | None:
    for extension in ber.children(der, ber.only(der, extensions), most, "extensions"):
        members = ber.children(der, extension, 3)
        if members and der[members[0].start : members[0].end] == SUBJECT_KEY_IDENTIFIER:
            value = members[-1]
            inner = ber.first_slice(der, value.value, value.end)
            return der[inner.value : inner.end]
    return None
