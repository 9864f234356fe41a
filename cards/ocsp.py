"""OCSP: the question about one certificate, and what an answer is worth (RFC 6960).

An answer counts when it speaks of this very certificate, is signed by the issuer or by somebody the issuer named for
it, and is fresh. "unknown" is no answer; "revoked" and "good" are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import algos, core, ocsp
from asn1crypto import x509 as asn1
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from dcc.cards.certificate import BROKEN, CardCertificate, read_certificate
from dcc.cards.crl import Revocation
from dcc.cards.errors import Unparseable
from dcc.cards.signature import TRUSTED_HASHES, signed_by, verify_octets

DEFAULT_AGE = timedelta(days=1)
SKEW = timedelta(minutes=5)
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
MOST_CERTIFICATES = 10
HASHES: dict[str, Callable[[bytes], Any]] = {
    "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """What one answer says. `problem` None: it counts; else why it does not."""

    status: Revocation
    problem: str | None
    this_update: datetime | None = None
    next_update: datetime | None = None
    produced_at: datetime | None = None
    responder: CardCertificate | None = None  # None: the issuer itself
    responder_name: str = ""


def question(
    certificate: CardCertificate, issuer: CardCertificate, digest: str = "sha1", nonce: bytes | None = None
) -> bytes:
    """An OCSP request, DER. SHA-1 names the certificate here, as every responder expects; it protects nothing."""
    asked = ocsp.Request({"req_cert": _certificate_id(certificate, issuer, digest)})
    fields: dict[str, Any] = {"request_list": [asked]}
    if nonce is not None:  # optional (R-REVOC): many responders answer from a store
        fields["request_extensions"] = [{"extn_id": "nonce", "extn_value": core.OctetString(nonce)}]
    return bytes(ocsp.OCSPRequest({"tbs_request": fields}).dump())


def read_answer(
    der: bytes,
    certificate: CardCertificate,
    issuer: CardCertificate,
    at: datetime,
    *,
    age: timedelta = DEFAULT_AGE,
    nonce: bytes | None = None,
) -> OcspAnswer:
    """What this answer is worth for this certificate at this time. `nonce`: the one asked with, if it must come back."""
    try:
        return _read(der, certificate, issuer, at, age, nonce)
    except (*BROKEN, UnsupportedAlgorithm):
        return _none("réponse OCSP illisible")


def _read(
    der: bytes, certificate: CardCertificate, issuer: CardCertificate, at: datetime, age: timedelta, nonce: bytes | None
) -> OcspAnswer:
    whole: Any = ocsp.OCSPResponse.load(der, strict=True)
    if whole["response_status"].native != "successful":
        return _none(f"le répondeur OCSP répond {whole['response_status'].native}")
    if whole["response_bytes"]["response_type"].native != "basic_ocsp_response":
        return _none("type de réponse OCSP inconnu")
    basic = whole["response_bytes"]["response"].parsed
    data = basic["tbs_response_data"]
    responder = _signer(basic, issuer, at)
    if responder is None:
        return _none("le signataire de la réponse OCSP n'est pas autorisé par l'autorité")
    if nonce is not None and not _same_nonce(data, nonce):
        return _none("la réponse OCSP ne répond pas à cette demande")
    single = next((one for one in data["responses"] if _speaks_of(one["cert_id"], certificate, issuer)), None)
    if single is None:
        return _none("la réponse OCSP parle d'un autre certificat")
    delegated = None if responder.sha256 == issuer.sha256 else responder
    this_update, next_update = single["this_update"].native, single["next_update"].native
    answer = OcspAnswer(
        _status(single["cert_status"].name), _age_problem(this_update, next_update, at, age), this_update, next_update,
        data["produced_at"].native, delegated, responder.subject,
    )  # fmt: skip
    if answer.status is Revocation.REVOKED and at >= this_update:
        # I10: revoked stays revoked, whatever the age of the answer
        return OcspAnswer(
            answer.status, None, this_update, next_update, answer.produced_at, delegated, responder.subject
        )
    return answer


def _none(problem: str) -> OcspAnswer:
    return OcspAnswer(Revocation.UNKNOWN, problem)


def _status(name: str) -> Revocation:
    return {"good": Revocation.GOOD, "revoked": Revocation.REVOKED}.get(name, Revocation.UNKNOWN)


def _age_problem(this_update: datetime, next_update: datetime | None, at: datetime, age: timedelta) -> str | None:
    """RFC 6960 §4.2.2.1: not before its time, not after its end; without an end, no older than the settings say."""
    if this_update > at + SKEW:
        return "réponse OCSP datée du futur"
    if next_update is not None and at > next_update + SKEW:
        return "réponse OCSP périmée"
    if next_update is None and at - this_update > age:
        return "réponse OCSP trop ancienne"
    return None


def _signer(basic: Any, issuer: CardCertificate, at: datetime) -> CardCertificate | None:
    """RFC 6960 §4.2.2.2: the issuer, or one whom the issuer itself certified for OCSP, named by name or by key."""
    named = basic["tbs_response_data"]["responder_id"]
    for one in _candidates(basic, issuer):
        if not _is_named(named, one):
            continue
        if one.sha256 != issuer.sha256 and not _authorised(one, issuer, at):
            continue
        if basic["signature_algorithm"].hash_algo not in TRUSTED_HASHES:
            # Whoever asks has a word in what is signed: a collision of SHA-1 would say what it likes (R-ALGO)
            return None
        key: Any = load_der_public_key(asn1.Certificate.load(one.der).public_key.dump())
        try:
            verify_octets(
                key, basic["signature_algorithm"], basic["signature"].native, basic["tbs_response_data"].dump()
            )
        except (InvalidSignature, *BROKEN):
            continue
        return one
    return None


def _candidates(basic: Any, issuer: CardCertificate) -> Iterator[CardCertificate]:
    yield issuer
    for one in list(basic["certs"] or ())[:MOST_CERTIFICATES]:
        try:
            yield read_certificate(one.dump())
        except Unparseable:
            continue  # another may be the signer's


def _is_named(named: Any, one: CardCertificate) -> bool:
    if named.name == "by_name":
        return bool(named.chosen.untag().dump() == one.subject_der)
    key = asn1.Certificate.load(one.der).public_key["public_key"].contents[1:]  # RFC 6960 §4.2.1: without unused bits
    return bool(named.chosen.native == hashlib.sha1(key, usedforsecurity=False).digest())


def _authorised(one: CardCertificate, issuer: CardCertificate, at: datetime) -> bool:
    extended = asn1.Certificate.load(one.der).extended_key_usage_value
    purposes = () if extended is None else tuple(purpose.dotted for purpose in extended)
    in_dates = one.not_before <= at <= one.not_after
    trusted = one.signature_hash in TRUSTED_HASHES
    issued = trusted and one.issuer_der == issuer.subject_der and bool(signed_by(one, issuer))
    return OCSP_SIGNING in purposes and in_dates and issued


def _speaks_of(named: Any, certificate: CardCertificate, issuer: CardCertificate) -> bool:
    digest = named["hash_algorithm"]["algorithm"].native
    if digest not in HASHES:
        return False
    wanted = _certificate_id(certificate, issuer, digest)
    fields = ("issuer_name_hash", "issuer_key_hash", "serial_number")
    return all(named[one].native == wanted[one].native for one in fields)


def _certificate_id(certificate: CardCertificate, issuer: CardCertificate, digest: str) -> Any:
    key = asn1.Certificate.load(issuer.der).public_key["public_key"].contents[1:]
    return ocsp.CertId({
        "hash_algorithm": algos.DigestAlgorithm({"algorithm": digest}),
        "issuer_name_hash": HASHES[digest](certificate.issuer_der).digest(),
        "issuer_key_hash": HASHES[digest](bytes(key)).digest(),
        "serial_number": certificate.serial,
    })  # fmt: skip


def _same_nonce(data: Any, nonce: bytes) -> bool:
    found = [one["extn_value"].parsed for one in data["response_extensions"] or () if one["extn_id"].native == "nonce"]
    return [one.native for one in found] == [nonce]
