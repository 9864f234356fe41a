"""What the interoperability table says: its rows as cases that a program can be asked to make or to read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

from dcc.smime.certificates import parts
from dcc.smime.seal import Profile
from dcc.smime.verdict import Opened
from throwaway import CONTENT, ENCRYPT, opened, pair, sealed

TABLE = Path(__file__).parent / "peers" / "interop.toml"


class Unable(Exception):
    """The program refused, failed, or gave something else back."""


class NotAskable(Exception):
    """The program has no way to be asked for this."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mail: how it is signed, and to which kind of key it is encrypted (None: signed only)."""

    signer: str = "rsa"
    digest: str = "sha256"
    pss: bool = False
    form: str = "detached"  # detached | opaque | stream (opaque, BER indefinite lengths)
    signer_by_key: bool = False  # the signer named by subjectKeyIdentifier
    recipients: tuple[str, ...] = ()
    cipher: str = "aes256-cbc"
    oaep: str | None = None  # the hash of RSAES-OAEP; None: RSAES-PKCS1-v1_5
    kdf: str = "sha256"  # the hash of the X9.63 key derivation
    cofactor: bool = False
    recipient_by_key: bool = False
    announced: bool = False  # an encryption certificate enclosed and announced (RFC 8551 §2.5.3)
    stream: bool = False  # the enveloped part in BER, indefinite lengths

    @property
    def recipient(self) -> str | None:
        """The kind of key that must open it: the last one, so that the others stand before it."""
        return self.recipients[-1] if self.recipients else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `found`: program -> "yes", "no: what it said", or "-" (it has no way to be asked)."""

    key: str
    table: str  # "we write" | "we read"
    title: str
    case: Case
    found: dict[str, str]


def rows(table: str) -> list[Row]:
    """The lines of one table, in order."""
    told = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [_row(table, key, one) for key, one in told[table].items()]


def _row(table: str, key: str, told: dict[str, Any]) -> Row:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in told["case"].items()}
    return Row(key, table, told["title"], Case(**values), told["found"])


def made_by_us(case: Case) -> bytes:
    """The mail that this project makes for a case."""
    transport = "oaep" if case.oaep else "rsa"
    announced = (pair("rsa", ENCRYPT, "gateway").certificate,) if case.announced else ()
    profile = Profile(
        cipher=case.cipher, key_transport=transport, digest=case.digest, pss=case.pss,  # type: ignore[arg-type]
        detached=case.form == "detached", extra_certificates=announced,
    )  # fmt: skip
    to = [pair(kind, ENCRYPT, "reader").certificate for kind in case.recipients]
    return sealed(profile, signer=pair(case.signer), recipient=to or None)[0]


def read_by_us(mail: bytes, case: Case) -> None:
    """Open a peer's mail; raises Unable unless it is intact, strong, of this signer, and octet for octet the same.

    Raises NotAskable where the program made something else than it was asked for.
    """
    found = opened(mail, pair(case.recipient or "rsa", ENCRYPT, "reader"))
    if found.problem is not None or not found.intact:
        raise Unable(f"{found.problem} {found.detail} {found.findings}")
    if found.encrypted != bool(case.recipients) or found.signers[0].certificate != pair(case.signer).certificate:
        raise Unable("another signer, or not encrypted")
    if found.content is None or not found.content.open().read().endswith(CONTENT):
        raise Unable("another content")
    different = sorted(_asked(case) - _seen(mail, case, found))
    if different:
        raise NotAskable(f"asked for {different}")


def _asked(case: Case) -> set[str]:
    """What the case names, in the reader's words."""
    family = {"rsa": "rsa-pss" if case.pss else "rsa", "ed25519": "ed25519"}.get(case.signer, "ecdsa")
    asked = {case.digest, family, "signer by key" if case.signer_by_key else "signer by issuer"}
    if case.recipient is not None:
        oaep = f"rsa-oaep-{case.oaep}" if case.oaep else "rsa"
        agreement = f"dhSinglePass-{'cofactor' if case.cofactor else 'std'}DH-{case.kdf}kdf"
        asked |= {case.cipher, oaep if case.recipient == "rsa" else agreement}
        asked |= {"recipient by key"} if case.recipient_by_key else set()
        asked |= {"stream"} if case.stream else set()
    elif case.form == "stream":
        asked |= {"stream"}
    return asked


def _seen(mail: bytes, case: Case, found: Opened) -> set[str]:
    """What the mail really holds."""
    check = found.signers[0]
    seen = {check.digest_algorithm, check.signature_algorithm, *found.layers[0].algorithms.values()}
    whole = message_from_bytes(mail)
    cms = (whole.get_payload()[1] if whole.is_multipart() else whole).get_payload(decode=True)  # type: ignore[union-attr, index]
    assert isinstance(cms, bytes)
    if cms[1] == 0x80:  # X.690 §8.1.3.6
        seen.add("stream")
    if case.recipient is not None:
        reader = parts(pair(case.recipient, ENCRYPT, "reader").certificate).key_identifier or b""
        return seen | ({"recipient by key"} if reader in cms else set()) | {"signer by issuer"}
    own = parts(pair(case.signer).certificate).key_identifier or b""
    return seen | {"signer by key" if cms.count(own) > 1 else "signer by issuer"}  # once inside the certificate


def expect_content(entity: bytes) -> None:
    """What the peer read is what we wrote."""
    if CONTENT.strip() not in entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"):
        raise Unable("another content")
