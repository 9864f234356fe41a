"""Throw-away keys and certificates for sealing tests: one small PKI per process, made once."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dcc.smime.headerprotection import MailHeaders
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import Profile, Sealed, key_signer, seal
from dcc.smime.segments import Body
from dcc.smime.verdict import Opened
from rsakeys import rsa_key

NOW = datetime.now(UTC).replace(microsecond=0)  # peers read the machine's clock
PASSWORD = "secret"
CONTENT = b"Compte rendu de RCP.\r\n" * 40
TEXT: list[tuple[str, str]] = [
    ("Content-Type", "text/plain; charset=us-ascii"),
    ("Content-Transfer-Encoding", "7bit"),
]
ENTITY = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + CONTENT
FIELDS = (
    b"From: gateway@dcc.example\r\nTo: reader@dcc.example\r\nSubject: [...]\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)
SIGN = "sign"
ENCRYPT = "encrypt"
GENERATED: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey,
    "x25519": x25519.X25519PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
    "ml-kem-768": mlkem.MLKEM768PrivateKey,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey,
}


def seeded(seed: int = 1) -> Callable[[int], bytes]:
    """A random source that repeats."""
    return random.Random(seed).randbytes


@cache
def _key(kind: str, owner: str) -> Any:
    """One key for each owner, made when first asked for."""
    if kind == "rsa":
        return rsa_key(owner)
    if kind == "rsa-1024":
        return rsa_key(owner, 1024)
    if kind in GENERATED:
        return GENERATED[kind].generate()
    curve = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind]
    return ec.generate_private_key(curve)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"), x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _authority(owner: str, common: str, issuer: x509.Name, issuer_key: Any) -> bytes:
    key = _key("rsa", owner)
    builder = _builder(common, issuer, key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _builder(common: str, issuer: x509.Name, public: Any, start: timedelta = timedelta(days=-1)) -> Any:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + start)
        .not_valid_after(NOW + start + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


@cache
def root() -> bytes:
    """The self-signed anchor (DER)."""
    return _authority("root", "AC RACINE ESSAI", _name("AC RACINE ESSAI"), _key("rsa", "root"))


@cache
def intermediate() -> bytes:
    """The issuing authority (DER)."""
    return _authority("authority", "AC ESSAI", _name("AC RACINE ESSAI"), _key("rsa", "root"))


def pair(kind: str = "rsa", use: str = SIGN, who: str = "gateway", start_days: int = -1) -> KeyPair:
    """A key pair for signing or encrypting, naming `who@dcc.example`; the chain holds the intermediate and the root."""
    return _pair(kind, use, who, start_days)


@cache
def _pair(kind: str, use: str, who: str, start_days: int) -> KeyPair:
    key = _key(kind, f"{who} {use}")
    if use == SIGN:
        usage = _usage(digital_signature=True, content_commitment=True)
    else:
        enciphers = kind.startswith(("rsa", "ml-kem"))
        usage = _usage(key_encipherment=enciphers, key_agreement=not enciphers)
    certificate = (
        _builder(f"{who} {kind} {use}", _name("AC ESSAI"), key.public_key(), timedelta(days=start_days))
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(f"{who}@dcc.example")]), critical=False)
        .sign(_key("rsa", "authority"), hashes.SHA256())
    )
    return KeyPair(certificate.public_bytes(Encoding.DER), key, (intermediate(), root()))


def pem(certificate: bytes) -> bytes:
    """One certificate as PEM."""
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def pem_key(one: KeyPair) -> bytes:
    """The private key as PEM, unencrypted."""
    return one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def p12(one: KeyPair, name: bytes = b"one", legacy: bool = False) -> bytes:
    """PKCS#12 under PASSWORD; `legacy`: 3DES and SHA-1, which old peers need."""
    chain = [x509.load_der_x509_certificate(other) for other in one.chain]
    protection: Any = BestAvailableEncryption(PASSWORD.encode())
    if legacy:
        builder = PrivateFormat.PKCS12.encryption_builder().hmac_hash(hashes.SHA1())
        protection = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).build(PASSWORD.encode())
    leaf = x509.load_der_x509_certificate(one.certificate)
    key: Any = one.key
    return pkcs12.serialize_key_and_certificates(name, key, leaf, chain, protection)


def mail_headers(**changes: Any) -> MailHeaders:
    """The fields of a plausible outgoing mail."""
    values: dict[str, Any] = {
        "from_": '"Passerelle DCC" <gateway@dcc.example>',
        "to": '"Dr Élise Martin" <reader@dcc.example>',
        "subject": "XDM/1.0/DDM+PAT-TROIS",
        "date": NOW,
        "message_id": "<1.2@dcc.example>",
        **changes,
    }
    return MailHeaders(**values)


def sealed(
    profile: Profile | None = None,
    *,
    signer: KeyPair | None = None,
    recipient: Any = "default",
    body: Body = (CONTENT,),
    headers: MailHeaders | None = None,
    content_headers: list[tuple[str, str]] | None = None,
) -> tuple[bytes, Sealed]:
    """One sealed mail and what `seal` said of it."""
    out = io.BytesIO()
    to = pair("rsa", ENCRYPT, "reader").certificate if recipient == "default" else recipient
    done = seal(
        headers or mail_headers(), body, content_headers or TEXT, signer=key_signer(signer or pair()), recipient=to,
        profile=profile, out=out, random_bytes=seeded(),
    )  # fmt: skip
    assert len(out.getvalue()) == done.size
    return out.getvalue(), done


def opened(mail: bytes, *keys: KeyPair) -> Opened:
    """The reader's answer, with the reader's keys."""
    return open_message(io.BytesIO(mail), keys=keys or (pair("rsa", ENCRYPT, "reader"),))


def part(kind: str, data: bytes) -> bytes:
    """A MIME part in base64, as peers' bare CMS needs to become a mail."""
    text = base64.encodebytes(data).replace(b"\n", b"\r\n")
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + text


def multipart(entity: bytes, signature: bytes) -> bytes:
    """A multipart/signed around a peer's detached signature."""
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b\r\n\r\n'
    signed = part("application/pkcs7-signature; name=smime.p7s", signature)
    return head + b"--b\r\n" + entity + b"\r\n--b\r\n" + signed + b"--b--\r\n"
