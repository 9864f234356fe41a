"""SignedData as the reader judges it: attributes, signers, algorithms (R-SIGNERS, R-ECONTENT, R-ATTRS, R-ALGO)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

import forge
from dcc.smime import der
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_cms
from dcc.smime.seal import Profile
from dcc.smime.verdict import Covered, Opened, Problem
from forge import Signing, signed_data
from throwaway import ENTITY, FIELDS, multipart, pair, part, sealed

Open = Callable[..., Opened]
GOOD: dict[str, list[Signing]] = {
    "rsa sha256": [Signing()],
    "rsa sha384": [Signing(digest="sha384")],
    "rsa sha512": [Signing(digest="sha512")],
    "pss": [Signing(pss_salt=32)],
    "pss sha512, short salt": [Signing(digest="sha512", pss_salt=20)],
    "p256": [Signing(pair("p256"))],
    "p384": [Signing(pair("p384"), digest="sha384")],
    "p521": [Signing(pair("p521"), digest="sha512")],
    "by key identifier": [Signing(by_key_identifier=True)],
    "no attributes over data": [Signing(attributes=False)],
    "no signing time": [Signing(time=None)],
    "two signers": [Signing(), Signing(pair("p256"), digest="sha384")],
    "unknown attribute, Microsoft's": [
        Signing(more=[der.attribute("1.3.6.1.4.1.311.16.4", der.sequence(b"\x30\x00", der.integer(7)))])
    ],
    "unsigned attribute": [Signing(unsigned=[der.attribute("1.2.840.113549.1.9.16.2.14", der.octets(b"x"))])],
    "generalized time": [Signing(time=der.tlv(0x18, b"20510101000000Z"))],
}


@pytest.mark.parametrize("chunk", [0, 7, 1000])
@pytest.mark.parametrize("name", GOOD)
def test_good_opaque(name: str, chunk: int, open_cms_part: Open) -> None:
    """Every legal signature over enclosed content is intact and valid, in DER and in BER segments of any size."""
    found = open_cms_part(signed_data(ENTITY, GOOD[name], chunk=chunk))
    assert found.problem is None
    assert found.signed
    assert found.intact
    assert found.content is not None
    assert found.content.open().read() == ENTITY
    assert found.content.sha256 == hashlib.sha256(ENTITY).hexdigest()


@pytest.mark.parametrize("name", GOOD)
def test_good_detached(name: str, open_mail: Open) -> None:
    """The same beside the content, in multipart/signed."""
    found = open_mail(multipart(ENTITY, signed_data(ENTITY, GOOD[name], enclosed=False)))
    assert found.problem is None
    assert found.content is not None
    assert found.content.open().read() == ENTITY
    assert [layer.details["form"] for layer in found.layers] == ["detached"]


REFUSED: dict[str, tuple[list[Signing], str]] = {
    "no contentType attribute": ([Signing(content_type=None)], "R-ATTRS"),
    "contentType of another type": ([Signing(content_type=forge.ENVELOPED)], "R-ATTRS"),
    "contentType twice": ([Signing(more=[der.attribute(forge.CONTENT_TYPE, der.oid(forge.DATA))])], "R-ATTRS"),
    "messageDigest twice": ([Signing(more=[der.attribute(forge.MESSAGE_DIGEST, der.octets(bytes(32)))])], "R-ATTRS"),
    "another digest": ([Signing(digest_value=bytes(32))], ""),
    "signingTime with two values": (
        [Signing(time=None, more=[der.attribute(forge.SIGNING_TIME, der.time(datetime(2024, 1, 1, tzinfo=UTC)), b"\x05\x00")])],
        "R-ATTRS",
    ),
    "signingTime without Z": ([Signing(time=der.tlv(0x17, b"240101000000"))], "R-ATTRS"),
    "signingTime of the 13th month": ([Signing(time=der.tlv(0x17, b"241301000000Z"))], "R-ATTRS"),
    "attributes out of order": ([Signing(unsorted=True)], "R-ATTRS"),
    "signingTime unsigned": (
        [Signing(unsigned=[der.attribute(forge.SIGNING_TIME, der.time(datetime(2024, 1, 1, tzinfo=UTC)))])],
        "R-ATTRS",
    ),
    "a signature of zeros": ([Signing(signature=bytes(256))], ""),
    "one good, one bad": ([Signing(), Signing(pair("p256"), signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")], ""),
    "pss with another mask hash": ([Signing(pss_salt=32, algorithm=forge.pss_algorithm("sha256", "sha384", 32))], ""),
    "pss with another hash": ([Signing(pss_salt=32, algorithm=forge.pss_algorithm("sha384", "sha384", 32))], ""),
    "digest against signature algorithm": ([Signing(algorithm=der.algorithm("1.2.840.113549.1.1.13", der.NULL))], ""),
    "rsa algorithm with an ec key": ([Signing(pair("p256"), algorithm=der.algorithm(forge.RSA, der.NULL))], ""),
    "unknown signature algorithm": ([Signing(algorithm=der.algorithm("1.2.3.4"))], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_rule_7_attributes(name: str, open_cms_part: Open) -> None:
    """R-ATTRS, R-SIGNERS: whatever is not as RFC 5652 §5 and §11 say is not intact, and names the rule."""
    signers, rule = REFUSED[name]
    found = open_cms_part(signed_data(ENTITY, signers))
    assert found.problem is Problem.NOT_INTACT
    assert found.signed
    assert not found.intact
    assert found.content is None
    if rule:
        assert rule in found.findings


def test_rule_7_other_content_type_needs_attributes(open_cms_part: Open) -> None:
    """R-ATTRS: without signed attributes only content of type data can be signed (RFC 5652 §5.3)."""
    kind = "1.2.840.113549.1.9.16.1.4"
    alone = open_cms(io.BytesIO(signed_data(ENTITY, [Signing(content_type=kind)], content_type=kind)))
    assert alone.problem is None
    bare = open_cms_part(signed_data(ENTITY, [Signing(attributes=False)], content_type=kind))
    assert bare.problem is Problem.NOT_INTACT
    assert "R-ATTRS" in bare.findings


@pytest.mark.parametrize("enclosed", [True, False])
def test_rule_7_attributes_as_content(enclosed: bool, open_mail: Open, open_cms_part: Open) -> None:
    """R-ATTRS: a signature over another message's attributes, replayed as content without attributes, is refused."""
    stolen = der.tlv(0x31, *Signing().signed_attributes(ENTITY))
    cms = signed_data(stolen, [Signing(attributes=False)], enclosed=enclosed)
    found = open_cms_part(cms) if enclosed else open_mail(multipart(stolen, cms))
    assert found.problem is Problem.NOT_INTACT
    assert "R-ATTRS" in found.findings


def test_rule_5_no_signer(open_cms_part: Open) -> None:
    """R-SIGNERS: a SignedData without a SignerInfo, with or without content, is not signed."""
    certificate = pair().certificate
    for content in (ENTITY, b""):
        found = open_cms_part(signed_data(content, [], certificates=[certificate], enclosed=bool(content)))
        assert found.problem is Problem.NOT_SIGNED
        assert not found.signed
        assert found.content is None


def test_rule_5_certificate_not_enclosed(open_cms_part: Open) -> None:
    """R-SIGNERS: a signer whose certificate is absent, or another one of the same name, is not verified."""
    for certificates in ([], [pair("p256").certificate]):
        found = open_cms_part(signed_data(ENTITY, certificates=certificates))
        assert found.problem is Problem.NOT_INTACT
        assert "R-SIGNERS" in found.findings


def test_rule_6_content_in_both_places(open_mail: Open) -> None:
    """R-ECONTENT: multipart/signed whose CMS also carries content is refused."""
    found = open_mail(multipart(ENTITY, signed_data(ENTITY)))
    assert found.problem is Problem.AMBIGUOUS
    assert found.detail == "R-ECONTENT"


def test_rule_6_two_parts(open_mail: Open) -> None:
    """R-ECONTENT: multipart/signed has exactly two parts, the second a signature."""
    good = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
    third = good.replace(b"--b--", b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--")
    other = good.replace(b"application/pkcs7-signature; name", b"application/octet-stream; name")
    alone = good[: good.index(b"\r\n--b\r\nContent-Type: application/pkcs7-signature")] + b"\r\n--b--\r\n"
    for bad in (third, other, alone):
        assert open_mail(bad).problem is Problem.AMBIGUOUS
    assert open_mail(good.replace(b"pkcs7-signature", b"x-pkcs7-signature")).problem is None


def test_rule_6_micalg_is_advice(open_mail: Open) -> None:
    """R-ECONTENT: a wrong or missing micalg changes nothing."""
    good = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
    for value in (b"micalg=md5;", b""):
        assert open_mail(good.replace(b"micalg=sha-256;", value)).problem is None


def test_rule_9_content_type(open_mail: Open, open_cms_part: Open) -> None:
    """R-CT: the OID decides, a contradicting smime-type is noted; octet-stream only with its name; no sniffing."""
    cms = signed_data(ENTITY)
    odd = open_cms_part(cms, "application/x-pkcs7-mime; smime-type=enveloped-data")
    assert odd.problem is None
    assert "R-CT" in odd.findings
    assert open_cms_part(cms, "application/octet-stream; name=smime.p7m").problem is None
    for kind in ("application/octet-stream", "text/plain; name=smime.p7m", "application/octet-stream; name=a.pdf"):
        assert open_cms_part(cms, kind).problem is Problem.NOT_SIGNED
    pgp = multipart(ENTITY, signed_data(ENTITY, enclosed=False)).replace(b'pkcs7-signature"', b'pgp-signature"')
    assert open_mail(pgp).problem is Problem.NOT_SIGNED


WEAK = {"sha1": Signing(digest="sha1"), "rsa-1024": Signing(pair("rsa-1024")), "pss salt": Signing(pss_salt=64)}


@pytest.mark.parametrize("name", WEAK)
def test_rule_14_weak(name: str, open_cms_part: Open) -> None:
    """R-ALGO: right by arithmetic and weak by name: intact; only the archive switch gives the content, never believed."""
    cms = signed_data(ENTITY, [WEAK[name]])
    closed, archive = open_cms_part(cms), open_cms_part(cms, allow_legacy=True)
    for found in (closed, archive):
        assert (found.problem, found.detail, found.intact) == (Problem.WEAK, name, True)
        assert all(one.weak and one.good for one in found.signers)
        assert "R-ALGO" in found.findings
        assert found.covered == Covered(len(ENTITY), hashlib.sha256(ENTITY).hexdigest())
    assert closed.content is None
    assert archive.content is not None
    assert archive.content.open().read() == ENTITY


def test_rule_14_weak_and_altered(open_cms_part: Open) -> None:
    """R-ALGO: the archive switch mends nothing: what a weak signature does not cover is not intact, and not given."""
    cms = signed_data(ENTITY, [WEAK["sha1"]]).replace(b"RCP", b"RCQ", 1)
    for switch in (False, True):
        found = open_cms_part(cms, allow_legacy=switch)
        assert (found.problem, found.content, found.covered) == (Problem.NOT_INTACT, None, None)


@pytest.mark.parametrize("name", WEAK)
def test_rule_14_nothing_is_read_under_a_weak_signature(name: str, open_cms_part: Open, reader: KeyPair) -> None:
    """R-ALGO: an envelope inside a weak signature stays closed; with the archive switch it is opened, and weak still."""
    sealed_mail = sealed(Profile(), recipient=reader.certificate)[0]
    cms = signed_data(sealed_mail, [WEAK[name]])
    closed = open_cms_part(cms, keys=[reader])
    assert (closed.problem, closed.detail, closed.encrypted) == (Problem.WEAK, name, False)
    assert [one.kind for one in closed.layers] == ["signed"]
    archive = open_cms_part(cms, keys=[reader], allow_legacy=True)
    assert (archive.problem, archive.detail, archive.decrypted) == (Problem.WEAK, name, True)
    assert [one.kind for one in archive.layers] == ["signed", "enveloped", "signed"]
    strong = open_cms_part(signed_data(sealed_mail, [Signing()]), keys=[reader])
    assert strong.problem is None


def test_ed25519(shared: Any, open_cms_part: Open) -> None:
    """Ed25519 signs with SHA-512 (RFC 8419 §3.1); another digest is refused."""
    from dcc.smime.keys import load_pkcs8

    folder = shared / "vectors/rfc/rfc9216"
    key = (folder / "7.2_Carlos_s_Signing_Private_Key_Material.pem").read_bytes()
    certificate = (folder / "7.1_Carlos_s_Signature_Verification_End_Entity_Certificate.pem").read_bytes()
    carlos = load_pkcs8(key, certificate)
    assert isinstance(carlos.key, ed25519.Ed25519PrivateKey)
    assert open_cms_part(signed_data(ENTITY, [Signing(carlos, digest="sha512")])).problem is None
    assert open_cms_part(signed_data(ENTITY, [Signing(carlos)])).problem is Problem.NOT_INTACT


def test_altered_content(open_mail: Open, open_cms_part: Open) -> None:
    """One octet of the content changed: not intact, whether beside or inside."""
    changed = ENTITY.replace(b"RCP", b"RCQ", 1)
    beside = open_mail(multipart(ENTITY, signed_data(ENTITY, enclosed=False)).replace(ENTITY, changed))
    inside = open_cms_part(signed_data(ENTITY).replace(ENTITY, changed))
    for found in (beside, inside):
        assert found.problem is Problem.NOT_INTACT
        assert found.signers[0].valid
        assert not found.signers[0].intact


def test_line_ends(open_mail: Open) -> None:
    """A file saved with bare line feeds is verified in its canonical form; a mail with CRLF outside is not mended."""
    mail = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
    from io import BytesIO

    from dcc.smime.open import open_message

    saved = open_message(BytesIO((FIELDS + mail).replace(b"\r\n", b"\n")))
    assert saved.problem is None
    assert "R-LINES" in saved.findings
    assert saved.content is not None
    assert saved.content.open().read() == ENTITY
    assert open_mail(mail.replace(ENTITY, ENTITY.replace(b"\r\n", b"\n"))).problem is Problem.NOT_INTACT


def test_limits_of_signers_and_certificates(open_cms_part: Open) -> None:
    """Ten SignerInfos and a hundred certificates are read, one more of either is over the limit."""
    one = Signing()
    assert open_cms_part(signed_data(ENTITY, [one] * 10, certificates=[pair().certificate] * 100)).problem is None
    many = open_cms_part(signed_data(ENTITY, [one] * 11))
    assert (many.problem, many.detail) == (Problem.LIMIT, "signer_infos")
    crowd = open_cms_part(signed_data(ENTITY, certificates=[pair().certificate] * 101))
    assert (crowd.problem, crowd.detail) == (Problem.LIMIT, "certificates")


def test_encryption_key_preference(open_cms_part: Open) -> None:
    """SMIMEEncryptionKeyPreference is resolved among the enclosed certificates (RFC 8551 §2.5.3)."""
    from dcc.smime.certificates import parts

    other = pair("rsa", "encrypt", "gateway").certificate
    cut = parts(other)
    value = der.tlv(0xA0, cut.issuer, der.integer(cut.serial))
    signer = Signing(more=[der.attribute("1.2.840.113549.1.9.16.2.11", value)])
    found = open_cms_part(signed_data(ENTITY, [signer], certificates=[pair().certificate, other]))
    assert found.signers[0].encryption_key_preference == other


def test_rule_9_r_ct_signed_as_something_else(open_cms_part: Open, reader: KeyPair) -> None:
    """R-CT: a time stamp or a receipt that somebody signed is whole, and is no mail of theirs (RFC 8551 §2.4)."""
    for kind in ("1.2.840.113549.1.9.16.1.4", "1.2.840.113549.1.9.16.1.1", forge.ENVELOPED):
        cms = signed_data(ENTITY, [Signing(content_type=kind)], content_type=kind)
        found = open_cms_part(cms)
        assert (found.problem, found.content, found.intact) == (Problem.MALFORMED, None, True)
        assert kind in (found.detail or "")
        inside = open_cms_part(forge.enveloped_data(part("application/pkcs7-mime", cms)))
        assert (inside.problem, inside.content) == (Problem.MALFORMED, None)
        saved = open_cms(io.BytesIO(forge.enveloped_data(part("application/pkcs7-mime", cms))), keys=[reader])
        assert (saved.problem, saved.content) == (Problem.MALFORMED, None)  # what a person saved of such a mail
        alone = open_cms(io.BytesIO(cms))
        assert (alone.problem, alone.intact) == (None, True)


def test_rule_7_values_are_der(open_cms_part: Open) -> None:
    """R-ATTRS: the values of the attributes that count are DER too (RFC 5652 §5.3)."""

    class Long(Signing):
        def signed_attributes(self, content: bytes) -> list[bytes]:
            value = hashlib.sha256(content).digest()
            odd = der.attribute(forge.MESSAGE_DIGEST, b"\x04\x81\x20" + value)
            usual = Signing.signed_attributes(self, content)
            return sorted([odd, *(one for one in usual if value not in one)])

    found = open_cms_part(signed_data(ENTITY, [Long()]))
    assert found.problem is Problem.NOT_INTACT
    assert "R-ATTRS" in found.findings


def test_rule_7_long_attributes_as_content(open_cms_part: Open) -> None:
    """R-ATTRS: attributes of another message are known as such however long they are."""
    more = [der.attribute("1.2.3.4", der.octets(bytes(100_000)))]
    stolen = der.tlv(0x31, *Signing(more=more).signed_attributes(ENTITY))
    found = open_cms_part(signed_data(stolen, [Signing(attributes=False)]))
    assert found.problem is Problem.NOT_INTACT
    assert "R-ATTRS" in found.findings


def test_digest_algorithms_listed_again_and_again(open_cms_part: Open) -> None:
    """Some list one digest for each signer; the last of many still counts (RFC 5652 §5.1)."""
    names = ["sha256"] * 9 + ["sha512"]
    assert open_cms_part(signed_data(ENTITY, [Signing(digest="sha512")], digests=names)).problem is None


def test_a_comment_beside_the_transfer_encoding(open_mail: Open) -> None:
    """Content-Transfer-Encoding is a structured field and may hold a comment (RFC 2045 §6.1, RFC 5322 §3.2.2)."""
    mail = part("application/pkcs7-mime", signed_data(ENTITY))
    assert open_mail(mail.replace(b": base64", b": (usual) BASE64 (of PEM)")).problem is None
