"""The verdict on a card: its order, its evidence, and each thing that can be wrong, alone and with others."""

from __future__ import annotations

import itertools
import warnings
from functools import cache
from typing import Any

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from cardworld import (
    DAY,
    END,
    NOW,
    authority,
    card,
    crl,
    failures,
    fresh,
    judged,
    key,
    leaf,
    organisation,
    pki,
    resigned,
    serial_of,
    store,
    trust,
)  # fmt: skip
from dcc.cards import issue_profiles as profiles
from dcc.cards.judge import Judge
from dcc.cards.trust import trust_of
from dcc.cards.verdict import Evidence, Verdict, headline

ORDER = [
    "UNPARSEABLE", "BAD_SIGNATURE", "TEST_CARD_IN_PROD", "UNTRUSTED_CHAIN", "OPPOSED", "EXPIRED", "NOT_YET_VALID",
    "WRONG_USAGE", "WEAK_KEY", "REVOCATION_UNKNOWN", "VALID",
]  # fmt: skip


def evidence(found: Any, check: str) -> Evidence:
    """The one evidence of this check."""
    (one,) = [one for one in found.evidence if one.check == check]
    return one


def test_the_headline_follows_the_order_of_the_facts() -> None:
    """Of two failures the one that comes first in the order of facts/cards §11 is the headline, in any order of evidence."""
    assert [one.value for one in Verdict] == ORDER
    for first, second in itertools.combinations([one for one in Verdict if one is not Verdict.VALID], 2):
        told = (Evidence("a", second, ""), Evidence("b", first, ""), Evidence("c", None, ""))
        assert headline(told) is first
    assert headline((Evidence("a", None, ""),)) is Verdict.VALID
    assert headline(()) is Verdict.VALID


@pytest.mark.parametrize("kind", ["CPS", "CPF", "CPE", "CPA"])
def test_a_good_card_is_valid(kind: str) -> None:
    """A card in its dates, of a known authority, on no list: valid, and each check says what it rests on."""
    found = judged(card(kind).signature.certificate, *fresh(number=4))
    assert (found.verdict, failures(found)) == (Verdict.VALID, set())
    checks = [one.check for one in found.evidence]
    assert checks == [
        "environment", "path", "dates", "usage", "strength", "profile", "revocation", "revocation of the authority",
    ]  # fmt: skip
    details = evidence(found, "revocation").details
    assert (details["crl_number"], details["crl_age_hours"]) == ("4", "1.0")
    assert evidence(found, "profile").details["policies"] == profiles.TEST_POLICY
    assert len(found.chain) == 2


def test_unparseable_says_why_and_nothing_else() -> None:
    """What is no certificate has one evidence, no certificate and no exception."""
    for data in (b"", b"rubbish", leaf()[:-1], fresh()[0]):
        found = judged(data)
        assert (found.verdict, found.certificate, len(found.evidence)) == (Verdict.UNPARSEABLE, None, 1)
        assert found.evidence[0].text
        assert Judge(trust(), store())(data, at=NOW).verdict is Verdict.UNPARSEABLE


def test_expired_and_opposed_are_two_answers() -> None:
    """Facts §0.7: expired alone, opposed alone, and both: opposed is the headline, both are told."""
    old = {"not_before": NOW - 300 * DAY, "not_after": NOW - DAY}
    expired = judged(leaf(**old), *fresh())
    assert (expired.verdict, failures(expired)) == (Verdict.EXPIRED, {("dates", Verdict.EXPIRED)})
    der = leaf()
    opposed = judged(der, *fresh(), crl("FO-PP", [serial_of(der)], number=2))
    assert (opposed.verdict, failures(opposed)) == (Verdict.OPPOSED, {("revocation", Verdict.OPPOSED)})
    der = leaf(**old)
    both = judged(der, *fresh(), crl("FO-PP", [serial_of(der)], number=2))
    assert both.verdict is Verdict.OPPOSED
    assert failures(both) == {("revocation", Verdict.OPPOSED), ("dates", Verdict.EXPIRED)}


def test_the_dates_hold_to_the_second() -> None:
    """Valid at its first and last second, not before and not after."""
    der = leaf(not_before=NOW - DAY, not_after=NOW + DAY)
    second = DAY / 86400
    for at, verdict in [
        (NOW - DAY - second, Verdict.NOT_YET_VALID), (NOW - DAY, None), (NOW + DAY, None), (NOW + DAY + second, Verdict.EXPIRED),
    ]:  # fmt: skip
        assert evidence(judged(der, at=at), "dates").verdict is verdict


@pytest.mark.parametrize(("purpose", "good"), [("sign", {"SIGN"}), ("encrypt", {"CONF"}), ("server", {"SSL"})])
def test_each_purpose_has_its_usage(purpose: str, good: set[str]) -> None:
    """A certificate of another usage is WRONG_USAGE: who encrypts does not sign, who signs receives nothing encrypted."""
    for usage in ("SIGN", "CONF", "AUTH_CLI", "SSL"):
        found = judged(organisation(usage).certificate, *fresh(), purpose=purpose)
        assert found.verdict is (Verdict.VALID if usage in good else Verdict.WRONG_USAGE)


def test_the_authentication_certificate_of_a_card_does_not_sign() -> None:
    """Facts §0.2: a mail signed with it has its own reason, the path is good all the same."""
    found = judged(card("CPS").authentication.certificate, *fresh())
    assert failures(found) == {("usage", Verdict.WRONG_USAGE)}
    assert evidence(found, "usage").details == {"usage": "AUTHENTICATION", "wanted": "SIGNATURE"}


def test_without_a_list_it_could_not_be_found_out() -> None:
    """I10: no list of the issuer, or none of the root for the issuer, is unknown, not valid and not refused."""
    der = card("CPS").signature.certificate
    assert failures(judged(der)) == {
        ("revocation", Verdict.REVOCATION_UNKNOWN), ("revocation of the authority", Verdict.REVOCATION_UNKNOWN),
    }  # fmt: skip
    assert failures(judged(der, crl("FO-PP"))) == {("revocation of the authority", Verdict.REVOCATION_UNKNOWN)}
    assert failures(judged(der, crl("FO"))) == {("revocation", Verdict.REVOCATION_UNKNOWN)}
    assert judged(der, *fresh(), at=NOW + 7 * DAY).verdict is Verdict.REVOCATION_UNKNOWN


def test_revocation_can_be_left_out_and_is_said_to_be() -> None:
    """Without revocation an opposed card is valid, and the evidence says what was not looked at."""
    der = leaf()
    found = judged(der, crl("FO-PP", [serial_of(der)]), revocation=False)
    assert found.verdict is Verdict.VALID
    assert evidence(found, "revocation").details == {"skipped": "yes"}


def test_a_revoked_authority_is_an_untrusted_chain() -> None:
    """Contract: a revoked issuing authority is UNTRUSTED_CHAIN, with that evidence, before anything of the card."""
    der = leaf()
    lists = [crl("FO", [serial_of(authority("FO-PP").der)], number=2), crl("FO-PP", [serial_of(der)], number=2)]
    found = judged(der, *lists)
    assert found.verdict is Verdict.UNTRUSTED_CHAIN
    told = evidence(found, "revocation of the authority")
    assert (told.verdict, told.text, told.details["crl_number"]) == (
        Verdict.UNTRUSTED_CHAIN, "autorité émettrice révoquée", "2",
    )  # fmt: skip
    assert ("revocation", Verdict.OPPOSED) in failures(found)
    stale = judged(der, *lists, at=NOW + 30 * DAY)
    assert stale.verdict is Verdict.UNTRUSTED_CHAIN


def test_a_refused_list_is_named_in_the_evidence() -> None:
    """Contract: the list with a lower number, and the one that the authority did not sign, are told."""
    der = leaf()
    old, forged = crl("FO-PP", [serial_of(der)], number=3), crl("FO-PP", number=9, signer=key("stranger"))
    found = judged(der, *fresh(number=4), old, forged)
    details = evidence(found, "revocation").details
    assert found.verdict is Verdict.VALID
    assert details["refused_lower_number_0"].startswith("3 (")
    assert details["refused_not_signed_by_issuer"] == "1"


def test_base_and_delta_are_both_told() -> None:
    """Numbers and ages of every list used are in the evidence, and the day of the opposition."""
    der = leaf()
    found = judged(der, *fresh(number=10), crl("FO-PP", [serial_of(der)], number=11, base=10))
    details = evidence(found, "revocation").details
    assert (details["crl_number"], details["delta_number_1"]) == ("10", "11")
    assert details["revoked_at"] == (NOW - DAY / 12).isoformat()


def test_the_other_certificate_of_the_card_is_reported_too() -> None:
    """Acceptance 71: a card opposed by one of its two serials is opposed, whichever certificate is judged."""
    pair = card("CPS")
    sign, other = pair.signature.certificate, pair.authentication.certificate
    lists = [*fresh(), crl("FO-PP", [serial_of(other)], number=2)]
    assert judged(sign, *lists).verdict is Verdict.VALID
    found = judged(sign, *lists, extra_certificates=[other])
    assert found.verdict is Verdict.OPPOSED
    told = evidence(found, "revocation of the same card")
    assert (told.details["serial"], told.details["usage"]) == (f"{serial_of(other):x}", "AUTHENTICATION")
    assert Judge(trust(), store(*lists))(sign, at=NOW, extra_certificates=[other]).verdict is Verdict.OPPOSED
    good = judged(sign, *fresh(), extra_certificates=[other])
    assert (good.verdict, evidence(good, "revocation of the same card").verdict) == (Verdict.VALID, None)


def test_only_the_same_card_of_the_same_authority_counts() -> None:
    """An opposed certificate of another card, or a forged one that names this card, changes nothing."""
    pair, stranger = card("CPS", card_number="8025000001/7"), card("CPS")
    extensions = profiles.card_extensions("CPS", "8025000001/7", 10, ())
    forged = leaf(proprietary=extensions, issuer_key=key("stranger"), authority_key=authority("FO-PP").key)
    elsewhere = leaf(by="ST-PP", proprietary=extensions)
    others = [stranger.authentication.certificate, forged, elsewhere]
    lists = [*fresh(), crl("FO-PP", [serial_of(one) for one in others], number=2)]
    lists.append(crl("ST-PP", [serial_of(elsewhere)], number=2))
    found = judged(pair.signature.certificate, *lists, extra_certificates=others)
    assert (found.verdict, failures(found)) == (Verdict.VALID, set())


def test_an_unknown_root_and_a_look_alike_are_not_trusted() -> None:
    """Acceptance 8: an unknown root, and a self-signed card, are UNTRUSTED_CHAIN; opposition cannot be told."""
    subject = profiles.person_name("899700366240", "MEDECIN", "ANNE", 10, None)
    alone = leaf(subject=subject, issuer_name=subject, issuer_key=key())
    for der in (leaf(issuer_key=key("stranger")), alone):
        found = judged(der, *fresh())
        assert failures(found) == {
            ("path", Verdict.UNTRUSTED_CHAIN), ("revocation", Verdict.REVOCATION_UNKNOWN),
        }  # fmt: skip
        assert found.chain == ()


def test_a_false_signature_comes_before_everything() -> None:
    """A false signature is the headline, and what else is wrong is told beside it."""
    der = leaf(
        issuer_key=key("stranger"), authority_key=authority("FO-PP").key, usage=profiles.CARD_AUTHENTICATION,
        own_key=key("rsa-1024"), not_after=NOW - DAY,
    )  # fmt: skip
    found = judged(der, crl("FO-PP", [serial_of(der)]), environment="production")
    assert found.verdict is Verdict.BAD_SIGNATURE
    assert failures(found) == {
        ("path", Verdict.BAD_SIGNATURE), ("environment", Verdict.TEST_CARD_IN_PROD), ("dates", Verdict.EXPIRED),
        ("usage", Verdict.WRONG_USAGE), ("strength", Verdict.WEAK_KEY), ("revocation", Verdict.OPPOSED),
    }  # fmt: skip


def test_a_listed_serial_is_told_even_without_a_path() -> None:
    """The issuer is known but leads to no anchor: untrusted, and opposed in the evidence."""
    der = leaf()
    known = trust_of(pki().intermediates, "test")
    found = judged(der, crl("FO-PP", [serial_of(der)]), trust=known)
    assert found.verdict is Verdict.UNTRUSTED_CHAIN
    assert ("revocation", Verdict.OPPOSED) in failures(found)


PRODUCTION = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AC RACINE IGC-SANTE FORT")])


def production_root() -> bytes:
    """A root of a world whose names carry no TEST."""
    made = profiles.authority(PRODUCTION, key("prod"), PRODUCTION, key("prod"), NOW - DAY, END, parent_crl=None)
    return made.public_bytes(Encoding.DER)


def test_a_test_card_in_production_by_bit_and_by_authority() -> None:
    """Acceptance 65: the test bit below a production root, and a TEST authority without the bit, are both refused."""
    root = production_root()
    known = trust_of([root, *pki().anchors, *pki().intermediates], "production")
    assert [one.der for one in known.anchors] == [root]
    by_bit = judged(leaf(issuer_name=PRODUCTION, issuer_key=key("prod")), trust=known, revocation=False)
    assert failures(by_bit) == {("environment", Verdict.TEST_CARD_IN_PROD)}
    assert evidence(by_bit, "environment").details == {"product": "80", "test_bit": "yes", "test_authority": "no"}
    by_name = judged(leaf(proprietary=[]), trust=known, revocation=False)
    assert by_name.verdict is Verdict.TEST_CARD_IN_PROD
    assert evidence(by_name, "environment").details == {"product": "", "test_bit": "no", "test_authority": "yes"}


def test_a_production_card_is_good_in_production() -> None:
    """A certificate without test bit below a production root is valid there."""
    root = production_root()
    real = [profiles._extension(profiles.G01, core.OctetString(b"\x00"))]
    found = judged(
        leaf(issuer_name=PRODUCTION, issuer_key=key("prod"), proprietary=real), trust=trust_of([root]), revocation=False
    )
    assert (found.verdict, failures(found)) == (Verdict.VALID, set())
    assert trust_of([root]).environment == "production"


def test_the_environment_is_that_of_the_anchors_unless_told() -> None:
    """Below TEST anchors the platform is a test one; told to be production, it refuses the card."""
    der = leaf()
    assert judged(der, *fresh()).verdict is Verdict.VALID
    assert judged(der, *fresh(), environment="production").verdict is Verdict.TEST_CARD_IN_PROD


@pytest.mark.parametrize(
    ("options", "weak"),
    [
        ({"own_key": "rsa-1024"}, True), ({"own_key": "p224"}, True), ({"own_key": "p256"}, False),
        ({"own_key": "ed25519"}, False), ({"digest": hashes.SHA384()}, False),
        ({"own_key": "ml-dsa-65"}, False), ({"own_key": "ml-dsa-87"}, False),
    ],
)  # fmt: skip
def test_weak_keys_are_told(options: dict[str, Any], weak: bool) -> None:
    """RSA under 2048 bits and curves under 256 bits are weak; the others are not, ML-DSA included (RFC 9881)."""
    if "own_key" in options:
        options = {"own_key": key(options["own_key"])}
    assert failures(judged(leaf(**options), *fresh())) == ({("strength", Verdict.WEAK_KEY)} if weak else set())


def test_sha_1_is_weak() -> None:
    """A card signed with SHA-1 has a good path and a weak algorithm."""
    found = judged(resigned(leaf(), 0x05, hashes.SHA1()), *fresh())
    assert failures(found) == {("strength", Verdict.WEAK_KEY)}
    assert evidence(found, "strength").details == {"hash": "sha1", "key": "rsa 2048"}


def test_a_weak_authority_is_told_but_not_the_anchor() -> None:
    """SHA-1 under the issuing authority is weak; the anchor's own signature is not relied on."""
    above, root = (resigned(authority(code).der, 0x05, hashes.SHA1(), by="FO") for code in ("FO-PP", "FO"))
    assert judged(leaf(), *fresh(), trust=trust_of([above, authority("FO").der])).verdict is Verdict.WEAK_KEY
    assert judged(leaf(), *fresh(), trust=trust_of([authority("FO-PP").der, root])).verdict is Verdict.VALID


def test_an_authority_out_of_its_dates_is_an_untrusted_chain() -> None:
    """An authority past its end vouches for nothing, even for a card that ended with it."""
    late = authority("FO-PP").certificate.not_valid_after_utc + DAY
    found = judged(leaf(), *fresh(), at=late)
    assert found.verdict is Verdict.UNTRUSTED_CHAIN
    assert ("dates", Verdict.EXPIRED) in failures(found)
    assert evidence(found, "path").text == "une autorité n'est pas dans ses dates"


def test_an_anchor_is_on_no_list() -> None:
    """An anchor that is itself judged has the wrong usage, and nobody's list can name it."""
    found = judged(authority("FO").der, *fresh())
    assert failures(found) == {("usage", Verdict.WRONG_USAGE), ("revocation", Verdict.REVOCATION_UNKNOWN)}


def test_an_identifier_that_is_none_is_told() -> None:
    """A false check digit in a certificate is told in the evidence; the card has no identifier."""
    found = judged(leaf(subject=profiles.person_name("810003461033", "X", "Y", 10, None)), *fresh())
    assert evidence(found, "profile").details["identifier"] == "clé de contrôle fausse"
    assert found.certificate is not None
    assert found.certificate.holder is not None
    assert found.certificate.holder.idnps is None


def test_the_lasting_judge_answers_as_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that keeps paths gives the same verdict and evidence, and builds a path once for each certificate."""
    import dcc.cards.judge as module

    built = []
    find = module.find_path
    monkeypatch.setattr(module, "find_path", lambda *args: built.append(1) or find(*args))
    lists = store(*fresh())
    lasting = Judge(trust(), lists)
    der = card("CPS").signature.certificate
    for at in (NOW, NOW + 7 * DAY, END + DAY):
        assert lasting(der, at=at) == module.judge(der, trust=trust(), crls=lists, at=at)
    assert len(built) == 1 + 3
    lists.add(crl("FO-PP", [serial_of(der)], number=2))
    assert lasting(der, at=NOW).verdict is Verdict.OPPOSED


def test_the_lasting_judge_forgets_rather_than_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths kept are bounded."""
    import dcc.cards.judge as module

    monkeypatch.setattr(module, "MOST_CACHED", 2)
    lasting = Judge(trust(), store(*fresh()))
    for number in range(5):
        lasting(leaf(serial=number + 1), at=NOW)
    assert len(lasting._paths) <= 2


def test_the_lasting_judge_looks_again_when_an_authority_has_ended() -> None:
    """A path through an authority that has ended meanwhile is not kept: another may be known."""
    lasting = Judge(trust(), store(*fresh()))
    der = leaf()
    lasting(der, at=NOW)
    late = authority("FO-PP").certificate.not_valid_after_utc + DAY
    assert lasting(der, at=late).verdict is Verdict.UNTRUSTED_CHAIN
    assert lasting(der, at=NOW).verdict is Verdict.VALID


def test_a_recent_judgement_stands_for_a_second_and_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged within the same second, for the same purpose and with the same lists, is not judged again."""
    import dcc.cards.judge as module

    judgements = []
    whole = module._judge
    monkeypatch.setattr(module, "_judge", lambda *args: judgements.append(1) or whole(*args))
    lists = store(*fresh())
    lasting = Judge(trust(), lists)
    der = leaf()
    assert lasting.recent(der, at=NOW, purpose="sign").verdict is Verdict.VALID
    assert lasting.recent(der, at=NOW + DAY / 86_401, purpose="sign").verdict is Verdict.VALID
    assert len(judgements) == 1
    assert lasting.recent(der, at=NOW, purpose="encrypt").verdict is Verdict.WRONG_USAGE
    for at in (NOW - DAY / 86_400, NOW + DAY):  # earlier, and later than a second
        lasting.recent(der, at=at, purpose="sign")
    assert len(judgements) == 4
    lists.add(crl("FO-PP", [serial_of(der)], number=2))
    assert lasting.recent(der, at=NOW + DAY, purpose="sign").verdict is Verdict.OPPOSED


def test_recent_judgements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judgements kept are bounded."""
    import dcc.cards.judge as module

    monkeypatch.setattr(module, "MOST_RECENT", 2)
    lasting = Judge(trust(), store(*fresh()))
    for number in range(5):
        lasting.recent(leaf(serial=number + 1), at=NOW, purpose="sign")
    assert len(lasting._recent) <= 2


places = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=5)


@cache
def sample() -> bytes:
    """One card, made when it is first needed: its keys take a second."""
    return leaf()


@settings(max_examples=300)
@given(st.booleans(), places)
def test_no_mutated_certificate_is_valid_or_raises(inside: bool, changes: list[tuple[int, int]]) -> None:
    """A changed certificate is judged without exception and never valid; changed ones beside it harm nobody."""
    real = sample()
    data = bytearray(real)
    for place, value in changes:
        data[place % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if inside:
            found = judged(real, extra_certificates=[bytes(data)], revocation=False)
            assert found.verdict is Verdict.VALID
        else:
            found = judged(bytes(data), revocation=False)
            assert (found.verdict is Verdict.VALID) == (bytes(data) == real)
