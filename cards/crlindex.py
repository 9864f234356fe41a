"""The serial numbers of one CRL in a sorted file: a look-up costs the same with fifty entries or half a million."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import crl as asn1
from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from dcc.cards.certificate import point_names
from dcc.cards.errors import CrlUnreadable

WIDTH = 20  # RFC 5280 §4.1.2.2: serial numbers of at most 20 octets
RECORD = WIDTH + 5  # serial, seconds of revocation, reason
REMOVE_FROM_CRL = 8
HOLD = 6
UNSPECIFIED = 0
OTHER = 1  # the reasons that are not told apart
REASONS = {
    x509.ReasonFlags.unspecified: UNSPECIFIED,
    x509.ReasonFlags.certificate_hold: HOLD,
    x509.ReasonFlags.remove_from_crl: REMOVE_FROM_CRL,
}
FORMAT = 3
BROKEN = (
    ValueError, TypeError, OverflowError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CrlInfo:
    """What one CRL says of itself. Times are aware; `number` None when it has none (RFC 5280 §5.2.3)."""

    sha256: str
    issuer: str  # DER of the issuer's name, hex
    authority_key: str | None  # hex
    number: int | None
    base: int | None  # of a delta: the base it starts from
    this_update: datetime
    next_update: datetime | None
    entries: int
    scope: str  # "all" | "users" | "authorities" | "partial"
    points: tuple[str, ...] = ()  # the distribution points it is limited to; none: no such limit
    verified_by: tuple[str, ...] = ()  # SHA-256 of the keys that its signature was checked with

    @property
    def is_delta(self) -> bool:
        """Whether it lists changes only (RFC 5280 §5.2.4)."""
        return self.base is not None


class SerialIndex:
    """Sorted records in memory or in a mapped file."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._count = len(data) // RECORD

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> bytes:
        return bytes(self._data[place * RECORD : place * RECORD + WIDTH])

    def find(self, serial: int) -> tuple[datetime, int] | None:
        """(revocation time, reason code or 0) of a listed serial, else None."""
        if serial < 0 or serial.bit_length() > 8 * WIDTH:
            return None
        wanted = serial.to_bytes(WIDTH, "big")
        place = bisect_left(self, wanted)
        if place >= self._count or self[place] != wanted:
            return None
        tail = bytes(self._data[place * RECORD + WIDTH : (place + 1) * RECORD])
        return datetime.fromtimestamp(int.from_bytes(tail[:4], "big"), UTC), tail[4]


@dataclass(frozen=True, slots=True)
class IndexedCrl:
    """One CRL: what it says, its serials, and its octets for the signature."""

    info: CrlInfo
    serials: SerialIndex
    der: bytes


def index_crl(der: bytes, cache: Path | None) -> IndexedCrl:
    """Index one DER CRL, or take its index from the cache folder. Raises CrlUnreadable."""
    digest = hashlib.sha256(der).hexdigest()
    if cache is not None:
        known = _from_cache(cache, digest)
        if known is not None:
            return IndexedCrl(known[0], known[1], der)
    try:
        parsed = x509.load_der_x509_crl(der)
        info = _info(parsed, digest, der)
        records = b"".join(sorted(_records(parsed)))
    except BROKEN as error:
        raise CrlUnreadable("ce n'est pas une CRL lisible") from error
    if cache is not None:
        _to_cache(cache, info, records)
    return IndexedCrl(info, SerialIndex(records), der)


def mark_verified(cache: Path | None, crl: IndexedCrl, key: str) -> IndexedCrl:
    """Remember that the signature was checked with this key, so that it is not hashed again."""
    info = replace(crl.info, verified_by=tuple(sorted({*crl.info.verified_by, key})))
    if cache is not None:
        _write(cache / f"{info.sha256}.json", _to_json(info))
    return replace(crl, info=info)


def issuer_of(der: bytes) -> bytes:
    """The issuer's name as it is written: `cryptography` refuses the T61String of old authorities (facts: cards §0.4).

    Raises ValueError, TypeError.
    """
    listed: Any = asn1.CertificateList.load(der)
    return bytes(listed["tbs_cert_list"]["issuer"].dump())


def _info(parsed: x509.CertificateRevocationList, digest: str, der: bytes) -> CrlInfo:
    number = base = key = None
    scope, unknown = "all", False
    points: tuple[str, ...] = ()
    for extension in parsed.extensions:
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            number = value.crl_number
        elif isinstance(value, x509.DeltaCRLIndicator):
            base = value.crl_number
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            key = None if value.key_identifier is None else value.key_identifier.hex()
        elif isinstance(value, x509.IssuingDistributionPoint):
            scope, points = _scope(value, der)
        elif extension.critical and extension.oid != ExtensionOID.FRESHEST_CRL:
            unknown = True  # RFC 5280 §5.2: listed still counts, absent proves nothing
    return CrlInfo(
        digest, issuer_of(der).hex(), key, number, base, parsed.last_update_utc, parsed.next_update_utc, len(parsed),
        "partial" if unknown else scope, points,
    )  # fmt: skip


def _scope(point: x509.IssuingDistributionPoint, der: bytes) -> tuple[str, tuple[str, ...]]:
    """RFC 5280 §6.3.3 (b) (2): which certificates the list speaks of."""
    if point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs:
        return "partial", ()
    points: tuple[str, ...] = ()
    if point.full_name or point.relative_name:
        listed: Any = asn1.CertificateList.load(der)
        own = listed.issuing_distribution_point_value
        points = tuple(point_names(own["distribution_point"], listed.issuer.chosen))
        if not points:
            return "partial", ()  # a kind of name that is not compared
    if point.only_contains_user_certs:
        return "users", points
    return ("authorities" if point.only_contains_ca_certs else "all"), points


def _records(parsed: x509.CertificateRevocationList) -> Iterator[bytes]:
    for entry in parsed:
        seconds = max(0, min(int(entry.revocation_date_utc.timestamp()), 0xFFFFFFFF))
        yield entry.serial_number.to_bytes(WIDTH, "big") + seconds.to_bytes(4, "big") + bytes([_reason(entry)])


def _reason(entry: x509.RevokedCertificate) -> int:
    try:
        found = entry.extensions.get_extension_for_oid(CRLEntryExtensionOID.CRL_REASON).value
    except x509.ExtensionNotFound:
        return UNSPECIFIED
    except BROKEN:
        return OTHER  # listed all the same, and never lifted
    if not isinstance(found, x509.CRLReason):
        return UNSPECIFIED
    return REASONS.get(found.reason, OTHER)


def _from_cache(cache: Path, digest: str) -> tuple[CrlInfo, SerialIndex] | None:
    try:
        raw = json.loads((cache / f"{digest}.json").read_bytes())
        if raw.pop("format") != FORMAT:
            return None
        raw["this_update"] = datetime.fromisoformat(raw["this_update"])
        raw["next_update"] = None if raw["next_update"] is None else datetime.fromisoformat(raw["next_update"])
        info = CrlInfo(**{**raw, "points": tuple(raw["points"]), "verified_by": tuple(raw["verified_by"])})
        path = cache / f"{digest}.idx"
        if path.stat().st_size != info.entries * RECORD:
            return None
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if info.entries else b""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent or damaged: indexed anew
    return info, SerialIndex(data)


def _to_cache(cache: Path, info: CrlInfo, records: bytes) -> None:
    _write(cache / f"{info.sha256}.idx", records)
    _write(cache / f"{info.sha256}.json", _to_json(info))


def _to_json(info: CrlInfo) -> bytes:
    next_update = None if info.next_update is None else info.next_update.isoformat()
    told = {**asdict(info), "format": FORMAT, "this_update": info.this_update.isoformat(), "next_update": next_update}
    return json.dumps(told).encode()


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside.write_bytes(data)
        aside.replace(path)
    except OSError:
        # A full disk or a home that cannot be written only makes the next call slower: the list itself is read.
        with suppress(OSError):
            aside.unlink()
