"""OCSP: whose answer counts, for which certificate, at which time, and what it changes in a verdict."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from cardworld import (
    DAY,
    HOUR,
    NOW,
    authority,
    card,
    crl,
    failures,
    fresh,
    issuer,
    judged,
    key,
    leaf,
    resigned,
    serial_of,
)
from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import Revocation
from dcc.cards.issue_profiles import CARD_SIGNATURE
from dcc.cards.ocsp import OcspAnswer, question, read_answer
from dcc.cards.opposition import Beside
from dcc.cards.verdict import Verdict

OCSP_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.9")
GOOD, REVOKED, UNKNOWN = (getattr(ocsp.OCSPCertStatus, one) for one in ("GOOD", "REVOKED", "UNKNOWN"))


@cache
def one() -> CardCertificate:
    """The signature certificate of a card."""
    return read_certificate(card().signature.certificate)


def responder(by: str = "FO-PP", *, purpose: bool = True, **changes: Any) -> bytes:
    """A certificate that an authority gave its responder."""
    extended = (OCSP_SIGNING,) if purpose else (x509.ObjectIdentifier("1.3.6.1.5.5.7.3.4"),)
    usage = type(CARD_SIGNATURE)(**{**_fields(CARD_SIGNATURE), "extended": extended})
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "REPONDEUR ESSAI")])
    return leaf(subject=name, by=by, usage=usage, own_key=key("responder"), proprietary=(), **changes)


def _fields(found: Any) -> dict[str, Any]:
    names = getattr(found, "__slots__", None) or found.__dataclass_fields__
    return {name: getattr(found, name) for name in names}


def answer(
    status: Any = GOOD,
    *,
    about: CardCertificate | None = None,
    under: str = "FO-PP",
    digest: Any = None,
    by: bytes | None = None,
    signed_with: Any = None,
    encoding: Any = ocsp.OCSPResponderEncoding.HASH,
    this_update: datetime = NOW - HOUR,
    next_update: datetime | None = NOW + DAY,
    enclosed: bool = True,
    nonce: bytes | None = None,
) -> bytes:
    """One answer, by the authority itself or (`by`) by its responder."""
    parent = authority(under)
    issuing = x509.load_der_x509_certificate(parent.der)
    named = issuing if by is None else x509.load_der_x509_certificate(by)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=x509.load_der_x509_certificate((about or one()).der), issuer=issuing,
            algorithm=digest or hashes.SHA1(), cert_status=status, this_update=this_update, next_update=next_update,
            revocation_time=NOW - 2 * DAY if status is REVOKED else None, revocation_reason=None,
        )
        .responder_id(encoding, named)
    )  # fmt: skip
    if by is not None and enclosed:
        builder = builder.certificates([named])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    signer = signed_with or (parent.key if by is None else key("responder"))
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def told(der: bytes, at: datetime = NOW, **options: Any) -> OcspAnswer:
    """What it is worth for the card."""
    return read_answer(der, one(), issuer("FO-PP"), at, **options)


@pytest.mark.parametrize("encoding", list(ocsp.OCSPResponderEncoding), ids=["key", "name"])
@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])
@pytest.mark.parametrize("delegated", [False, True], ids=["issuer", "responder"])
def test_good_from_whoever_may_say_so(encoding: Any, digest: Any, delegated: bool) -> None:
    """RFC 6960 §4.2.2.2: the issuer, or a responder that it certified, named by key or by name; certID in either hash."""
    found = told(answer(encoding=encoding, digest=digest, by=responder() if delegated else None))
    assert (found.problem, found.status) == (None, Revocation.GOOD)
    assert (found.responder is None) is not delegated


@pytest.mark.parametrize(
    ("status", "meant"), [(REVOKED, Revocation.REVOKED), (UNKNOWN, Revocation.UNKNOWN)], ids=["revoked", "unknown"]
)
def test_revoked_and_unknown_are_not_good(status: Any, meant: Revocation) -> None:
    """Three statuses, three answers: a responder that does not know says neither yes nor no."""
    assert told(answer(status)).status is meant


UNAUTHORISED = {
    "no OCSPSigning": lambda: answer(by=responder(purpose=False)),
    "certified by another authority": lambda: answer(by=responder("EL-PP")),
    "certified by a key that is not the issuer's": lambda: answer(by=responder(issuer_key=key("leaf"))),
    "past its dates": lambda: answer(by=responder(not_after=NOW - DAY)),
    "before its dates": lambda: answer(by=responder(not_before=NOW + DAY)),
    "not enclosed": lambda: answer(by=responder(), enclosed=False),
    "another signature": lambda: answer()[:-1] + bytes([answer()[-1] ^ 1]),
    "the card's own certificate": lambda: answer(by=one().der, signed_with=key("leaf")),
}


@pytest.mark.parametrize("name", UNAUTHORISED)
def test_nobody_else_may_answer(name: str) -> None:
    """An answer of anybody whom the issuer did not name for OCSP is worth nothing, whatever it says."""
    found = told(UNAUTHORISED[name]())
    assert found.status is Revocation.UNKNOWN
    assert found.problem == "le signataire de la réponse OCSP n'est pas autorisé par l'autorité"


def resigned_answer(digest: hashes.HashAlgorithm, name: str) -> bytes:
    """A good answer under another digest."""
    whole = asn1_ocsp.OCSPResponse.load(answer())
    basic = whole["response_bytes"]["response"].parsed
    signature = authority("FO-PP").key.sign(basic["tbs_response_data"].dump(), padding.PKCS1v15(), digest)
    made = asn1_ocsp.BasicOCSPResponse(
        {
            "tbs_response_data": basic["tbs_response_data"],
            "signature_algorithm": {"algorithm": name},
            "signature": signature,
        }
    )
    body = {"response_type": "basic_ocsp_response", "response": made}
    return bytes(asn1_ocsp.OCSPResponse({"response_status": "successful", "response_bytes": body}).dump())


def test_rule_14_r_algo_an_answer_under_a_weak_digest() -> None:
    """R-ALGO: whoever asks has a word in what is signed (the nonce), so that SHA-1 vouches for nothing there."""
    assert told(resigned_answer(hashes.SHA256(), "sha256_rsa")).status is Revocation.GOOD
    assert told(resigned_answer(hashes.SHA1(), "sha1_rsa")).status is Revocation.UNKNOWN
    weak = resigned(responder(), 0x05, hashes.SHA1())
    assert told(answer(by=weak)).status is Revocation.UNKNOWN


def test_an_answer_about_another_certificate() -> None:
    """A good answer about another card, or another authority's card of the same serial, says nothing."""
    other = read_certificate(card().signature.certificate)
    assert told(answer(about=other)).problem == "la réponse OCSP parle d'un autre certificat"
    twin = read_certificate(leaf(by="EL-PP", serial=one().serial))
    assert told(answer(about=twin, under="EL-PP")).problem is not None


@pytest.mark.parametrize(
    ("this_update", "next_update", "problem"),
    [
        (NOW + HOUR, NOW + DAY, "réponse OCSP datée du futur"),
        (NOW + timedelta(minutes=4), NOW + DAY, None),
        (NOW - 2 * DAY, NOW - HOUR, "réponse OCSP périmée"),
        (NOW - 2 * DAY, NOW + HOUR, None),
        (NOW - 25 * HOUR, None, "réponse OCSP trop ancienne"),
        (NOW - 23 * HOUR, None, None),
    ],
    ids=["future", "clocks differ", "ended", "old and good until later", "old without end", "without end"],
)
def test_the_age_of_an_answer(this_update: datetime, next_update: datetime | None, problem: str | None) -> None:
    """An answer counts from its time to its end; without an end, for a day."""
    assert told(answer(this_update=this_update, next_update=next_update)).problem == problem


def test_revoked_counts_whatever_its_age() -> None:
    """I10: revoked in an answer past its end is revoked."""
    found = told(answer(REVOKED, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY))
    assert (found.problem, found.status) == (None, Revocation.REVOKED)


def test_a_nonce_that_was_asked_with_must_come_back() -> None:
    """The answer to another question is refused where a nonce was sent."""
    assert told(answer(nonce=b"12345678"), nonce=b"12345678").problem is None
    assert told(answer(nonce=b"other678"), nonce=b"12345678").problem == "la réponse OCSP ne répond pas à cette demande"
    assert told(answer(), nonce=b"12345678").problem is not None


@pytest.mark.parametrize("der", [b"", b"nothing", b"\x30\x03\x0a\x01\x03", b"\x30\x03\x0a\x01\x00"])
def test_what_is_no_answer(der: bytes) -> None:
    """Bytes that are none, and an answer that says "try later", are unknown without exception."""
    assert told(der).status is Revocation.UNKNOWN
    assert told(der).problem is not None


def test_any_changed_octet_is_noticed() -> None:
    """No octet of a good answer can be changed into another good or revoked answer."""
    der = answer(by=responder())
    for place in range(0, len(der), 11):
        changed = bytearray(der)
        changed[place] ^= 1
        found = told(bytes(changed))
        # The certificates beside the signed part may change where the signer's is still found
        assert found.problem is not None or (found.status, found.this_update) == (Revocation.GOOD, NOW - HOUR)


def verdict(*lists: bytes, **beside: Any) -> set[tuple[str, Verdict]]:
    """What fails in the verdict on the card."""
    return failures(judged(one().der, *lists, beside=Beside(**beside)))


def test_what_an_answer_changes() -> None:
    """Good fills in for lists that do not tell; revoked opposes; unknown leaves the lists alone."""
    roots, stale = fresh(("FO",)), crl("FO-PP", next_update=NOW - HOUR)
    unknown = {("revocation", Verdict.REVOCATION_UNKNOWN)}
    assert verdict(*roots) == unknown
    assert verdict(*roots, ocsp=(answer(),)) == set()
    assert verdict(*roots, stale, ocsp=(answer(),)) == set()
    assert verdict(*roots, ocsp=(answer(UNKNOWN),)) == unknown
    assert verdict(*roots, ocsp=(b"x",)) == unknown
    assert verdict(*fresh(), ocsp=(answer(REVOKED),)) == {("revocation", Verdict.OPPOSED)}
    assert verdict(*fresh(), ocsp=(answer(UNKNOWN),)) == set()


def test_an_answer_about_an_authority() -> None:
    """An authority that no list speaks of is good by its own issuer's answer; revoked, it vouches for nothing."""
    lists = fresh(("FO-PP",))
    good = answer(about=issuer("FO-PP"), under="FO")
    revoked = answer(REVOKED, about=issuer("FO-PP"), under="FO")
    unknown = {("revocation of the authority", Verdict.REVOCATION_UNKNOWN)}
    assert verdict(*lists) == unknown
    assert verdict(*lists, ocsp=(good,)) == set()
    assert verdict(*lists, ocsp=(answer(UNKNOWN, about=issuer("FO-PP"), under="FO"),)) == unknown
    assert verdict(*fresh(), ocsp=(revoked,)) == {("revocation of the authority", Verdict.UNTRUSTED_CHAIN)}
    assert verdict(ocsp=(answer(), good)) == set()


def test_an_authority_does_not_answer_for_itself() -> None:
    """An answer about an authority that the authority signed with its own key is worth nothing."""
    by = authority("FO-PP")
    own = answer(about=issuer("FO-PP"), under="FO", by=by.der, signed_with=by.key)
    unknown = {("revocation of the authority", Verdict.REVOCATION_UNKNOWN)}
    assert verdict(*fresh(("FO-PP",)), ocsp=(own,)) == unknown


def test_a_listed_card_stays_opposed() -> None:
    """Whatever a responder says of it."""
    listed = crl("FO-PP", [one().serial])
    assert verdict(*fresh(("FO",)), listed, ocsp=(answer(),)) == {("revocation", Verdict.OPPOSED)}


def test_a_revoked_responder_is_not_believed() -> None:
    """A responder whose own certificate is on the issuer's list answers nothing."""
    der = responder()
    lists = (*fresh(("FO",)), crl("FO-PP", [serial_of(der)], next_update=NOW - HOUR))
    assert verdict(*lists, ocsp=(answer(by=der),)) == {("revocation", Verdict.REVOCATION_UNKNOWN)}


def test_an_answer_asked_for_after_reception() -> None:
    """A mail judged again later: the answer's age is measured when it was asked for, the card at reception."""
    later = NOW + 3 * DAY
    fetched = answer(this_update=later - HOUR, next_update=later + DAY)
    assert verdict(*fresh(("FO",)), ocsp=(fetched,)) == {("revocation", Verdict.REVOCATION_UNKNOWN)}
    assert verdict(*fresh(("FO",)), ocsp=(fetched,), asked_at=later) == set()


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("by", ["name", "key"])
def test_openssl_understands_the_question(digest: str, by: str, tmp_path: Path) -> None:
    """OpenSSL's responder answers our question, and its answer counts: good, revoked, unknown, by name and by key."""
    parent, der = authority("FO-PP"), responder()
    revoked = read_certificate(card().signature.certificate)
    files = {
        "ca.pem": x509.load_der_x509_certificate(parent.der).public_bytes(Encoding.PEM),
        "own.pem": x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM),
        "own.key": key("responder").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "index.txt": b"".join(
            f"{state}\t300101000000Z\t{since}\t{serial:X}\tunknown\t/CN=x\n".replace("\t0", "\t0").encode()
            for state, since, serial in (("V", "", one().serial), ("R", "260501000000Z", revoked.serial))
        ),
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    stranger = read_certificate(card().signature.certificate)
    found = []
    for asked in (one(), revoked, stranger):
        (tmp_path / "ask.der").write_bytes(question(asked, issuer("FO-PP"), digest))
        command = [
            "openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "own.pem", "-rkey", "own.key",
            "-reqin", "ask.der", "-respout", "told.der", "-ndays", "1", *(["-resp_key_id"] if by == "key" else []),
        ]  # fmt: skip
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
        data = (tmp_path / "told.der").read_bytes()
        produced = asn1_ocsp.OCSPResponse.load(data)["response_bytes"]["response"].parsed["tbs_response_data"]
        at = produced["produced_at"].native
        found.append(read_answer(data, asked, issuer("FO-PP"), at))
    assert [(one.problem, one.status) for one in found] == [
        (None, Revocation.GOOD), (None, Revocation.REVOKED), (None, Revocation.UNKNOWN),
    ]  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))))
def test_no_octets_break_the_reader(change: bytes | tuple[int, bytes]) -> None:
    """Any octets, and a good answer changed anywhere, are read without exception, and never oppose anybody."""
    whole = _good()
    if isinstance(change, bytes):
        assert told(change).status is Revocation.UNKNOWN
        return
    place = change[0] % len(whole)
    changed = whole[:place] + change[1] + whole[place + len(change[1]) :]
    found = told(changed)
    assert changed == whole or found.problem is not None or found.status is Revocation.GOOD


@cache
def _good() -> bytes:
    return answer()
