"""Wycheproof's vectors through our own use of the primitives: what is valid passes, what is invalid never does.

What is acceptable is decided here, once: OAEP takes it, all others refuse it or are silent about it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

import forge
from dcc.smime import aead, algorithms, ber, berstream, der, enveloped, kem, keywrap, recipients, signatures
from dcc.smime.errors import NotOpened, SmimeError
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile

LIMITS = Limits()
Case = dict[str, Any]


def cases(shared: Path, name: str) -> Iterator[tuple[Case, Case]]:
    """(group, test) of one file."""
    document = json.loads((shared / "vectors/wycheproof" / f"{name}.json").read_text())
    for group in document["testGroups"]:
        for test in group["tests"]:
            yield group, test


def files(pattern: str) -> list[str]:
    """The names of the files of one family, known even where the folder is absent."""
    return sorted(name for name in NAMES if name.startswith(pattern))


NAMES = (
    [f"ecdsa_secp{curve}_test" for curve in (
        "256r1_sha256", "256r1_sha512", "384r1_sha256", "384r1_sha384", "384r1_sha512", "521r1_sha512")]
    + [f"rsa_signature_{size}_sha{bits}_test" for size in (2048, 3072, 4096) for bits in (256, 384, 512)]
    + [f"rsa_pkcs1_{size}_test" for size in (2048, 3072, 4096)]
    + [f"rsa_oaep_{rest}_test" for rest in (
        "2048_sha1_mgf1sha1", "2048_sha256_mgf1sha1", "2048_sha256_mgf1sha256", "2048_sha384_mgf1sha1",
        "2048_sha384_mgf1sha384", "2048_sha512_mgf1sha1", "2048_sha512_mgf1sha512", "3072_sha256_mgf1sha1",
        "3072_sha256_mgf1sha256", "3072_sha512_mgf1sha1", "3072_sha512_mgf1sha512", "4096_sha256_mgf1sha1",
        "4096_sha256_mgf1sha256", "4096_sha512_mgf1sha1", "4096_sha512_mgf1sha512", "misc")]
    + [f"rsa_pss_{rest}_test" for rest in (
        "2048_sha256_mgf1_0_params", "2048_sha256_mgf1_0", "2048_sha256_mgf1_32_params", "2048_sha256_mgf1_32",
        "2048_sha384_mgf1_48", "2048_sha512_mgf1sha256_32_params", "3072_sha256_mgf1_32_params", "3072_sha256_mgf1_32",
        "4096_sha256_mgf1_32", "4096_sha384_mgf1_48", "4096_sha512_mgf1_32_params", "4096_sha512_mgf1_32",
        "4096_sha512_mgf1_64_params", "4096_sha512_mgf1_64", "misc_params", "misc")]
)  # fmt: skip
DIGEST_NAMES = {"SHA-1": "sha1", "SHA-224": "sha224", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
OIDS = {name: identifier for identifier, (name, _) in algorithms.DIGESTS.items()}


def octets(value: str) -> bytes:
    return bytes.fromhex(value)


def verified(key: object, family: str, digest: str, data: bytes, signature: bytes, parameters: bytes = b"") -> bool:
    """Whether our verification takes a signature over signed attributes that are `data`."""
    kind = algorithms.HASHES[digest]()
    try:
        pad: Any = signatures.padding.PKCS1v15()
        if family == "rsa-pss":
            pad, trusted = signatures._pss(parameters, ber.slices(parameters), kind, LIMITS)
            if not trusted:
                return False
        return signatures._check(key, family, pad, signature, kind, data, hashlib.new(digest, data).digest())
    except (InvalidSignature, SmimeError, *signatures.UNREADABLE):
        return False


def agrees(answers: Counter[tuple[str, bool]], *, acceptable: bool | None = False) -> None:
    """Every valid one passed, no invalid one did, and the acceptable ones as decided (None: either)."""
    assert answers["valid", True] > 0
    assert not answers["valid", False]
    assert not answers["invalid", True]
    if acceptable is not None:
        assert not answers["acceptable", not acceptable]


@pytest.mark.parametrize("name", files("ecdsa"))
def test_ecdsa(name: str, shared: Path) -> None:
    """ECDSA on P-256, P-384 and P-521: signatures in BER, out of range or of another hash are refused."""
    answers: Counter[tuple[str, bool]] = Counter()
    for group, test in cases(shared, name):
        key = load_der_public_key(octets(group["publicKeyDer"]))
        done = verified(key, "ecdsa", DIGEST_NAMES[group["sha"]], octets(test["msg"]), octets(test["sig"]))
        answers[test["result"], done] += 1
    agrees(answers)


@pytest.mark.parametrize("name", files("rsa_signature"))
def test_rsa_signature(name: str, shared: Path) -> None:
    """RSA v1.5: paddings forged, in BER or without NULL are refused."""
    answers: Counter[tuple[str, bool]] = Counter()
    for group, test in cases(shared, name):
        key = load_der_public_key(octets(group["publicKeyDer"]))
        done = verified(key, "rsa", DIGEST_NAMES[group["sha"]], octets(test["msg"]), octets(test["sig"]))
        answers[test["result"], done] += 1
    agrees(answers)


@pytest.mark.parametrize("name", files("rsa_pss"))
def test_rsa_pss(name: str, shared: Path) -> None:
    """R-ALGO: RSASSA-PSS with the same hash everywhere and a salt within it; all other parameters are refused, though valid."""
    answers: Counter[tuple[str, bool]] = Counter()
    for group, test in cases(shared, name):
        digest, mask = DIGEST_NAMES.get(group["sha"]), DIGEST_NAMES.get(group.get("mgfSha", ""))
        if digest is None or mask is None:  # SHAKE, SHA-512/256: not in the table, so never verified
            assert group["sha"] not in DIGEST_NAMES or group.get("mgfSha") not in DIGEST_NAMES
            continue
        salt = group["sLen"]
        parameters = der.sequence(
            der.tlv(0xA0, der.algorithm(OIDS[digest], der.NULL)),
            der.tlv(0xA1, der.algorithm(algorithms.MGF1, der.algorithm(OIDS[mask], der.NULL))),
            der.tlv(0xA2, der.integer(salt)),
        )
        key = load_der_public_key(octets(group["publicKeyDer"]))
        done = verified(key, "rsa-pss", digest, octets(test["msg"]), octets(test["sig"]), parameters)
        ours = digest == mask and salt <= hashlib.new(digest).digest_size
        answers[test["result"] if ours else "invalid", done] += 1
    if any(result == "valid" for result, _ in answers):
        agrees(answers)
    else:
        assert not answers["invalid", True]  # a file of parameters that are refused


@cache
def private_key(encoded: str) -> Any:
    return load_der_private_key(octets(encoded), None, unsafe_skip_rsa_key_validation=True)


@pytest.mark.parametrize("name", files("rsa_oaep"))
def test_rsa_oaep(name: str, shared: Path) -> None:
    """RSAES-OAEP with every hash and label, its parameters read as a message carries them (RFC 4055 §4.1)."""
    answers: Counter[tuple[str, bool]] = Counter()
    for group, test in cases(shared, name):
        digest, mask = DIGEST_NAMES.get(group["sha"]), DIGEST_NAMES.get(group["mgfSha"])
        if digest is None or mask is None:
            continue
        label = octets(test["label"])
        fields = [der.tlv(0xA0, der.algorithm(OIDS[digest], der.NULL))]
        fields.append(der.tlv(0xA1, der.algorithm(algorithms.MGF1, der.algorithm(OIDS[mask], der.NULL))))
        if label:
            fields.append(der.tlv(0xA2, der.algorithm("1.2.840.113549.1.1.9", der.octets(label))))
        parameters = der.sequence(*fields)
        scheme = recipients._oaep(parameters, ber.slices(parameters), LIMITS)
        assert scheme is not None
        found = recipients._rsa(private_key(group["privateKeyPkcs8"]), octets(test["ct"]), scheme)
        answers[test["result"], found == octets(test["msg"])] += 1
    agrees(answers, acceptable=True)


@pytest.mark.parametrize("name", files("rsa_pkcs1"))
def test_rule_13_rsa_decrypt(name: str, shared: Path) -> None:
    """R-ORACLE: what is not well padded gives other octets or none, never the message, and never an error."""
    answers: Counter[tuple[str, bool]] = Counter()
    for group, test in cases(shared, name):
        found = recipients._rsa(
            private_key(group["privateKeyPkcs8"]), octets(test["ct"]), signatures.padding.PKCS1v15()
        )
        message = octets(test.get("msg", ""))
        answers[test["result"], found == message if test["result"] == "valid" or message else False] += 1
    agrees(answers)


CURVES = {"secp256r1": ec.SECP256R1(), "secp384r1": ec.SECP384R1()}


def on_our_curve(public: bytes, curve: str) -> bytes | None:
    """Algorithm and point of a key whose curve is spelt out, with our curve's name in its place; None for all others."""
    try:
        algorithm, bits = ber.children(public, ber.whole(public, ber.SEQUENCE))
        parameters = ber.children(public, algorithm)[1:]
    except (SmimeError, ValueError):
        return None
    if len(parameters) != 1 or parameters[0].tag != ber.SEQUENCE:
        return None
    name = next(identifier for identifier, known in algorithms.CURVES.items() if known == curve)
    return der.algorithm(recipients.EC_PUBLIC_KEY, der.oid(name)) + public[bits.start : bits.end]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("form", ["_ecpoint", ""])
def test_ecdh(curve: str, form: str, shared: Path) -> None:
    """An originator's key gives the shared secret when it is a point of our curve named as such, else nothing."""
    answers: Counter[tuple[str, bool]] = Counter()
    for _, test in cases(shared, f"ecdh_{curve}{form}_test"):
        number = int.from_bytes(octets(test["private"]), "big")
        pair = KeyPair(b"", ec.derive_private_key(number, CURVES[curve]))
        public = octets(test["public"])
        if form:
            public = der.sequence(der.algorithm(recipients.EC_PUBLIC_KEY), der.tlv(0x03, b"\x00" + public))
        try:
            # A SubjectPublicKeyInfo and an OriginatorPublicKey hold the same (RFC 5753 §3.1.1)
            whole = ber.whole(public, ber.SEQUENCE)
            originator = der.tlv(0xA0, der.tlv(0xA1, public[whole.value :]))
            point = recipients._originator_point(originator, ber.whole(originator, 0xA0), pair, LIMITS)
            found = recipients._shared_secret(pair, point)
        except (SmimeError, ValueError):
            found = None
        if form == "" and (named := on_our_curve(public, curve)) is not None:
            # What a curve spelt out says is not used, so that it can do no harm: no answer but that of our own curve.
            spelt = der.tlv(0xA0, der.tlv(0xA1, named))
            same = recipients._originator_point(spelt, ber.whole(spelt, 0xA0), pair, LIMITS)
            if found is not None:
                assert found == recipients._shared_secret(pair, same)
            continue
        right = found == octets(test["shared"])
        assert right or found is None or test["result"] != "valid"
        answers[test["result"], found is not None and (right or test["result"] == "invalid")] += 1
    agrees(answers, acceptable=None)


def test_cbc(shared: Path) -> None:
    """AES-CBC gives the message for each right padding, and nothing for a wrong or absent one (RFC 5652 §6.3)."""
    answers: Counter[tuple[str, bool]] = Counter()
    for _, test in cases(shared, "aes_cbc_pkcs5_test"):
        encoding = der.tlv(0x80, octets(test["ct"]))
        stream = berstream.BerStream(io.BytesIO(der.sequence(encoding)).read, LIMITS)
        stream.enter(ber.SEQUENCE)
        key = octets(test["key"])
        cipher = algorithms.CIPHERS[forge.CBC_OIDS[len(key)]]
        file = WorkFile()
        try:
            enveloped._cbc(stream, key, enveloped._Algorithm(cipher, octets(test["iv"])), file)
            found = file.view().read()
        except (NotOpened, ValueError):
            found = None
        finally:
            file.close()
        answers[test["result"], found == octets(test["msg"]) if test["result"] == "valid" else found is not None] += 1
    agrees(answers)


def test_rule_4_gcm_vectors(shared: Path) -> None:
    """R-GCM: nonces of 12 octets and tags of 16 as published; of other sizes refused before anything is decrypted."""
    answers: Counter[tuple[str, bool]] = Counter()
    refused = 0
    for group, test in cases(shared, "aes_gcm_test"):
        key, nonce = octets(test["key"]), octets(test["iv"])
        parameters = der.sequence(der.octets(nonce), der.integer(group["tagSize"] // 8))
        name = der.algorithm(forge.GCM_OIDS[len(key)], parameters)
        try:
            algorithm = enveloped._algorithm(name, LIMITS)
        except SmimeError:
            refused += 1
            assert (group["ivSize"], group["tagSize"]) != (96, 128)
            continue
        hidden = octets(test["ct"])
        context = aead.decryptor(algorithm.cipher.mode, key, algorithm.vector, octets(test["aad"]), len(hidden))
        buffer = memoryview(bytearray(len(hidden) + 16))
        clear = bytes(buffer[: context.update_into(hidden, buffer)])
        try:
            context.finalize_with_tag(octets(test["tag"]))
            right = clear == octets(test["msg"])
        except InvalidTag:
            right = False
        answers[test["result"], right] += 1
    agrees(answers)
    assert refused > 50


def test_key_wrap(shared: Path) -> None:
    """AES key wrap: a wrapped key altered, of a wrong size or empty gives nothing (RFC 3394)."""
    answers: Counter[tuple[str, bool]] = Counter()
    sizes = {size: name for name, size in algorithms.KEY_WRAPS.items() if name != keywrap.TRIPLE_DES_WRAP}
    for _, test in cases(shared, "aes_wrap_test"):
        kek = octets(test["key"])
        found = keywrap.unwrap(sizes[len(kek)], kek, octets(test["ct"]))
        answers[test["result"], found is not None and found == octets(test["msg"])] += 1
    agrees(answers)


KEM_OIDS = {one.name: name for name, one in algorithms.KEMS.items()}
KEM_KEYS = {"ml-kem-768": mlkem.MLKEM768PrivateKey, "ml-kem-1024": mlkem.MLKEM1024PrivateKey}


@pytest.mark.parametrize("name", KEM_KEYS)
def test_ml_kem(name: str, shared: Path) -> None:
    """A content key wrapped under the published shared secret is recovered from its ciphertext, and from no other."""
    answers: Counter[tuple[str, bool]] = Counter()
    content_key = bytes(range(32))
    wrap = der.algorithm(kem.AES256_WRAP)
    for _, test in cases(shared, f"{name.replace('-', '').replace('mlkem', 'mlkem_')}_test"):
        try:
            key = KEM_KEYS[name].from_seed_bytes(octets(test["seed"]))
        except ValueError:
            answers[test["result"], False] += 1
            continue
        secret = octets(test["K"]) or bytes(32)
        kek = recipients.HKDF(hashes.SHA256(), 32, None, kem.other_info(wrap, 32, b"u")).derive(secret)
        body = der.sequence(
            der.integer(0), der.tlv(0x80, b"id"), der.algorithm(KEM_OIDS[name]), der.octets(octets(test["c"])),
            der.algorithm(kem.HKDF_SHA256), der.integer(32), der.tlv(0xA0, der.octets(b"u")), wrap,
            der.octets(kem.aes_key_wrap(kek, content_key)),
        )  # fmt: skip
        info = der.tlv(0xA4, der.oid(kem.KEM_RECIPIENT), body)
        found = kem.read(info, ber.whole(info, 0xA4), LIMITS)
        assert found is not None
        answers[test["result"], found.recover(key) == content_key] += 1
    agrees(answers)


@pytest.mark.parametrize("name", KEM_KEYS)
def test_ml_kem_public_keys(name: str, shared: Path) -> None:
    """An encapsulation key with a coefficient out of range, or of a wrong length, is refused before mail is made for it."""
    public = algorithms.KEMS[KEM_OIDS[name]].public
    count = 0
    for _, test in cases(shared, f"{name.replace('-', '').replace('mlkem', 'mlkem_')}_encaps_test"):
        if test["result"] == "invalid":
            count += 1
            with pytest.raises(ValueError):
                public.from_public_bytes(octets(test["ek"])).encapsulate()
    assert count > 5


@pytest.mark.parametrize("size", [65, 87])
def test_ml_dsa(size: int, shared: Path) -> None:
    """ML-DSA without a context, as CMS has it (RFC 9882 §3.2): signatures altered, or made under a context, are refused."""
    answers: Counter[tuple[str, bool]] = Counter()
    public = {65: mldsa.MLDSA65PublicKey, 87: mldsa.MLDSA87PublicKey}[size]
    for group, test in cases(shared, f"mldsa_{size}_verify_test"):
        try:
            key = public.from_public_bytes(octets(group["publicKey"]))
        except ValueError:
            answers[test["result"], False] += 1
            continue
        done = verified(key, f"ml-dsa-{size}", "sha512", octets(test["msg"]), octets(test["sig"]))
        with_context = bool(test.get("ctx"))
        answers["invalid" if with_context else test["result"], done] += 1
    agrees(answers)
