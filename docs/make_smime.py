"""Writes docs/smime.md: what the S/MIME engine reads and writes, with the tables of `smime/algorithms.py`.

Run `python docs/make_smime.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

from dcc.smime import algorithms as table
from dcc.smime.algorithms import POST_QUANTUM
from dcc.smime.keywrap import TRIPLE_DES_WRAP
from dcc.smime.seal import Profile

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# The S/MIME engine

`smime/` opens and seals mail; it knows no network, no database and no person. `smime/open.py` takes octets and answers with a
frozen `Opened`: one layer after the other from the outside in, and for each question its own answer (encrypted, decrypted,
signed, intact), never one flag. Whether a certificate is trusted is asked of `cards/`, whether its holder may do something of
`router/`. Nothing that a mail contains makes it raise. The rules that it reads by: [rules.md](rules.md).

The tables on this page are written by `docs/make_smime.py` from `smime/algorithms.py` and `smime/seal.py`; a test compares
them.

## What is read

| structure | how | in |
|---|---|---|
| multipart/signed, application/pkcs7-mime (also x-pkcs7-mime, octet-stream with its name) | the object identifier decides, never the label (RFC 8551 §3.2) | `layers.py` |
| a CMS file alone: DER, BER or PEM, with its content beside it | `dcc open` | `bare.py` |
| SignedData, opaque or detached (RFC 5652 §5) | hashed while it passes, every signer judged | `signed.py`, `signerinfo.py`, `signatures.py` |
| EnvelopedData (RFC 5652 §6) | decrypted as a stream | `enveloped.py`, `recipients.py` |
| AuthEnvelopedData (RFC 5083) | two passes: the tag stands at the end; nothing is believed before it | `enveloped.py`, `aead.py` |
| CompressedData (RFC 3274) | once, within bounds | `compressed.py` |
| DigestedData, EncryptedData, AuthenticatedData, plain data | recognised: not signed, or not for us | `layers.py` |

Layers may stand in any order up to the limit (triple wrapping included); only what is the root of its layer is opened. Lengths
may be definite or indefinite, strings in segments of any size: the reader (`berstream.py`) takes time in proportion to the octets.
High tag numbers, which no structure of CMS has, are refused. Attributes that are not known, signed, unsigned or
unauthenticated, change nothing.

**Recipients** are found by issuer and serial number or by subject key identifier. Key transport, key agreement with an
ephemeral key and, behind its switch, key encapsulation are opened; `kekri` (a shared key), `pwri` (a password) and other kinds
are named in the refusal. A content key that cannot be had is replaced by a random one, so that every failure behind a key of
ours ends in the same place (RFC 3218).

**Signatures without signed attributes** are verified over data with RSA, ECDSA and DSA. Ed25519 and ML-DSA would have to read the whole
content twice for it; no client writes that, and it is refused.
"""
WRITTEN = """
## What is written

One mail for one kind of key: RSA, elliptic curve or ML-KEM recipients never stand beside each other, because some clients then
read nothing at all ([interoperability.md](interoperability.md)). The profile of a recipient, with its defaults:

"""
TAIL = """
Elliptic-curve recipients get an ephemeral key of their curve, the X9.63 derivation with SHA-256 and the AES-256 key wrap;
X25519 gets HKDF with SHA-256 (RFC 8418). What was signed is verified with the certificate's key before anything leaves.

## The two switches

* **Archives** (`dcc open --legacy`; `allow_legacy`; the gateway itself never): 3DES, RC2 with 128 bits, what was encrypted to an
  RSA key below 2048 bits, and what stands under a signature with SHA-1, MD5, SHA-224, DSA, RSA below 2048 bits, another curve or a
  salt longer than the hash. Without it all this is refused as D2R-ALG01, and the detail names the algorithm. Of a weak signature
  the arithmetic is told either way (intact or not, size and digest of the content): facts are facts. But no layer inside it is
  opened and its content is not given, unless the switch is on (`--legacy --out FILE` then writes it). Authentic it never is.
* **Post-quantum** (`smime.post_quantum` in `dcc.toml`; `dcc open --post-quantum`, `dcc seal --post-quantum`; off): ML-KEM recipients
  (RFC 9629, RFC 9936) and ML-DSA signatures (RFC 9882), read and written. Off, a mail to an ML-KEM key of ours and an ML-DSA
  signature are refused as D2R-ALG02, and the detail names the algorithm. PKCS #12 writers do not know such keys yet: `--key`,
  `--signer`, `keys.signing` and `keys.decryption` take PEM too, the private key (PKCS #8, encrypted where there is a password) and its
  certificates in one file. The private key is the seed of RFC 9881 §6 and RFC 9935 §6, which is all that our library reads;
  openssl 3.5 writes it with `openssl pkey -provparam ml-dsa.output_formats=seed-only` (`ml-kem.…`), by default a longer form that
  does not open here. The gateway's own keys may be of these kinds ([decision 0020](decisions/0020-the-gateways-own-post-quantum-keys.md)):
  on, it signs mails and audit trail with ML-DSA and is written to under ML-KEM; off, such a key is refused at the import
  (exit 1), by `check-config` and at the start (78). A PKCS #11 token takes RSA and elliptic keys only.
  The certificates of such keys are read and judged when an RSA or elliptic authority issued them; an authority that itself signs
  with ML-DSA is not recognised. No card and no client that we know has any of it.

## How it is tested

`tests/smime/` makes every structure by hand (`tests/forge.py`), legal and hostile. `test_wycheproof.py` sends Wycheproof's
vectors through our use of the primitives, `test_vectors_reading.py` those of RFC 4134, openssl and James; `test_reading.py`
signs and reads with the keys of RFC 9216. `make fuzz` runs five fuzzers (`tests/fuzz/`): BER, CMS, MIME, whole mails, and cards
with their lists. They
change octets and, with the lengths made right again, elements; and they assert what must hold of every answer: nothing is
believed that our throw-away signers have not signed, no error goes unforeseen, nothing behind our key has a name of its own.
`FUZZ_SECONDS=300 make fuzz` runs them longer. An input that fails is printed in base64: a line of `tests/fuzz/found.txt` makes it
a test.
"""


TRUSTED = """
Trusted keys: RSA from 2048 bits with an odd exponent from 65537, {curves}, Ed25519. RSASSA-PSS: the
digest, the mask's and the signer's are one, and the salt is not longer than it.
"""


def rows(head: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> str:
    """A table."""
    body = [head, ("---",) * len(head), *lines]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in body)


def standing(name: str, *, weak: bool = False) -> str:
    """How an algorithm is treated."""
    if name in POST_QUANTUM:
        return "behind the post-quantum switch"
    return "weak, never trusted" if weak else "yes"


def digests() -> str:
    """Digest algorithms."""
    lines = [
        (name, oid, standing(name, weak=name not in table.TRUSTED_DIGESTS)) for oid, (name, _) in table.DIGESTS.items()
    ]
    return rows(("digest", "identifier", "trusted"), lines)


def signatures() -> str:
    """Signature algorithms, with the digests they go with."""
    lines = []
    for oid, (family, digest) in table.SIGNATURES.items():
        pure = table.PURE.get(family)
        beside = digest or ("the signer's" if pure is None else ", ".join(sorted(pure.digests)))
        weak = family == "dsa" or (digest is not None and digest not in table.TRUSTED_DIGESTS)
        lines.append((family, oid, beside, standing(family, weak=weak)))
    return rows(("signature", "identifier", "digest", "trusted"), lines)


def ciphers() -> str:
    """Content-encryption algorithms."""
    lines = [
        (
            one.name, oid, 8 * one.key, "AuthEnvelopedData" if one.authenticated else "EnvelopedData",
            "behind the archive switch" if one.legacy else "yes",
        )
        for oid, one in table.CIPHERS.items()
    ]  # fmt: skip
    return rows(("cipher", "identifier", "key bits", "stands in", "read"), lines)


def keys() -> str:
    """How a content key may reach us."""
    lines: list[tuple[object, ...]] = [
        ("rsa (PKCS #1 v1.5)", table.RSA_ENCRYPTION, "key transport", "yes"),
        ("rsa-oaep, any digest of the first table, any label", table.RSA_OAEP, "key transport", "yes"),
    ]
    lines += [(name, oid, "ECDH, X9.63", "yes") for oid, (name, _) in table.KEY_AGREEMENTS.items()]
    lines += [(name, oid, "ECDH or X25519, HKDF", "yes") for oid, (name, _) in table.HKDF_AGREEMENTS.items()]
    lines += [(kem.name, oid, "key encapsulation, HKDF", standing(kem.name)) for oid, kem in table.KEMS.items()]
    for oid, size in table.KEY_WRAPS.items():
        legacy = oid == TRIPLE_DES_WRAP
        name = "3DES key wrap" if legacy else f"AES-{8 * size} key wrap"
        lines.append((name, oid, "wraps the content key", "behind the archive switch" if legacy else "yes"))
    lines.append(("cek-hkdf-sha256", table.CEK_HKDF_SHA256, "binds the content key to its cipher (RFC 9709)", "yes"))
    return rows(("algorithm", "identifier", "kind", "read"), lines)


def profile() -> str:
    """The choices of a sealing profile."""
    lines = []
    hints = get_type_hints(Profile)
    for one in fields(Profile):
        if hints[one.name] is bool:
            lines.append((f"`{one.name}`", "yes" if one.default else "no", "yes, no"))
        elif choices := get_args(hints[one.name]):
            chosen = ("none", "certificates") if one.default == () else (one.default, ", ".join(choices))
            lines.append((f"`{one.name}`", *chosen))
    return rows(("field", "default", "may be"), lines)


def page() -> str:
    """The page as it must be."""
    curves = ", ".join(sorted(table.TRUSTED_CURVES))
    return "".join(
        (
            HEAD, "\n### Digests\n\n", digests(), "\n### Signatures\n\n", signatures(),
            TRUSTED.format(curves=curves),
            "\n### Ciphers of the content\n\n", ciphers(),
            "\nGCM and ChaCha20-Poly1305 with nonces of 12 octets, CCM with 7 to 13, all with tags of 16.\n",
            "\n### Keys of the content\n\n", keys(), WRITTEN, profile(), TAIL,
        )
    )  # fmt: skip


if __name__ == "__main__":
    (ROOT / "docs" / "smime.md").write_text(page(), encoding="utf-8")
