"""SMIMECapabilities: read from signatures and certificates, and never trusted further than advice (RFC 8551 §2.5.2)."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from dcc.smime import capabilities, der
from dcc.smime.limits import Limits
from dcc.smime.open import open_message
from forge import Signing, signed_data
from throwaway import ENTITY, FIELDS, NOW, part, sealed

GCM, OAEP, CBC = capabilities.AES_256_GCM, capabilities.RSA_OAEP, "2.16.840.1.101.3.4.1.42"


def announced(*oids: str) -> bytes:
    """The value of the attribute."""
    return der.sequence(*(der.algorithm(one) for one in oids))


def read(*more: bytes) -> tuple[str, ...]:
    """Those of a signed mail with these attributes."""
    mail = FIELDS + part("application/pkcs7-mime; name=smime.p7m", signed_data(ENTITY, [Signing(more=more)]))
    found = open_message(io.BytesIO(mail))
    assert found.intact
    return found.signers[0].capabilities


def test_of_a_signature() -> None:
    """Those of the signed attribute, in the signer's order; none where there is no attribute."""
    assert read(der.attribute(capabilities.CAPABILITIES, announced(CBC, GCM, OAEP))) == (CBC, GCM, OAEP)
    assert read() == ()


@pytest.mark.parametrize("value", [b"\x05\x00", b"\x30\x02\x30\x00", der.sequence(der.octets(b"x"))])
def test_unreadable_is_none(value: bytes) -> None:
    """Advice that cannot be read is no advice, and does no harm to the signature."""
    assert read(der.attribute(capabilities.CAPABILITIES, value)) == ()


@given(st.binary(max_size=80))
def test_any_octets(value: bytes) -> None:
    """Whatever stands there, nothing is raised."""
    assert isinstance(capabilities.read(value, Limits()), tuple)


def test_our_own() -> None:
    """What the gateway writes about itself is read back, AES-256-CBC first."""
    found = open_message(io.BytesIO(sealed(recipient=None)[0]))
    assert found.signers[0].capabilities[:2] == (CBC, GCM)


def test_of_a_certificate() -> None:
    """Those of the extension of RFC 4262; none without it, or where the certificate cannot be read."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    )  # fmt: skip
    plain = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(capabilities.CAPABILITIES), announced(GCM))
    with_it = builder.add_extension(extension, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert capabilities.of_certificate(with_it) == (GCM,)
    assert capabilities.of_certificate(plain) == ()
    assert capabilities.of_certificate(b"x") == ()
