"""The path to an anchor: whose signature it is, which authority is meant, and what a stranger's certificates can do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier

from cardworld import DAY, END, NOW, START, authority, card, issuer, key, leaf, pki, resigned, trust
from dcc.cards import issue_profiles as profiles
from dcc.cards.certificate import read_certificate
from dcc.cards.issue import LookAlikePki
from dcc.cards.path import HIGHEST_BESIDE, MOST_CANDIDATES, PathResult, _kept, find_path, readable
from dcc.cards.signature import is_issuer, signed_by
from dcc.cards.trust import TrustStore, trust_of


def path_of(der: bytes, *extra: bytes, known: TrustStore | None = None, at: datetime = NOW) -> PathResult:
    """The path of a certificate."""
    return find_path(read_certificate(der), trust() if known is None else known, extra, at)


def sub_authority(
    name: str, own: object, parent_name: x509.Name, parent_key: object, *, length: int | None = 0
) -> bytes:
    """An authority of this name below another."""
    builder = profiles._base(profiles.authority_name(name), own, parent_name, parent_key, START, END)  # type: ignore[arg-type]
    return (
        builder.add_extension(x509.BasicConstraints(True, length), critical=True)
        .add_extension(profiles._key_usage(profiles.UsageProfile(), authority=True), critical=True)
        .sign(parent_key, hashes.SHA256())  # type: ignore[arg-type]
        .public_bytes(Encoding.DER)
    )


def test_a_card_leads_to_its_root() -> None:
    """The authorities above a card are told nearest first, the root last."""
    found = path_of(card("CPS").signature.certificate)
    assert found.problem is None
    assert [one.der for one in found.chain] == [authority("FO-PP").der, authority("FO").der]


def test_authorities_are_read_once_in_each_thread_and_shared_by_none() -> None:
    """Threads that judge at the same time find the same paths, each with the authorities that it has read itself."""
    ders = [card(kind).signature.certificate for kind in ("CPS", "CPE")]
    expected = [path_of(der) for der in ders]
    root, ready = authority("FO").der, Barrier(4)

    def judge(_: int) -> tuple[object, list[PathResult]]:
        ready.wait()
        found = [path_of(der) for _ in range(5) for der in ders]
        assert _kept.read(root) is _kept.read(root)
        return _kept.read(root), found

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(judge, range(4)))
    assert all(found == expected * 5 for _, found in answers)
    assert len({id(own) for own, _ in answers}) == 4


def test_what_a_mail_carries_is_not_kept() -> None:
    """Certificates beside a mail are read for this path only: what strangers send does not stay in memory."""
    der = card("CPS").signature.certificate
    path_of(der)
    before = _kept.read.cache_info().currsize
    assert path_of(der, authority("FO-PP").der, known=trust_of([authority("FO").der])).problem is None
    assert _kept.read.cache_info().currsize == before


def test_authorities_sent_with_the_mail_may_help() -> None:
    """An intermediate that the mail carries completes the path to a root that is known."""
    known = trust_of(pki().anchors)
    der = card("CPS").signature.certificate
    assert path_of(der, known=known).problem == "autorité émettrice inconnue"
    assert path_of(der, b"rubbish", authority("FO-PP").der, known=known).problem is None


def test_a_root_sent_with_the_mail_is_no_anchor() -> None:
    """Self-signed certificates of a mail are never believed."""
    stranger = LookAlikePki.create(NOW, key_source=lambda: key("stranger"))
    made = stranger.issue_card(
        "CPS", idnps="899700366240", family_name="X", given_name="Y", not_before=START, not_after=END, card_number="1/1"
    )
    found = path_of(made.signature.certificate, *stranger.anchors, *stranger.intermediates)
    assert found.problem == "aucun chemin vers une racine de confiance"
    assert (found.bad_signature, found.chain) == (False, ())
    assert readable([stranger.anchors[0], b"rubbish"]) == []


def test_another_authority_of_the_same_name_is_another_authority() -> None:
    """A look-alike of a known authority, with its own key identifier, is unknown: the signature is not called false."""
    found = path_of(leaf(issuer_key=key("stranger")))
    assert (found.problem, found.bad_signature) == ("autorité émettrice inconnue", False)
    assert not is_issuer(read_certificate(leaf(issuer_key=key("stranger"))), issuer("FO-PP"))


@pytest.mark.parametrize("named", [None, "FO-PP"])
def test_a_false_signature_is_told_as_such(named: str | None) -> None:
    """Signed by another key than the authority's, and naming the authority (or no key at all): a false signature."""
    der = leaf(issuer_key=key("stranger"), authority_key=None if named is None else authority(named).key)
    found = path_of(der)
    assert (found.problem, found.bad_signature) == ("la signature du certificat est fausse", True)


def test_a_changed_octet_is_a_false_signature() -> None:
    """One octet of a signed certificate changed: a false signature."""
    der = leaf(subject=profiles.person_name("899700366240", "MEDECIN", "ANNE", 10, None))
    assert path_of(der.replace(b"MEDECIN", b"MEDECIM")).bad_signature


def test_a_self_signed_look_alike_is_not_trusted() -> None:
    """Acceptance 8: a self-signed certificate with a CPS-like subject leads nowhere."""
    subject = profiles.person_name("899700366240", "MEDECIN", "ANNE", 10, None)
    found = path_of(leaf(subject=subject, issuer_name=subject, issuer_key=key()))
    assert (found.problem, found.bad_signature) == ("autorité émettrice inconnue", False)


def test_without_anchors_nothing_is_trusted() -> None:
    """Intermediates without a root are not enough."""
    found = path_of(card("CPS").signature.certificate, known=trust_of(pki().intermediates))
    assert found.problem == "aucune racine de confiance"


def test_a_card_issues_no_certificates() -> None:
    """A holder's own key that signs a certificate makes no authority of the card (RFC 5280 §4.2.1.9)."""
    made = card("CPS").signature
    own = x509.load_der_x509_certificate(made.certificate).subject
    der = leaf(issuer_name=own, issuer_key=made.key)
    assert path_of(der, made.certificate).problem == "autorité émettrice inconnue"
    known = trust_of((*pki().anchors, *pki().intermediates, made.certificate))
    refused = path_of(der, known=known).problem
    assert refused is not None
    assert refused.startswith(("chemin refusé", "aucun chemin"))


def test_the_path_length_of_an_authority_binds() -> None:
    """An authority below an issuing one, whose certificate forbids that, vouches for nobody."""
    parent = authority("FO-PP")
    der = sub_authority("TEST AC PLUS BAS", key("below"), parent.name, parent.key)
    found = path_of(leaf(issuer_name=profiles.authority_name("TEST AC PLUS BAS"), issuer_key=key("below")), der)
    assert found.problem is not None
    assert found.problem.startswith("chemin refusé")


def test_an_unknown_critical_extension_is_refused() -> None:
    """RFC 5280 §4.2: a critical extension that nobody knows here makes the certificate useless."""
    odd = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    refused = path_of(leaf(extensions=[(odd, True)])).problem
    assert refused is not None
    assert refused.startswith("chemin refusé")
    assert path_of(leaf(extensions=[(odd, False)])).problem is None


def test_the_dates_of_the_certificate_itself_are_another_question() -> None:
    """A path is found for an expired and for a future certificate; its dates are judged apart."""
    for start, end in ((NOW - 90 * DAY, NOW - 30 * DAY), (NOW + 30 * DAY, NOW + 90 * DAY)):
        assert path_of(leaf(not_before=start, not_after=end)).problem is None


def test_an_authority_out_of_its_dates_gives_no_path_at_that_time() -> None:
    """A certificate that outlives its authority leads nowhere once the authority has ended."""
    late = authority("FO-PP").certificate.not_valid_after_utc + timedelta(days=1)
    assert path_of(leaf(not_after=late + DAY)).problem is None
    assert path_of(leaf(not_after=late + DAY), at=late).problem is not None


def test_a_damaged_authority_in_the_mail_spoils_no_path() -> None:
    """Certificates of a mail are not signed: a damaged copy of a known authority among them changes nothing."""
    good = authority("FO-PP").der
    odd = good[:-1] + bytes([good[-1] ^ 1])
    assert [one.der for one in readable([odd])] == [odd]
    assert path_of(card("CPS").signature.certificate, odd).problem is None


def test_many_certificates_in_a_mail_are_bounded() -> None:
    """R-PATH: no more candidates are read than the limit, whatever the mail carries."""
    extra = [leaf(serial=number + 1) for number in range(MOST_CANDIDATES + 5)]
    assert len(readable(extra)) == MOST_CANDIDATES


def test_authorities_that_vouch_for_each_other_are_no_maze() -> None:
    """R-PATH, I8: a dozen strangers' authorities that signed each other have millions of paths; none is looked for."""
    names = [profiles.authority_name(f"TEST AC {side}") for side in "AB"]
    keys = [key("stranger"), key("p256")]
    maze = [sub_authority(f"TEST AC {'AB'[at % 2]}", keys[at % 2], names[1 - at % 2], keys[1 - at % 2], length=None)
            for at in range(12)]  # fmt: skip
    builder = profiles._base(profiles.authority_name("TEST FEUILLE"), key(), names[0], keys[0], START, END)
    stray = builder.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.DER)
    spent = time.process_time()
    assert path_of(stray, *maze).problem == "aucun chemin vers une racine de confiance"
    assert time.process_time() - spent < 1  # it was three minutes


def test_only_the_maze_is_left_out() -> None:
    """Authorities that lead down from the root complete the path, one above the other, whatever stands among them."""
    known = trust_of(pki().anchors)
    root = authority("FO")
    upper = sub_authority("TEST AC HAUT", key("stranger"), root.name, root.key, length=1)
    named = profiles.authority_name("TEST AC HAUT")
    lower = sub_authority("TEST AC BAS", key("p256"), named, key("stranger"))
    below = profiles.authority_name("TEST AC BAS")
    builder = profiles._base(profiles.authority_name("TEST FEUILLE"), key(), below, key("p256"), START, END)
    made = builder.sign(key("p256"), hashes.SHA256()).public_bytes(Encoding.DER)
    found = path_of(made, lower, b"rubbish", upper, lower, known=known)
    assert found.problem is None
    assert [one.der for one in found.chain] == [lower, upper, root.der]


@pytest.mark.parametrize(("count", "problem"), [(5, None), (6, "chemin trop long")])
def test_rule_17_r_path_depth(count: int, problem: str | None) -> None:
    """R-PATH: six authorities above a certificate, the root included, and no seventh."""
    root = authority("FO")
    above, own, made = (root.name, root.key), [key("stranger"), key("p256")], []
    for at in range(count):
        made.append(sub_authority(f"TEST AC {at}", own[at % 2], *above, length=None))
        above = (profiles.authority_name(f"TEST AC {at}"), own[at % 2])
    builder = profiles._base(profiles.authority_name("TEST FEUILLE"), key(), *above, START, END)
    leaf_ = builder.sign(above[1], hashes.SHA256()).public_bytes(Encoding.DER)
    assert path_of(leaf_, known=trust_of([root.der, *made])).problem == problem
    beside = path_of(leaf_, *made, known=trust_of([root.der]))
    assert (beside.problem is None) is (problem is None)


def test_candidates_are_bounded_in_octets_too() -> None:
    """R-PATH, I8: each octet of a candidate costs time; what is over the bound is passed over, what follows is read."""
    names = x509.SubjectAlternativeName([x509.DNSName("x" * 50)] * 250)
    large = [leaf(serial=number + 1, extensions=((names, False),)) for number in range(10)]
    assert sum(map(len, large)) > HIGHEST_BESIDE
    assert sum(len(one.der) for one in readable([*large, authority("FO-PP").der])) <= HIGHEST_BESIDE
    assert readable([*large, authority("FO-PP").der])[-1].der == authority("FO-PP").der


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [(0x05, hashes.SHA1()), (0x0B, hashes.SHA256()), (0x0C, hashes.SHA384()), (0x0D, hashes.SHA512())],
)
def test_signatures_of_every_digest_are_verified(algorithm: int, digest: hashes.HashAlgorithm) -> None:
    """RSA PKCS#1 v1.5 is verified whatever the digest; its weakness is another question."""
    assert signed_by(read_certificate(resigned(leaf(), algorithm, digest)), issuer("FO-PP")) is True


@pytest.mark.parametrize("kind", ["p256", "ed25519", "pss"])
def test_other_kinds_of_signature_are_verified(kind: str) -> None:
    """ECDSA, Ed25519 and RSA-PSS authorities: theirs is true, another's is false or another kind of key."""
    own = key("stranger" if kind == "pss" else kind)
    name = profiles.authority_name("TEST AC AUTRE")
    root = profiles._base(name, own, name, own, START, END)
    builder = profiles._base(profiles.authority_name("TEST FEUILLE"), key(), name, own, START, END)
    digest = None if kind == "ed25519" else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if kind == "pss" else None
    made = read_certificate(builder.sign(own, digest, rsa_padding=scheme).public_bytes(Encoding.DER))
    parent = read_certificate(root.sign(own, digest).public_bytes(Encoding.DER))
    assert signed_by(made, parent) is True
    assert signed_by(made, issuer("FO-PP")) is (False if kind == "pss" else None)


def test_a_signature_that_cannot_be_worked_with_is_not_called_false() -> None:
    """An unknown algorithm, or two that differ, is neither true nor false, and is not trusted."""
    md5 = resigned(leaf(), 0x04, hashes.SHA256())
    assert signed_by(read_certificate(md5), issuer("FO-PP")) is None
    found = path_of(md5)
    assert (found.problem, found.bad_signature) == ("la signature du certificat ne peut être vérifiée", False)
    der = leaf()
    place = der.rindex(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b")
    differing = der[: place + 8] + b"\x0c" + der[place + 9 :]
    assert signed_by(read_certificate(differing), issuer("FO-PP")) is None
    bare = resigned(leaf(), 0x0A, hashes.SHA256())  # RSA-PSS without its parameters
    assert signed_by(read_certificate(bare), issuer("FO-PP")) is not True
