"""Opposition lists: which serials are opposed, and whether the list is fresh enough to say that one is not (I10).

Listed on a list of any age: opposed. Not listed and the list is past nextUpdate, or missing: unknown, never good.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from asn1crypto import pem
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from dcc.cards.certificate import CardCertificate
from dcc.cards.crlindex import BROKEN, CrlInfo, IndexedCrl, index_crl, issuer_of, mark_verified
from dcc.cards.crlscope import Scope, Standing, listed, scopes_of, standing
from dcc.cards.errors import CrlUnreadable

TEXTS = {
    Standing.FRESH: "absente de la liste d'opposition",
    Standing.STALE: "liste d'opposition périmée",
    Standing.PARTIAL: "liste d'opposition partielle",
    Standing.CHANGES_ONLY: "liste d'opposition différentielle sans sa liste complète",
}


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
    unverified: int = 0  # lists in the issuer's name that it did not sign
    stale: bool = False  # unknown for no other reason than that the list is past its next update


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The lists that one authority signed: by scope, and all of them for questions about the past."""

    scopes: tuple[Scope, ...]
    good: tuple[IndexedCrl, ...]
    unverified: int


class CrlStore:
    """Every list known, by issuer; indexes are kept in a cache folder. Safe to use from several threads."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._by_issuer: dict[str, list[IndexedCrl]] = {}
        self._known: set[str] = set()
        self._resolved: dict[str, _Resolved] = {}
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[tuple[int, int], tuple[CrlInfo, ...]]] = {}
        self.generation = 0

    def add(self, data: bytes) -> tuple[CrlInfo, ...]:
        """Add the CRL or CRLs of one file (DER or PEM). Raises CrlUnreadable."""
        added = []
        for der in ders(data):
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
        known = self._files.get(path)
        if known is None or known[0] != mark:
            self._files[path] = (mark, self.add(path.read_bytes()))

    def retire(self, present: Container[Path], needed: Container[str]) -> int:
        """Let go of lists whose file has gone and whose SHA-256 is not `needed`; returns how many.

        A list that a newer one replaced would else stay in memory for as long as the program runs.
        """
        gone = [path for path in self._files if path not in present]
        named = {info.sha256 for path in gone for info in self._files[path][1] if info.sha256 not in needed}
        with self._lock:
            for lists in self._by_issuer.values():
                lists[:] = [crl for crl in lists if crl.info.sha256 not in named]
            self._known -= named
            if named:
                self._resolved.clear()
                self.generation += 1
        for path in gone:
            if all(info.sha256 not in self._known for info in self._files[path][1]):
                del self._files[path]
        return len(named)

    def octets(self, sha256: str) -> bytes | None:
        """One list as it was published, DER."""
        with self._lock:
            found = (crl.der for lists in self._by_issuer.values() for crl in lists if crl.info.sha256 == sha256)
            return next(found, None)

    def infos(self) -> tuple[CrlInfo, ...]:
        """Every list held."""
        with self._lock:
            return tuple(crl.info for lists in self._by_issuer.values() for crl in lists)

    def status(self, certificate: CardCertificate, issuer: CardCertificate, at: datetime) -> RevocationStatus:
        """Whether `certificate`, issued by `issuer`, is opposed at this time."""
        known = self._resolve(issuer)
        scopes = known.scopes
        found = listed(certificate.serial, scopes)
        if found is None and at <= certificate.not_after:
            # Expired certificates leave the lists (facts: cards §6): of a certificate judged in its time, lists made
            # after its end say nothing, and those of its time do
            past = tuple(crl for crl in known.good if crl.info.this_update <= certificate.not_after)
            if len(past) < len(known.good):
                scopes = scopes_of(past)
                found = listed(certificate.serial, scopes)
        refused = tuple(info for scope in scopes for info in scope.refused)
        if found is not None:
            text = "inscrite sur la liste d'opposition"
            return RevocationStatus(Revocation.REVOKED, text, found.scope.lists, found.at, refused, known.unverified)
        best = max((standing(scope, certificate, at) for scope in scopes), key=lambda one: one[0], default=None)
        if best is None:
            return RevocationStatus(Revocation.UNKNOWN, _why_none(known), (), None, refused, known.unverified)
        place, scope = best
        status = Revocation.GOOD if place is Standing.FRESH else Revocation.UNKNOWN
        stale = place is Standing.STALE
        return RevocationStatus(status, TEXTS[place], scope.lists, None, refused, known.unverified, stale)

    def _resolve(self, issuer: CardCertificate) -> _Resolved:
        with self._lock:
            known = self._resolved.get(issuer.sha256)
            if known is not None:
                return known
            candidates = list(self._by_issuer.get(issuer.subject_der.hex(), ()))
            generation = self.generation
        verify = _verifier(issuer)
        good = [checked for crl in candidates if (checked := self._verified(crl, issuer, verify)) is not None]
        resolved = _Resolved(scopes_of(good), tuple(good), len(candidates) - len(good))
        with self._lock:
            verified = {crl.info.sha256: crl for crl in good}
            held = self._by_issuer.get(issuer.subject_der.hex(), [])
            held[:] = [verified.get(crl.info.sha256, crl) for crl in held]  # no signature is checked twice
            if self.generation == generation:
                self._resolved[issuer.sha256] = resolved
        return resolved

    def _verified(
        self, crl: IndexedCrl, issuer: CardCertificate, verify: tuple[str, Callable[[bytes], bool]] | None
    ) -> IndexedCrl | None:
        named, own = crl.info.authority_key, issuer.key_identifier
        if verify is None or (named and own and named != own.hex()):
            return None
        key, check = verify
        if key in crl.info.verified_by:
            return crl
        return mark_verified(self._cache, crl, key) if check(crl.der) else None


def _why_none(known: _Resolved) -> str:
    if known.good:
        return "listes d'opposition postérieures à la fin du certificat"
    return "liste d'opposition sans signature valable" if known.unverified else "aucune liste d'opposition"


def _verifier(issuer: CardCertificate) -> tuple[str, Callable[[bytes], bool]] | None:
    """(SHA-256 of the issuer's key, check of a CRL's signature); None when the issuer may not sign CRLs."""
    try:
        authority: Any = asn1.Certificate.load(issuer.der)
        usage = authority.key_usage_value
        if usage is not None and "crl_sign" not in usage.native:  # RFC 5280 §6.3.3 (f)
            return None
        key: Any = load_der_public_key(authority.public_key.dump())
    except (*BROKEN, UnsupportedAlgorithm):
        return None
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def check(der: bytes) -> bool:
        try:
            return x509.load_der_x509_crl(der).is_signature_valid(key)
        except (*BROKEN, InvalidSignature, UnsupportedAlgorithm):
            return False

    return digest, check


def signed_by(data: bytes, issuer: CardCertificate) -> bool:
    """Whether this authority signed every list of a file (DER or PEM). Raises CrlUnreadable."""
    verify = _verifier(issuer)
    return verify is not None and all(verify[1](der) for der in ders(data))


def issuer_name(der: bytes) -> bytes:
    """The name of the authority that a list says it is of, DER. Raises CrlUnreadable."""
    try:
        return issuer_of(der)
    except BROKEN as error:
        raise CrlUnreadable("ce n'est pas une CRL lisible") from error


def ders(data: bytes) -> list[bytes]:
    """The lists of one file, DER or PEM, as DER; not looked into. Raises CrlUnreadable."""
    if b"-----BEGIN" not in data:
        return [data]
    try:
        found = [bytes(der) for name, _, der in pem.unarmor(data, multiple=True) if name == "X509 CRL"]
    except ValueError as error:
        raise CrlUnreadable("PEM illisible") from error
    if not found:
        raise CrlUnreadable("le fichier ne contient pas de CRL")
    return found
