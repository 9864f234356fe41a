"""Opposition lists: which serials are opposed, and whether the list is fresh enough to say that one is not (I10).

Listed on a list of any age: opposed. Not listed and the list is past nextUpdate, or missing: unknown, never good.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from asn1crypto import pem
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dcc.cards.certificate import CardCertificate
from dcc.cards.crlindex import REMOVE_FROM_CRL, CrlInfo, IndexedCrl, index_crl, mark_verified
from dcc.cards.errors import CrlUnreadable


class Revocation(StrEnum):
    """Three answers: could not find out is neither yes nor no."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RevocationStatus:
    """The answer for one certificate, and what it rests on."""

    status: Revocation
    text: str
    lists: tuple[CrlInfo, ...] = ()
    revoked_at: datetime | None = None
    refused: tuple[CrlInfo, ...] = ()  # lists with a lower number than the one held: rollback


@dataclass(frozen=True, slots=True)
class _Lists:
    base: IndexedCrl | None
    deltas: tuple[IndexedCrl, ...]
    refused: tuple[CrlInfo, ...]
    unverified: int


class CrlStore:
    """Every list known, by issuer; indexes are kept in a cache folder. Safe to use from several threads."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._by_issuer: dict[str, list[IndexedCrl]] = {}
        self._known: set[str] = set()
        self._resolved: dict[str, _Lists] = {}
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[int, int]] = {}
        self.generation = 0

    def add(self, data: bytes) -> tuple[CrlInfo, ...]:
        """Add the CRL or CRLs of one file (DER or PEM). Raises CrlUnreadable."""
        added = []
        for der in _ders(data):
            crl = index_crl(der, self._cache)
            with self._lock:
                if crl.info.sha256 not in self._known:
                    self._known.add(crl.info.sha256)
                    self._by_issuer.setdefault(crl.info.issuer, []).append(crl)
                    self._resolved.clear()
                    self.generation += 1
            added.append(crl.info)
        return tuple(added)

    def add_file(self, path: Path) -> None:
        """Add the lists of a file; one that has not changed since costs a stat. Raises OSError, CrlUnreadable."""
        found = path.stat()
        mark = (found.st_mtime_ns, found.st_size)
        if self._files.get(path) != mark:
            self.add(path.read_bytes())
            self._files[path] = mark

    def infos(self) -> tuple[CrlInfo, ...]:
        """Every list held."""
        with self._lock:
            return tuple(crl.info for lists in self._by_issuer.values() for crl in lists)

    def status(self, certificate: CardCertificate, issuer: CardCertificate, at: datetime) -> RevocationStatus:
        """Whether `certificate`, issued by `issuer`, is opposed at this time."""
        lists = self._lists(issuer)
        if lists.base is None:
            return self._without_base(certificate, lists)
        used = (lists.base.info, *(delta.info for delta in lists.deltas))
        found = lists.base.serials.find(certificate.serial)
        for delta in lists.deltas:  # by number: the newest word counts
            changed = delta.serials.find(certificate.serial)
            if changed is not None:
                found = None if changed[1] == REMOVE_FROM_CRL else changed
        if found is not None:
            return RevocationStatus(
                Revocation.REVOKED, "inscrite sur la liste d'opposition", used, found[0], lists.refused
            )
        newest = max(used, key=lambda info: info.this_update)
        if newest.next_update is None or at > newest.next_update:
            return RevocationStatus(Revocation.UNKNOWN, "liste d'opposition périmée", used, None, lists.refused)
        if not _covers(lists.base.info, certificate):
            return RevocationStatus(Revocation.UNKNOWN, "liste d'opposition partielle", used, None, lists.refused)
        return RevocationStatus(Revocation.GOOD, "absente de la liste d'opposition", used, None, lists.refused)

    def _without_base(self, certificate: CardCertificate, lists: _Lists) -> RevocationStatus:
        for delta in reversed(lists.deltas):
            found = delta.serials.find(certificate.serial)
            if found is not None and found[1] != REMOVE_FROM_CRL:
                return RevocationStatus(
                    Revocation.REVOKED, "inscrite sur la liste différentielle", (delta.info,), found[0]
                )
        text = "liste d'opposition sans signature valable" if lists.unverified else "aucune liste d'opposition"
        return RevocationStatus(Revocation.UNKNOWN, text)

    def _lists(self, issuer: CardCertificate) -> _Lists:
        with self._lock:
            known = self._resolved.get(issuer.sha256)
            if known is not None:
                return known
            candidates = list(self._by_issuer.get(issuer.subject_der.hex(), ()))
            generation = self.generation
        verify = _verifier(issuer)
        good: list[IndexedCrl] = []
        for crl in candidates:
            if (
                crl.info.authority_key
                and issuer.key_identifier
                and crl.info.authority_key != issuer.key_identifier.hex()
            ):
                continue
            checked = self._verified(crl, verify)
            if checked is not None:
                good.append(checked)
        resolved = _choose(good, len(candidates) - len(good))
        with self._lock:
            if self.generation == generation:
                self._resolved[issuer.sha256] = resolved
        return resolved

    def _verified(self, crl: IndexedCrl, verify: tuple[str, Callable[[bytes], bool]] | None) -> IndexedCrl | None:
        if verify is None or crl.der is None:
            return None
        key, check = verify
        if key in crl.info.verified_by:
            return crl
        return mark_verified(self._cache, crl, key) if check(crl.der) else None


def _rank(crl: IndexedCrl) -> tuple[int, datetime]:
    return (-1 if crl.info.number is None else crl.info.number, crl.info.this_update)


def _choose(good: list[IndexedCrl], unverified: int) -> _Lists:
    """The base of the highest number; lower ones are refused (rollback), deltas must start at or below it."""
    bases = sorted((crl for crl in good if not crl.info.is_delta), key=_rank)
    base = bases[-1] if bases else None
    number = -1 if base is None or base.info.number is None else base.info.number
    deltas = sorted(
        (
            crl
            for crl in good
            if crl.info.is_delta and _rank(crl)[0] > number and (crl.info.base or 0) <= max(number, 0)
        ),
        key=_rank,
    )
    refused = tuple(crl.info for crl in bases[:-1] if _rank(crl)[0] < number)
    return _Lists(base, tuple(deltas), refused, unverified)


def _verifier(issuer: CardCertificate) -> tuple[str, Callable[[bytes], bool]] | None:
    """(SHA-256 of the issuer's key, check of a CRL's signature); None when the issuer may not sign CRLs."""
    try:
        loaded = x509.load_der_x509_certificate(issuer.der)
        key = loaded.public_key()
        usage = loaded.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.crl_sign:  # RFC 5280 §6.3.3 (f)
            return None
    except x509.ExtensionNotFound:
        pass
    except (ValueError, UnsupportedAlgorithm):
        return None
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def check(der: bytes) -> bool:
        try:
            return x509.load_der_x509_crl(der).is_signature_valid(key)  # type: ignore[arg-type]
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False

    return digest, check


def signed_by(data: bytes, issuer: CardCertificate) -> bool:
    """Whether this authority signed every list of a file (DER or PEM). Raises CrlUnreadable."""
    verify = _verifier(issuer)
    return verify is not None and all(verify[1](der) for der in _ders(data))


def _covers(info: CrlInfo, certificate: CardCertificate) -> bool:
    authority = certificate.usage.value == "CA"
    return info.scope in {"all", "authorities" if authority else "users"}


def _ders(data: bytes) -> list[bytes]:
    if b"-----BEGIN" not in data:
        return [data]
    try:
        found = [bytes(der) for name, _, der in pem.unarmor(data, multiple=True) if name == "X509 CRL"]
    except ValueError as error:
        raise CrlUnreadable("PEM illisible") from error
    if not found:
        raise CrlUnreadable("le fichier ne contient pas de CRL")
    return found
