"""Signed and encrypted mails shaped as the mail clients of clinicians make them, for the demo and the tests.

Made with `cryptography` and asn1crypto alone, apart from `smime/`, so that reading them proves something.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal

from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

Shape = Literal["thunderbird", "outlook"]
BER_CHUNK = 1000  # octets; what NSS, hence Thunderbird, writes into one OCTET STRING
END_OF_CONTENTS = b"\x00\x00"  # X.690 §8.1.5


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What a person's mail client signs with: certificate (DER), key, intermediate authorities (DER)."""

    certificate: bytes
    key: PrivateKeyTypes
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The outer headers that a mail client leaves readable."""

    from_: str
    to: str
    subject: str
    date: datetime
    message_id: str


def signed_entity(entity: bytes, identity: ClientIdentity, *, opaque: bool) -> bytes:
    """The MIME entity signed: multipart/signed (Thunderbird) or application/x-pkcs7-mime (Outlook)."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(entity)
    certificate = x509.load_der_x509_certificate(identity.certificate)
    if not isinstance(identity.key, rsa.RSAPrivateKey):
        raise TypeError("a card signs with RSA")
    builder = builder.add_signer(certificate, identity.key, hashes.SHA256())
    for authority in identity.chain:
        builder = builder.add_certificate(x509.load_der_x509_certificate(authority))
    if opaque:
        der = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        return (
            b'Content-Type: application/x-pkcs7-mime; smime-type=signed-data; name="smime.p7m"\r\n'
            b"Content-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n' + _lines(der)
        )
    der = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.DetachedSignature])
    boundary = b"------------ms0" + hashes_of(entity)[:24].encode()
    return (
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; '
        b'micalg=sha-256; boundary="' + boundary + b'"\r\n\r\n'
        b"This is a cryptographically signed message in MIME format.\r\n\r\n"
        b"--" + boundary + b"\r\n" + entity + b"\r\n--" + boundary + b"\r\n"
        b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7s"\r\n'
        b"Content-Description: S/MIME Cryptographic Signature\r\n\r\n"
        + _lines(der) + b"\r\n--" + boundary + b"--\r\n"
    )  # fmt: skip


def hashes_of(data: bytes) -> str:
    """SHA-256, hex."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def enveloped(
    entity: bytes, recipients: Sequence[bytes], random_bytes: Callable[[int], bytes], *, shape: Shape
) -> bytes:
    """EnvelopedData: AES-128 and BER indefinite lengths as Thunderbird, AES-256 and DER as Outlook."""
    key = random_bytes(16 if shape == "thunderbird" else 32)
    vector = random_bytes(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES(key), CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(entity) + padder.finalize()) + encryptor.finalize()
    infos = cms.RecipientInfos([_recipient(certificate, key) for certificate in recipients])
    name = "aes128_cbc" if shape == "thunderbird" else "aes256_cbc"
    algorithm = algos.EncryptionAlgorithm({"algorithm": name, "parameters": core.OctetString(vector)})
    if shape == "outlook":
        data = cms.EnvelopedData(
            {
                "version": "v0",
                "recipient_infos": infos,
                "encrypted_content_info": {
                    "content_type": "data",
                    "content_encryption_algorithm": algorithm,
                    "encrypted_content": sealed,
                },
            }
        )
        whole: bytes = cms.ContentInfo({"content_type": "enveloped_data", "content": data}).dump()
        return whole
    octets: bytes = b"".join(
        core.OctetString(sealed[at : at + BER_CHUNK]).dump() for at in range(0, len(sealed), BER_CHUNK)
    )
    content = cms.ContentType("data").dump() + algorithm.dump() + b"\xa0\x80" + octets + END_OF_CONTENTS
    body: bytes = b"\x02\x01\x00" + infos.dump() + b"\x30\x80" + content + END_OF_CONTENTS
    name_octets: bytes = cms.ContentType("enveloped_data").dump()
    return (
        b"\x30\x80" + name_octets + b"\xa0\x80"
        b"\x30\x80" + body + END_OF_CONTENTS + END_OF_CONTENTS + END_OF_CONTENTS
    )  # fmt: skip


def mail(
    entity: bytes,
    identity: ClientIdentity | None,
    recipients: Sequence[bytes],
    envelope: Envelope,
    random_bytes: Callable[[int], bytes],
    *,
    shape: Shape = "thunderbird",
) -> bytes:
    """A whole mail: entity signed (unless identity is None), then encrypted (unless no recipients)."""
    inner = entity if identity is None else signed_entity(entity, identity, opaque=shape == "outlook")
    if not recipients:
        return _outer(envelope) + inner
    return enveloped_mail(inner, recipients, envelope, random_bytes, shape=shape)


def enveloped_mail(
    inner: bytes,
    recipients: Sequence[bytes],
    envelope: Envelope,
    random_bytes: Callable[[int], bytes],
    *,
    shape: Shape,
) -> bytes:
    """A mail whose body is `inner`, encrypted."""
    media = "application/pkcs7-mime" if shape == "thunderbird" else "application/x-pkcs7-mime"
    head = (
        f'Content-Type: {media}; smime-type=enveloped-data; name="smime.p7m"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="smime.p7m"\r\n'
        "Content-Description: S/MIME Encrypted Message\r\n\r\n"
    )
    sealed = enveloped(inner, recipients, random_bytes, shape=shape)
    return _outer(envelope) + head.encode() + _lines(sealed)


def _outer(envelope: Envelope) -> bytes:
    fields = (
        ("From", envelope.from_),
        ("To", envelope.to),
        ("Subject", envelope.subject),
        ("Date", format_datetime(envelope.date)),
        ("Message-ID", envelope.message_id),
        ("MIME-Version", "1.0"),
    )
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)


def report_entity(text: str, attachments: Sequence[tuple[str, str, bytes]]) -> bytes:
    """A multipart/mixed with a text and attachments (name, media type, octets), CRLF, ready to be signed."""
    from email.message import EmailMessage

    message = EmailMessage(policy=SMTP)
    message.set_content(text)
    for name, media_type, octets in attachments:
        maintype, _, subtype = media_type.partition("/")
        message.add_attachment(octets, maintype=maintype, subtype=subtype, filename=name)
    del message["MIME-Version"]
    return message.as_bytes()


def _recipient(certificate: bytes, key: bytes) -> cms.RecipientInfo:
    loaded = x509.load_der_x509_certificate(certificate)
    public = loaded.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError("these clients encrypt to RSA keys")
    parsed = asn1_x509.Certificate.load(certificate)
    return cms.RecipientInfo(
        name="ktri",
        value={
            "version": "v0",
            "rid": cms.RecipientIdentifier(
                name="issuer_and_serial_number",
                value={"issuer": parsed.issuer, "serial_number": parsed.serial_number},
            ),
            "key_encryption_algorithm": {"algorithm": "rsaes_pkcs1v15"},
            "encrypted_key": public.encrypt(key, padding.PKCS1v15()),
        },
    )


def _lines(der: bytes) -> bytes:
    return base64.encodebytes(der).replace(b"\n", b"\r\n")
