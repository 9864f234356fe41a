"""Opposition lists: what a listed and an absent serial mean, for every age, number, scope and signature of a list."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto.crl import CertificateList
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CRLEntryExtensionOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from cardworld import (
    DAY,
    END,
    HOUR,
    NOW,
    authority,
    big_crl,
    card,
    crl,
    issuer,
    key,
    leaf,
    pem,
    pki,
    resigned,
    store,
    tlv,
)
from dcc.cards import crlindex
from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import CrlStore, Revocation, RevocationStatus, signed_by
from dcc.cards.crlindex import RECORD, SerialIndex, index_crl
from dcc.cards.errors import CrlUnreadable
from dcc.cards.issue_profiles import CRL_PLACE

GOOD, REVOKED, UNKNOWN = Revocation.GOOD, Revocation.REVOKED, Revocation.UNKNOWN
HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
LOST = x509.ReasonFlags.key_compromise
OWN_POINT = f"{CRL_PLACE}ACI-FO-PP-TEST.crl"


@pytest.fixture(scope="module")
def one() -> CardCertificate:
    """The signature certificate of a card."""
    return read_certificate(card("CPS").signature.certificate)


def asked(one: CardCertificate, *lists: bytes, at: Any = NOW) -> RevocationStatus:
    """What these lists say of it."""
    return store(*lists).status(one, issuer("FO-PP"), at)


def point(**changes: Any) -> x509.IssuingDistributionPoint:
    """An issuing distribution point."""
    values: dict[str, Any] = {
        "full_name": None, "relative_name": None, "only_contains_user_certs": False, "only_contains_ca_certs": False,
        "only_some_reasons": None, "indirect_crl": False, "only_contains_attribute_certs": False,
    }  # fmt: skip
    return x509.IssuingDistributionPoint(**{**values, **changes})


def uri(text: str) -> list[x509.GeneralName]:
    """A full name of one URI."""
    return [x509.UniformResourceIdentifier(text)]


AGES = [("fresh", NOW), ("last second", NOW + 6 * DAY), ("stale", NOW + 6 * DAY + timedelta(seconds=1)), ("old", END)]


@pytest.mark.parametrize(("name", "at"), AGES, ids=[name for name, _ in AGES])
def test_a_listed_serial_is_opposed_whatever_the_age_of_the_list(one: CardCertificate, name: str, at: Any) -> None:
    """I10: listed on a list of any age is opposed, and the day of the opposition is told."""
    found = asked(one, crl("FO-PP", [one.serial]), at=at)
    assert (found.status, found.revoked_at) == (REVOKED, NOW - 2 * HOUR)


@pytest.mark.parametrize(("name", "at"), AGES, ids=[name for name, _ in AGES])
def test_an_absent_serial_is_good_only_until_the_next_update(one: CardCertificate, name: str, at: Any) -> None:
    """I10: absent from a list past its end is unknown, never good."""
    found = asked(one, crl("FO-PP"), at=at)
    assert found.status is (GOOD if at <= NOW + 6 * DAY else UNKNOWN)
    assert [info.number for info in found.lists] == [1]


def test_without_any_list_nothing_is_known(one: CardCertificate) -> None:
    """No list, or only lists of other authorities: unknown."""
    assert asked(one).status is UNKNOWN
    found = asked(one, crl("EL-PP", [one.serial]), crl("FO", [one.serial]))
    assert (found.status, found.text, found.lists) == (UNKNOWN, "aucune liste d'opposition", ())


def test_a_delta_adds_to_its_base(one: CardCertificate) -> None:
    """A serial listed on a delta newer than the base is opposed, whatever the order of arrival."""
    base, delta = crl("FO-PP", number=10), crl("FO-PP", [one.serial], number=11, base=10)
    for lists in ((base, delta), (delta, base)):
        found = asked(one, *lists)
        assert found.status is REVOKED
        assert [(info.number, info.is_delta) for info in found.lists] == [(10, False), (11, True)]


@pytest.mark.parametrize("reason", [HOLD, None, x509.ReasonFlags.unspecified])
def test_a_newer_delta_lifts_a_hold(one: CardCertificate, reason: x509.ReasonFlags | None) -> None:
    """removeFromCRL on a delta newer than the base lifts a hold, or an entry without reason as IGC-Santé's are."""
    base = crl("FO-PP", {one.serial: reason}, number=10)
    assert asked(one, base).status is REVOKED
    assert asked(one, base, crl("FO-PP", {one.serial: REMOVED}, number=11, base=10)).status is GOOD


def test_only_a_hold_is_lifted(one: CardCertificate) -> None:
    """A card reported for another reason stays opposed whatever a delta says (RFC 5280 §5.3.1)."""
    base = crl("FO-PP", {one.serial: LOST}, number=10)
    assert asked(one, base, crl("FO-PP", {one.serial: REMOVED}, number=11, base=10)).status is REVOKED


def test_the_newest_delta_has_the_last_word(one: CardCertificate) -> None:
    """Held, lifted, reported lost: the delta of the highest number decides, whatever the order of arrival."""
    base = crl("FO-PP", {one.serial: HOLD}, number=10)
    lifted = crl("FO-PP", {one.serial: REMOVED}, number=11, base=10)
    lost = crl("FO-PP", {one.serial: LOST}, number=12, base=10)
    assert asked(one, base, lost, lifted).status is REVOKED
    held_again = crl("FO-PP", {one.serial: HOLD}, number=11, base=10)
    lifted_again = crl("FO-PP", {one.serial: REMOVED}, number=12, base=10)
    assert asked(one, base, lifted_again, held_again).status is GOOD


def test_an_older_delta_says_nothing_against_the_base(one: CardCertificate) -> None:
    """A delta whose number is not above the base's neither lifts nor lists; a lower one is named."""
    base = crl("FO-PP", {one.serial: HOLD}, number=12)
    found = asked(one, base, crl("FO-PP", {one.serial: REMOVED}, number=11, base=10))
    assert (found.status, [info.number for info in found.refused]) == (REVOKED, [11])
    assert asked(one, crl("FO-PP", number=12), crl("FO-PP", [one.serial], number=12, base=10)).status is GOOD


def test_a_delta_of_a_base_not_held_lists_but_lifts_nothing(one: CardCertificate) -> None:
    """A delta that starts after the base held: what it lists is opposed, what it removes stays."""
    base = crl("FO-PP", {one.serial: HOLD}, number=10)
    assert asked(one, base, crl("FO-PP", {one.serial: REMOVED}, number=21, base=20)).status is REVOKED
    assert asked(one, crl("FO-PP", number=10), crl("FO-PP", [one.serial], number=21, base=20)).status is REVOKED
    assert asked(one, crl("FO-PP", number=10), crl("FO-PP", number=21, base=20)).status is GOOD


def test_a_delta_alone_lists_and_never_clears(one: CardCertificate) -> None:
    """Without any base a delta's entry is opposed, its newest word counts, and absence proves nothing."""
    listed, lifted = (
        crl("FO-PP", [one.serial], number=11, base=10),
        crl("FO-PP", {one.serial: REMOVED}, number=12, base=10),
    )
    assert asked(one, listed).status is REVOKED
    for lists in ((crl("FO-PP", number=11, base=10),), (listed, lifted)):
        found = asked(one, *lists)
        assert found.status is UNKNOWN
        assert "différentielle" in found.text


def test_base_and_deltas_are_as_fresh_as_the_freshest(one: CardCertificate) -> None:
    """A fresh delta carries a stale base, and a stale delta takes nothing from a fresh base."""
    past = NOW - HOUR
    stale_base = crl("FO-PP", number=10, this_update=NOW - 9 * DAY, next_update=past)
    stale_delta = crl("FO-PP", number=11, base=10, this_update=NOW - 2 * DAY, next_update=past)
    assert asked(one, stale_base, crl("FO-PP", number=11, base=10)).status is GOOD
    assert asked(one, crl("FO-PP", number=10, this_update=NOW - 3 * DAY), stale_delta).status is GOOD
    assert asked(one, stale_base, stale_delta).status is UNKNOWN


def test_a_lower_number_is_refused_and_named(one: CardCertificate) -> None:
    """Acceptance 70: a list with a lower number than one held changes nothing, and its number is told."""
    new = crl("FO-PP", [one.serial], number=1287)
    old = crl("FO-PP", number=1286, this_update=NOW - HOUR / 2)
    for lists in ((new, old), (old, new)):
        found = asked(one, *lists)
        assert found.status is REVOKED
        assert [info.number for info in found.refused] == [1286]
    found = asked(one, crl("FO-PP", number=1287), crl("FO-PP", [one.serial], number=1286))
    assert (found.status, [info.number for info in found.refused]) == (GOOD, [1286])


def test_lists_without_number_count_by_their_date(one: CardCertificate) -> None:
    """Of lists without number the latest counts; one with a number outranks them."""
    old = crl("FO-PP", [one.serial], number=None, this_update=NOW - 3 * DAY)
    new = crl("FO-PP", number=None, this_update=NOW - 2 * DAY)
    assert asked(one, old, new).status is GOOD
    assert asked(one, new, crl("FO-PP", [one.serial], number=1, this_update=NOW - 4 * DAY)).status is REVOKED


def test_a_list_that_the_authority_did_not_sign_counts_for_nothing(one: CardCertificate) -> None:
    """Another key's signature, in the authority's name: neither opposed nor good, and the list is told as refused."""
    for forged in (
        crl("FO-PP", [one.serial], number=9, signer=key("stranger")),
        crl("FO-PP", [one.serial], number=9, signer=key("stranger"), named_key=key("stranger")),
    ):
        found = asked(one, forged)
        assert (found.status, found.text) == (UNKNOWN, "liste d'opposition sans signature valable")
        found = asked(one, crl("FO-PP", number=8), forged)
        assert (found.status, found.unverified) == (GOOD, 1)


def test_an_authority_whose_key_cannot_be_worked_with_signs_no_list(one: CardCertificate) -> None:
    """A key that is none, and a list signed with an algorithm that is none: unknown, without exception."""
    parent = issuer("FO-PP")
    rsa = bytes.fromhex("06092a864886f70d010101")
    assert parent.der.count(rsa) == 1
    odd = replace(parent, der=parent.der.replace(rsa, bytes.fromhex("06092a864886f70d01017f")), sha256="odd")
    listed = crl("FO-PP", [one.serial])
    assert store(listed).status(one, odd, NOW).status is UNKNOWN
    sha256 = bytes.fromhex("2a864886f70d01010b")
    assert asked(one, listed.replace(sha256, bytes.fromhex("2a864886f70d01017f"))).status is UNKNOWN


def test_rule_14_r_algo_a_list_under_a_weak_digest_counts_for_nothing(one: CardCertificate) -> None:
    """R-ALGO: SHA-1 vouches for nothing, also not for an absence from a list; the same list under SHA-256 does."""
    der = crl("FO-PP", [one.serial ^ 1])
    assert asked(one, resigned(der, 0x0B, hashes.SHA256(), what=CertificateList)).status is GOOD
    found = asked(one, resigned(der, 0x05, hashes.SHA1(), what=CertificateList))
    assert (found.status, found.unverified) == (UNKNOWN, 1)


def test_a_changed_list_counts_for_nothing(one: CardCertificate) -> None:
    """One octet of a signed list changed: unknown."""
    other = one.serial ^ 1
    der = crl("FO-PP", [other])
    raw = other.to_bytes(20, "big").lstrip(b"\0")
    assert asked(one, der.replace(raw, one.serial.to_bytes(len(raw), "big"))).status is UNKNOWN


def test_an_authority_that_may_not_sign_lists_signs_none(one: CardCertificate) -> None:
    """RFC 5280 §6.3.3 (f): the issuer's KeyUsage must allow cRLSign."""
    parent = pki().authorities["FO-PP"]

    def authority(**bits: bool) -> CardCertificate:
        names = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(parent.name)
            .issuer_name(parent.name)
            .public_key(parent.key.public_key())
            .serial_number(7)
            .not_valid_before(NOW)
            .not_valid_after(END)
        )
        if bits:
            builder = builder.add_extension(x509.KeyUsage(**{**names, **bits}), critical=True)
        return read_certificate(builder.sign(parent.key, hashes.SHA256()).public_bytes(Encoding.DER))

    lists = store(crl("FO-PP", [one.serial]))
    assert lists.status(one, authority(key_cert_sign=True), NOW).status is UNKNOWN
    assert lists.status(one, authority(key_cert_sign=True, crl_sign=True), NOW).status is REVOKED
    assert lists.status(one, authority(), NOW).status is REVOKED
    assert not signed_by(crl("FO-PP"), authority(key_cert_sign=True))
    assert signed_by(crl("FO-PP"), authority())
    assert not signed_by(crl("FO-PP"), issuer("EL-PP"))


PARTIAL = {
    "authorities only": point(only_contains_ca_certs=True),
    "some reasons": point(only_some_reasons=frozenset({LOST})),
    "indirect": point(indirect_crl=True),
    "attribute certificates": point(only_contains_attribute_certs=True),
    "relative name": point(
        relative_name=x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, "1")])
    ),
    "another point": point(full_name=uri("http://elsewhere.example/2.crl")),
}


@pytest.mark.parametrize("name", PARTIAL)
def test_absence_from_a_partial_list_proves_nothing(one: CardCertificate, name: str) -> None:
    """A list that does not speak of all certificates opposes what it lists and clears nothing else."""
    found = asked(one, crl("FO-PP", point=PARTIAL[name]))
    assert (found.status, found.text) == (UNKNOWN, "liste d'opposition partielle")
    assert asked(one, crl("FO-PP", [one.serial], point=PARTIAL[name])).status is REVOKED


TAIL = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Liste 2")])


def directory(*tail: x509.RelativeDistinguishedName) -> list[x509.DirectoryName]:
    """A name below the authority's own."""
    return [x509.DirectoryName(x509.Name([*authority("FO-PP").name.rdns, *tail]))]


def published_at(**changes: Any) -> CardCertificate:
    """A certificate whose list is published under these names."""
    names: dict[str, Any] = {"full_name": None, "relative_name": None, "reasons": None, "crl_issuer": None, **changes}
    extension = x509.CRLDistributionPoints([x509.DistributionPoint(**names)])
    return read_certificate(leaf(extensions=[(extension, False)]))


# Made by the tests: the authority's keys take a second, and every worker process would make them while it collects
NAMED: dict[str, Callable[[], dict[str, Any]]] = {
    "full": lambda: {"full_name": directory(TAIL)}, "relative": lambda: {"relative_name": TAIL},
}  # fmt: skip
LIMITS: dict[str, Callable[[], dict[str, Any]]] = {
    "some reasons": lambda: {"reasons": frozenset({LOST})}, "another issuer": lambda: {"crl_issuer": directory()},
}  # fmt: skip


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("listed", NAMED)
def test_a_point_named_in_a_directory(named: str, listed: str) -> None:
    """RFC 5280 §4.2.1.13, §5.2.5: a name in full and the same one relative to the authority are one point."""
    own = published_at(**NAMED[named]())
    assert asked(own, crl("FO-PP", point=point(**NAMED[listed]()))).status is GOOD
    assert asked(own, crl("FO-PP", point=point(full_name=directory()))).status is UNKNOWN
    assert asked(own, crl("FO-PP", [own.serial], point=point(full_name=directory()))).status is REVOKED


@pytest.mark.parametrize("limit", LIMITS)
def test_a_point_that_does_not_tell_everything(limit: str) -> None:
    """RFC 5280 §6.3.3 (b) (1), (d): a point for some reasons, or another issuer's, clears nobody."""
    own = published_at(full_name=uri(OWN_POINT), **LIMITS[limit]())
    assert asked(own, crl("FO-PP", point=point(full_name=uri(OWN_POINT)))).status is UNKNOWN


@pytest.mark.parametrize(
    "own", [point(only_contains_user_certs=True), point(full_name=uri(OWN_POINT))], ids=["users", "own point"]
)
def test_a_list_that_speaks_of_the_certificate_clears_it(one: CardCertificate, own: Any) -> None:
    """A list of user certificates, or of the certificate's own distribution point, is enough."""
    assert asked(one, crl("FO-PP", point=own)).status is GOOD


def test_a_list_of_user_certificates_does_not_clear_an_authority() -> None:
    """An authority is cleared by a list of authorities, not by one of users."""
    lists = store(crl("FO", point=point(only_contains_user_certs=True)))
    assert lists.status(issuer("FO-PP"), issuer("FO"), NOW).status is UNKNOWN
    lists.add(crl("FO", point=point(only_contains_ca_certs=True), number=2))
    assert lists.status(issuer("FO-PP"), issuer("FO"), NOW).status is GOOD


def test_numbers_are_compared_within_one_scope(one: CardCertificate) -> None:
    """RFC 5280 §5.2.3: the authorities' list with a higher number is no newer version of the users' list."""
    users, authorities = point(only_contains_user_certs=True), point(only_contains_ca_certs=True)
    found = asked(one, crl("FO-PP", number=5, point=users), crl("FO-PP", number=20, point=authorities))
    assert (found.status, found.refused) == (GOOD, ())


def test_a_delta_belongs_to_the_base_of_its_scope(one: CardCertificate) -> None:
    """RFC 5280 §5.2.4: a delta of another scope lifts nothing."""
    users = point(only_contains_user_certs=True)
    base = crl("FO-PP", {one.serial: HOLD}, number=10)
    assert asked(one, base, crl("FO-PP", {one.serial: REMOVED}, number=11, base=10, point=users)).status is REVOKED


def test_an_unknown_critical_extension_makes_a_list_partial(one: CardCertificate) -> None:
    """RFC 5280 §5.2: with a critical extension that nobody knows here, listed counts and absent proves nothing."""
    odd = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert asked(one, crl("FO-PP", extensions=[(odd, True)])).status is UNKNOWN
    assert asked(one, crl("FO-PP", [one.serial], extensions=[(odd, True)])).status is REVOKED
    assert asked(one, crl("FO-PP", extensions=[(odd, False)])).status is GOOD


def test_a_later_list_says_nothing_of_a_certificate_that_has_ended() -> None:
    """Expired certificates leave the lists: judged in its time, a certificate is cleared by a list of its time only."""
    ended = read_certificate(leaf(not_before=NOW - 90 * DAY, not_after=NOW - 30 * DAY))
    then = NOW - 40 * DAY
    later = crl("FO-PP", number=200)
    found = asked(ended, later, at=then)
    assert (found.status, found.text) == (UNKNOWN, "listes d'opposition postérieures à la fin du certificat")
    of_its_time = {"number": 100, "this_update": then - HOUR, "next_update": then + DAY}
    assert asked(ended, later, crl("FO-PP", **of_its_time), at=then).status is GOOD
    assert asked(ended, later, crl("FO-PP", [ended.serial], **of_its_time), at=then).status is REVOKED
    assert asked(ended, crl("FO-PP", [ended.serial], number=200), at=then).status is REVOKED
    assert asked(ended, later, at=NOW).status is GOOD


def test_one_list_given_twice_is_held_once() -> None:
    """The same list again adds nothing; DER and PEM, one file or several, are the same list."""
    der, other = crl("FO-PP", number=1), crl("FO-PP", number=2)
    lists = store(der, pem(der, "X509 CRL"), pem(der, "X509 CRL") + pem(other, "X509 CRL"))
    assert sorted(info.number or 0 for info in lists.infos()) == [1, 2]
    assert lists.generation == 2


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """A list's file costs a look while it stays the same, and is read when it changes."""
    path, lists = tmp_path / "a.crl", CrlStore()
    path.write_bytes(crl("FO-PP", number=1))
    lists.add_file(path)
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    lists.add_file(path)
    path.write_bytes(crl("FO-PP", number=2, this_update=NOW - 2 * HOUR))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    lists.add_file(path)
    assert [info.number for info in lists.infos()] == [1, 2]
    with pytest.raises(OSError, match="absent"):
        lists.add_file(tmp_path / "absent.crl")


UNREADABLE = {
    "empty": b"",
    "text": b"bonjour",
    "PEM cut": b"-----BEGIN X509 CRL-----\nMAA=",
    "PEM of something else": b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    "serial of 21 octets": None,
    "certificate": None,
    "cut": None,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_list_is_unreadable(name: str) -> None:
    """Bytes that are no list give CrlUnreadable, and the store keeps what it had."""
    made = {
        "certificate": pki().anchors[0],
        "cut": crl("FO-PP")[:-1],
        "serial of 21 octets": big_crl("FO-PP", [1 << 163]),
    }
    lists = store(crl("EL-PP"))
    with pytest.raises(CrlUnreadable):
        lists.add(UNREADABLE[name] or made.get(name, b""))
    assert len(lists.infos()) == 1


def test_the_issuer_is_taken_as_it_is_written() -> None:
    """An old authority whose name is a T61String in Latin-1 is found by the octets of its name."""
    der = crl("FO-PP")
    old, new = tlv(0x0C, b"IGC-SANTE TEST"), tlv(0x14, b"IGC-SANT\xe9 TEST")
    assert der.count(old) == 1
    info = index_crl(der.replace(old, new), None).info
    assert new.hex() in info.issuer


def test_an_entry_whose_extensions_cannot_be_read_is_listed_all_the_same(one: CardCertificate) -> None:
    """A damaged reason does not hide the entry, nor the rest of the list, and is never lifted."""
    entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(NOW)
    odd = x509.UnrecognizedExtension(CRLEntryExtensionOID.CRL_REASON, b"\x0a\x01\x63")
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki().authorities["FO-PP"].name)
        .last_update(NOW - HOUR)
        .next_update(NOW + DAY)
        .add_extension(x509.CRLNumber(10), critical=False)
        .add_revoked_certificate(entry.add_extension(odd, critical=False).build())
    )
    der = builder.sign(pki().authorities["FO-PP"].key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert asked(one, der).status is REVOKED
    assert asked(one, der, crl("FO-PP", {one.serial: REMOVED}, number=11, base=10)).status is REVOKED


# Indexes and what they cost


class Work:
    """Counts what a verdict costs: lists parsed, records looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parsed = self.looked = 0
        load, look = x509.load_der_x509_crl, SerialIndex.__getitem__

        def parse(der: bytes) -> x509.CertificateRevocationList:
            self.parsed += 1
            return load(der)

        def get(index: SerialIndex, place: int) -> bytes:
            self.looked += 1
            return look(index, place)

        monkeypatch.setattr(x509, "load_der_x509_crl", parse)
        monkeypatch.setattr(SerialIndex, "__getitem__", get)

    def of(self, call: Callable[[], Any]) -> tuple[int, int]:
        """(lists parsed, records looked at) during the call."""
        before = self.parsed, self.looked
        call()
        return self.parsed - before[0], self.looked - before[1]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """A counter of work."""
    return Work(monkeypatch)


LARGE = 30_000


@pytest.fixture(scope="module")
def large() -> bytes:
    """A list of many entries: odd serials only."""
    return big_crl("FO-PP", range(1, 2 * LARGE, 2))


def test_a_verdict_costs_the_same_with_a_large_list_as_with_a_small_one(
    one: CardCertificate, large: bytes, tmp_path: Path, work: Work
) -> None:
    """With its index in the cache a list is not parsed, nor its signature checked; a look-up is a bisection."""
    small = crl("FO-PP", range(1, 100, 2))

    def call(der: bytes) -> RevocationStatus:
        lists = CrlStore(tmp_path)
        lists.add(der)
        return lists.status(one, issuer("FO-PP"), NOW)

    assert work.of(lambda: call(large))[0] == 2  # once to index, once for the signature
    work.of(lambda: call(small))
    for der, entries in ((small, 50), (large, LARGE)):
        parsed, looked = work.of(lambda der=der: call(der))
        assert parsed == 0
        assert looked <= math.ceil(math.log2(entries)) + 2
        assert call(der).status is GOOD


def test_a_second_question_checks_no_signature_again(one: CardCertificate, work: Work) -> None:
    """A new list does not make the signatures of the others be checked again."""
    lists = store(crl("FO-PP", number=1))
    ask = lambda: lists.status(one, issuer("FO-PP"), NOW)  # noqa: E731
    assert work.of(ask)[0] == 1
    assert work.of(ask)[0] == 0
    new = crl("FO-PP", number=2)
    assert work.of(lambda: lists.add(new))[0] == 1
    assert work.of(ask)[0] == 1


def test_the_cache_is_known_by_the_digest_of_the_file(one: CardCertificate, large: bytes, tmp_path: Path) -> None:
    """Two files lie in the cache for each list, named by its SHA-256; the same answers come out of them."""
    digest = hashlib.sha256(large).hexdigest()
    first = CrlStore(tmp_path)
    first.add(large)
    assert first.status(one, issuer("FO-PP"), NOW).status is GOOD
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{digest}.idx", f"{digest}.json"]
    assert (tmp_path / f"{digest}.idx").stat().st_size == LARGE * RECORD
    index = index_crl(large, tmp_path).serials
    assert len(index) == LARGE
    assert all(index.find(serial) is not None for serial in (1, 3, 2 * LARGE - 1, LARGE + 1))
    assert all(index.find(serial) is None for serial in (0, 2, -1, 2 * LARGE + 1, 1 << 200))
    assert index_crl(crl("FO-PP"), tmp_path).serials.find(1) is None
    assert len(index_crl(crl("FO-PP"), tmp_path).serials) == 0


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"format": 0}', '{"format": 2}', "index cut", "index gone", "wrong types"]
)
def test_a_damaged_index_is_made_anew(one: CardCertificate, tmp_path: Path, damage: str) -> None:
    """Whatever befalls the cache, the answer is that of the list."""
    der = crl("FO-PP", [one.serial])
    CrlStore(tmp_path).add(der)
    described, index = next(tmp_path.glob("*.json")), next(tmp_path.glob("*.idx"))
    if damage == "index cut":
        index.write_bytes(index.read_bytes()[:-1])
    elif damage == "index gone":
        index.unlink()
    elif damage == "wrong types":
        described.write_text(json.dumps({**json.loads(described.read_text()), "this_update": 7}))
    else:
        described.write_text(damage)
    lists = CrlStore(tmp_path)
    lists.add(der)
    assert lists.status(one, issuer("FO-PP"), NOW).status is REVOKED
    assert json.loads(described.read_text())["format"] == crlindex.FORMAT


def test_a_cache_that_cannot_be_written_changes_no_answer(one: CardCertificate, tmp_path: Path) -> None:
    """A cache folder that is a file, or a full disk, only costs time."""
    (tmp_path / "cache").write_text("a file")
    lists = CrlStore(tmp_path / "cache")
    lists.add(crl("FO-PP", [one.serial]))
    assert lists.status(one, issuer("FO-PP"), NOW).status is REVOKED
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@given(st.lists(st.integers(0, (1 << 160) - 1), max_size=40, unique=True), st.integers(0, (1 << 160) - 1))
def test_the_index_finds_what_it_holds_and_nothing_else(serials: list[int], other: int) -> None:
    """Every serial put into an index is found in it, and no other."""
    tail = bytes(RECORD - crlindex.WIDTH)
    index = SerialIndex(b"".join(sorted(serial.to_bytes(crlindex.WIDTH, "big") + tail for serial in serials)))
    assert all(index.find(serial) is not None for serial in serials)
    assert (index.find(other) is not None) == (other in serials)


places = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=6)
POINT = point(full_name=uri(OWN_POINT), only_contains_user_certs=True)


@cache
def sample(which: str) -> bytes:
    """A list or a card, made when it is first needed: its keys take a second."""
    if which == "card":
        return card("CPS").signature.certificate
    if which == "base":
        return crl("FO-PP", {5: HOLD, 6: LOST, 7: None}, number=10, point=POINT)
    return crl("FO-PP", {5: REMOVED}, number=11, base=10, point=POINT)


@settings(max_examples=500)
@given(st.sampled_from(["base", "delta"]), places, st.integers(0, 900))
def test_a_mutated_list_is_read_or_unreadable(which: str, changes: list[tuple[int, int]], cut: int) -> None:
    """Changed and cut octets of a list are read or CrlUnreadable; once read, they never clear anybody."""
    der = sample(which)
    data = bytearray(der)
    for place, value in changes:
        data[place % len(data)] = value
    one = read_certificate(sample("card"))
    for octets in (bytes(data), bytes(data[: cut % len(data)])):
        lists = CrlStore()
        try:
            lists.add(octets)
        except CrlUnreadable:
            continue
        if octets != der:
            assert lists.status(one, issuer("FO-PP"), NOW).status is UNKNOWN


@given(st.binary(max_size=200))
def test_no_octets_make_the_list_reader_fail(data: bytes) -> None:
    """Any octets are a list or CrlUnreadable."""
    for octets in (data, b"-----BEGIN X509 CRL-----\n" + data + b"\n-----END X509 CRL-----\n"):
        try:
            CrlStore().add(octets)
        except CrlUnreadable:
            continue
