"""Sealing a mail: signed, then encrypted for one reader, in one pass and constant memory (RFC 8551 §3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from dcc.smime import sealenveloped
from dcc.smime.errors import SmimeError
from dcc.smime.headerprotection import Fields, MailHeaders, block, protected, wrapped
from dcc.smime.sealsigned import SignedWriter
from dcc.smime.segments import Body, body_chunks, body_size
from dcc.smime.signer import Signer, key_signer
from dcc.smime.transfer import base64_lines

NEUTRAL_SUBJECT = "[...]"  # RFC 9788 §3.2.1


class SealFailed(SmimeError):
    """What was written is not what was meant; nothing of it may be sent."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How to seal for one kind of recipient; the defaults are read by every known client (facts: interoperability)."""

    cipher: Literal["aes256-cbc", "aes128-cbc", "aes256-gcm"] = "aes256-cbc"
    key_transport: Literal["rsa", "oaep"] = "rsa"
    digest: Literal["sha256", "sha384", "sha512"] = "sha256"
    pss: bool = False
    detached: bool = True
    header_protection: Literal["rfc9788", "wrapped", "none"] = "rfc9788"
    bound_key: bool = False  # the content key bound to its algorithm, for peers that know RFC 9709
    post_quantum: bool = False  # ML-KEM recipients and ML-DSA signers; no client that we know reads them
    extra_certificates: tuple[bytes, ...] = ()  # enclosed; the first is announced as the encryption certificate


@dataclass(frozen=True, slots=True)
class Sealed:
    """A finished mail: its Message-ID and its size in octets."""

    message_id: str
    size: int


def seal(
    headers: MailHeaders,
    content: Body,
    content_headers: Fields,
    *,
    signer: Signer | None,
    recipient: bytes | Sequence[bytes] | None,
    profile: Profile | None = None,
    out: BinaryIO,
    random_bytes: Callable[[int], bytes],
    outer_subject: str = NEUTRAL_SUBJECT,
) -> Sealed:
    """Write one sealed mail to `out`. `recipient` None: signed only; several: one message they all can open.

    `content` are the octets behind the root part's headers, `content_headers` its Content-* fields.
    Date and signingTime are the same reading of the clock (facts: Thunderbird).
    Raises HeaderInjection, UnusableRecipient, Unsupported, SealFailed.
    """
    chosen = profile or Profile()
    recipients = [recipient] if isinstance(recipient, bytes) else list(recipient or ())
    subject = outer_subject if recipients else headers.subject
    outer = headers.outer(subject)
    entity: Body = [_entity_head(headers, content_headers, outer, chosen, bool(recipients)), *content]
    boundary = f"----=_DCC_{random_bytes(18).hex()}"
    meter = _Meter(out)
    meter.write(block([*outer, ("MIME-Version", "1.0")]))
    if signer is None and not recipients:
        raise SealFailed("neither signed nor encrypted")
    writer = None if signer is None else SignedWriter(signer, chosen, headers.date, boundary)
    if not recipients and writer is not None:
        _write(meter, writer.mail(entity))
    else:
        payload = entity if writer is None else None
        size = body_size(entity) if writer is None else writer.mail_size(body_size(entity))
        chunks = body_chunks(payload) if payload is not None else _signed(writer, entity)
        meter.write(_cms_head(chosen))
        sealed = sealenveloped.enveloped(chunks, size, recipients, chosen, headers.date, random_bytes)
        _write(meter, base64_lines(sealed))
    if writer is not None:
        writer.verify()
    return Sealed(headers.message_id, meter.size)


def _signed(writer: SignedWriter | None, entity: Body) -> Iterator[bytes]:
    if writer is None:
        raise SealFailed("no signer")
    return writer.mail(entity)


def _entity_head(headers: MailHeaders, content: Fields, outer: Fields, profile: Profile, encrypted: bool) -> bytes:
    if profile.header_protection == "wrapped":
        return wrapped(headers, content)
    if profile.header_protection == "none":
        return block(content) + b"\r\n"
    return protected(headers, content, outer, encrypted=encrypted)


def _cms_head(profile: Profile) -> bytes:
    kind = "authEnveloped-data" if profile.cipher.endswith("gcm") else "enveloped-data"
    return (
        f'Content-Type: application/pkcs7-mime; smime-type={kind}; name="smime.p7m"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n'
    ).encode()


class _Meter:
    """Writes and counts."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)


def _write(meter: _Meter, chunks: Iterator[bytes]) -> None:
    for chunk in chunks:
        meter.write(chunk)


__all__ = ["MailHeaders", "Profile", "SealFailed", "Sealed", "key_signer", "seal"]
