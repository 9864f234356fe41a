"""What is mathematically true of a message: separate answers to separate questions, never one flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO

from dcc.smime.headers import Headers
from dcc.smime.workfile import WorkFile


class Problem(StrEnum):
    """Why a message cannot be believed; the codes are rows of the table of reasons."""

    NOT_ENCRYPTED = "D2R-ENC01"
    NOT_SIGNED = "D2R-SIG01"
    NOT_INTACT = "D2R-SIG02"
    NOT_OPENED = "D2R-OPN01"  # whatever failed after a recipient was selected (R-ORACLE)
    NOT_FOR_US = "D2R-OPN02"
    LIMIT = "D2R-LIM01"
    MALFORMED = "D2R-MAL01"
    AMBIGUOUS = "D2R-MAL02"
    WEAK = "D2R-ALG01"
    NOT_ENABLED = "D2R-ALG02"  # post-quantum, behind its switch


@dataclass(frozen=True, slots=True)
class Layer:
    """One cryptographic layer, from the outside in."""

    kind: str  # "enveloped" | "auth-enveloped" | "signed" | "compressed"
    algorithms: Mapping[str, str]
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """What is known of one signature. Each field answers one question."""

    certificate: bytes | None  # DER of the signer's certificate, if it was enclosed
    intact: bool  # the content hashes to what was signed (RFC 5652 §5.4)
    valid: bool  # the signature verifies with the certificate's key
    weak: bool  # an algorithm that is not trusted any more (R-ALGO)
    signing_time: datetime | None  # a claim of the signer, not a fact (RFC 5652 §11.3)
    digest_algorithm: str
    signature_algorithm: str
    message_digest: bytes
    encryption_key_preference: bytes | None = None  # DER, among the enclosed certificates (RFC 8551 §2.5.3)
    weakness: tuple[str, ...] = ()  # what makes it weak, by name
    capabilities: tuple[str, ...] = ()  # what the signer's client says it reads, dotted, best first (RFC 8551 §2.5.2)

    @property
    def good(self) -> bool:
        """Intact and valid; says nothing about trust."""
        return self.intact and self.valid


@dataclass(frozen=True, slots=True)
class Content:
    """The signed MIME entity, exactly as the signature covers it."""

    file: WorkFile
    start: int
    size: int
    sha256: str

    def open(self) -> BinaryIO:
        """A seekable reader of the entity."""
        return self.file.view(self.start, self.size)


@dataclass(frozen=True, slots=True)
class Covered:
    """Size and digest of the signed MIME entity: facts, told where the octets themselves are kept back."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The layers from the outside in, and what is known of each question."""

    outer: Headers
    layers: tuple[Layer, ...] = ()
    encrypted: bool = False
    decrypted: bool = False
    signed: bool = False
    intact: bool = False
    signers: tuple[SignatureCheck, ...] = ()
    certificates: tuple[bytes, ...] = ()
    findings: tuple[str, ...] = ()
    problem: Problem | None = None
    detail: str | None = None  # for the operator: which limit, which rule, which algorithm
    content: Content | None = None
    covered: Covered | None = None  # of every intact content, also where a weak signature keeps it back
    unsigned: Content | None = None  # decrypted, and nobody answers for it: only where it was asked for (R-AUTH)

    def close(self) -> None:
        """Forget the plaintext."""
        for one in (self.content, self.unsigned):
            if one is not None:
                one.file.close()
