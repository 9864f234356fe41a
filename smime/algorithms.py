"""The table of algorithms: what is read, and what is trusted (R-ALGO)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, mlkem, rsa, x25519

DIGESTS: dict[str, tuple[str, type[hashes.HashAlgorithm]]] = {
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512),
    "2.16.840.1.101.3.4.2.4": ("sha224", hashes.SHA224),
    "1.3.14.3.2.26": ("sha1", hashes.SHA1),
    "1.2.840.113549.2.5": ("md5", hashes.MD5),
}
HASHES = dict(DIGESTS.values())
TRUSTED_DIGESTS = frozenset({"sha256", "sha384", "sha512"})

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSA_PSS = "1.2.840.113549.1.1.10"
RSA_OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
ED25519 = "1.3.101.112"
# signature algorithm -> (family, digest it names; None: the signer's digestAlgorithm)
SIGNATURES: dict[str, tuple[str, str | None]] = {
    RSA_ENCRYPTION: ("rsa", None),
    "1.2.840.113549.1.1.4": ("rsa", "md5"),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    RSA_PSS: ("rsa-pss", None),
    "1.2.840.10045.2.1": ("ecdsa", None),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
    "1.2.840.10040.4.1": ("dsa", None),
    "1.2.840.10040.4.3": ("dsa", "sha1"),
    "2.16.840.1.101.3.4.3.2": ("dsa", "sha256"),
    ED25519: ("ed25519", None),
    "2.16.840.1.101.3.4.3.18": ("ml-dsa-65", None),
    "2.16.840.1.101.3.4.3.19": ("ml-dsa-87", None),
}


@dataclass(frozen=True, slots=True)
class PureSignature:
    """A scheme that signs the octets themselves; `digests`: what may hash the content beside it."""

    identifier: str
    public: type[ed25519.Ed25519PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey]
    size: int
    digests: frozenset[str]


PURE: dict[str, PureSignature] = {
    "ed25519": PureSignature(ED25519, ed25519.Ed25519PublicKey, 64, frozenset({"sha512"})),  # RFC 8419 §3.1
    # RFC 9882 §3.3: a digest as strong as the signature
    "ml-dsa-65": PureSignature(
        "2.16.840.1.101.3.4.3.18", mldsa.MLDSA65PublicKey, 3309, frozenset({"sha384", "sha512"})
    ),
    "ml-dsa-87": PureSignature("2.16.840.1.101.3.4.3.19", mldsa.MLDSA87PublicKey, 4627, frozenset({"sha512"})),
}


@dataclass(frozen=True, slots=True)
class Kem:
    """One key encapsulation: its keys, and the octets of the key that wraps the content key (RFC 9936 §2.2.2)."""

    name: str
    public: type[mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey]
    private: type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]
    wrap: int


KEMS: dict[str, Kem] = {
    "2.16.840.1.101.3.4.4.2": Kem("ml-kem-768", mlkem.MLKEM768PublicKey, mlkem.MLKEM768PrivateKey, 32),
    "2.16.840.1.101.3.4.4.3": Kem("ml-kem-1024", mlkem.MLKEM1024PublicKey, mlkem.MLKEM1024PrivateKey, 32),
}
KEM_DERIVATIONS: dict[str, type[hashes.HashAlgorithm]] = {
    "1.2.840.113549.1.9.16.3.28": hashes.SHA256,  # HKDF, RFC 8619
    "1.2.840.113549.1.9.16.3.29": hashes.SHA384,
    "1.2.840.113549.1.9.16.3.30": hashes.SHA512,
}
# Behind the switch: neither cards nor clients have them (facts: post-quantum)
POST_QUANTUM = frozenset({"ml-dsa-65", "ml-dsa-87", *(kem.name for kem in KEMS.values())})


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """One content-encryption algorithm: key and block sizes in octets."""

    name: str
    mode: str  # "cbc" | "gcm" | "ccm" | "chacha20"
    key: int
    block: int
    legacy: bool = False

    @property
    def authenticated(self) -> bool:
        """Whether a tag proves that nothing was altered: for AuthEnvelopedData, and only for it (R-GCM)."""
        return self.mode != "cbc"


CIPHERS = {
    "2.16.840.1.101.3.4.1.2": ContentCipher("aes128-cbc", "cbc", 16, 16),
    "2.16.840.1.101.3.4.1.22": ContentCipher("aes192-cbc", "cbc", 24, 16),
    "2.16.840.1.101.3.4.1.42": ContentCipher("aes256-cbc", "cbc", 32, 16),
    "2.16.840.1.101.3.4.1.6": ContentCipher("aes128-gcm", "gcm", 16, 16),
    "2.16.840.1.101.3.4.1.26": ContentCipher("aes192-gcm", "gcm", 24, 16),
    "2.16.840.1.101.3.4.1.46": ContentCipher("aes256-gcm", "gcm", 32, 16),
    "2.16.840.1.101.3.4.1.7": ContentCipher("aes128-ccm", "ccm", 16, 16),
    "2.16.840.1.101.3.4.1.27": ContentCipher("aes192-ccm", "ccm", 24, 16),
    "2.16.840.1.101.3.4.1.47": ContentCipher("aes256-ccm", "ccm", 32, 16),
    "1.2.840.113549.1.9.16.3.18": ContentCipher("chacha20-poly1305", "chacha20", 32, 16),
    "1.2.840.113549.3.7": ContentCipher("des-ede3-cbc", "cbc", 24, 8, legacy=True),
    "1.2.840.113549.3.2": ContentCipher("rc2-cbc", "cbc", 16, 8, legacy=True),
}
# The content key bound to its algorithm: the real one stands in the parameters (RFC 9709)
CEK_HKDF_SHA256 = "1.2.840.113549.1.9.16.3.31"
CEK_HKDF_SALT = b"The Cryptographic Message Syntax"
KEY_WRAPS = {
    "2.16.840.1.101.3.4.1.5": 16,
    "2.16.840.1.101.3.4.1.25": 24,
    "2.16.840.1.101.3.4.1.45": 32,
    "1.2.840.113549.1.9.16.3.6": 24,  # Triple-DES: for a content that is itself behind the switch
}
# ECDH with the ANSI X9.63 KDF (RFC 5753 §7.1.4, RFC 8418 uses HKDF)
KEY_AGREEMENTS: dict[str, tuple[str, type[hashes.HashAlgorithm]]] = {
    "1.3.133.16.840.63.0.2": ("dhSinglePass-stdDH-sha1kdf", hashes.SHA1),
    "1.3.132.1.11.0": ("dhSinglePass-stdDH-sha224kdf", hashes.SHA224),
    "1.3.132.1.11.1": ("dhSinglePass-stdDH-sha256kdf", hashes.SHA256),
    "1.3.132.1.11.2": ("dhSinglePass-stdDH-sha384kdf", hashes.SHA384),
    "1.3.132.1.11.3": ("dhSinglePass-stdDH-sha512kdf", hashes.SHA512),
    # cofactor DH equals standard DH on curves of cofactor 1, the only ones accepted here
    "1.3.133.16.840.63.0.3": ("dhSinglePass-cofactorDH-sha1kdf", hashes.SHA1),
    "1.3.132.1.14.0": ("dhSinglePass-cofactorDH-sha224kdf", hashes.SHA224),
    "1.3.132.1.14.1": ("dhSinglePass-cofactorDH-sha256kdf", hashes.SHA256),
    "1.3.132.1.14.2": ("dhSinglePass-cofactorDH-sha384kdf", hashes.SHA384),
    "1.3.132.1.14.3": ("dhSinglePass-cofactorDH-sha512kdf", hashes.SHA512),
}
HKDF_AGREEMENTS: dict[str, tuple[str, type[hashes.HashAlgorithm]]] = {
    "1.2.840.113549.1.9.16.3.19": ("dhSinglePass-stdDH-hkdf-sha256", hashes.SHA256),
    "1.2.840.113549.1.9.16.3.20": ("dhSinglePass-stdDH-hkdf-sha384", hashes.SHA384),
    "1.2.840.113549.1.9.16.3.21": ("dhSinglePass-stdDH-hkdf-sha512", hashes.SHA512),
}
NEVER_WEAK = (
    *(one.public for one in PURE.values()),
    *(one.public for one in KEMS.values()),
    x25519.X25519PublicKey,
)
# what an originator's algorithm may name (RFC 5753 §3.1.1, RFC 8418 §2)
CURVES = {
    "1.2.840.10045.3.1.7": "secp256r1",
    "1.3.132.0.34": "secp384r1",
    "1.3.132.0.35": "secp521r1",
}
TRUSTED_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})


def weak_key(key: object) -> bool:
    """Whether a public key is below what is trusted: RSA < 2048, small or even exponents, other curves, DSA."""
    return weakness(key) is not None


def weakness(key: object) -> str | None:
    """What a report calls a public key that is below what is trusted; None when it is trusted (R-ALGO)."""
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if key.key_size < 2048:
            return f"rsa-{key.key_size}"
        return f"rsa exponent {exponent}" if exponent < 65537 or exponent % 2 == 0 else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if key.curve.name in TRUSTED_CURVES else key.curve.name
    if isinstance(key, NEVER_WEAK):
        return None
    return "dsa" if isinstance(key, dsa.DSAPublicKey) else "key of another kind"
