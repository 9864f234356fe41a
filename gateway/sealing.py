"""From a mail in a file to the sealed mail: what `dcc seal` does, without its command line."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, Literal, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dcc.gateway.cardsigner import CardRefused, CardRequest, card_pair
from dcc.smime.errors import SmimeError
from dcc.smime.headers import Headers, decoded, read_headers, unfold
from dcc.smime.keys import KeyPair, KeyUnreadable, load_key_file
from dcc.smime.limits import Limits
from dcc.smime.seal import MailHeaders, Profile, Sealed, key_signer, seal
from dcc.smime.segments import FileSegment
from dcc.smime.tokenkey import TokenAway
from dcc.smime.workfile import WorkFile

# Left outside as well as inside: threads and answers need them (RFC 9788 §3.2.1, hcp_baseline)
OUTSIDE = frozenset({"cc", "reply-to", "in-reply-to", "references", "auto-submitted"})
ADDRESSES = frozenset({"from", "to", "cc", "reply-to", "sender"})
OWN = frozenset({"from", "to", "subject", "date", "message-id", "mime-version", "bcc", "received", "return-path"})
DATE_KEPT = timedelta(hours=1)


class SealingRefused(Exception):
    """The mail cannot be sealed; the text is for the person. `usage`: a file or an option is wrong."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class SealingRequest:
    """What to seal, with which keys, how, and where to."""

    file: Path
    signer: Path | CardRequest
    password: str | None
    recipients: tuple[Path, ...]
    chain: tuple[Path, ...] = ()
    announce: Path | None = None
    cipher: str = "aes256-cbc"
    key_transport: str = "rsa"
    digest: str | None = None  # None: the signer's key decides
    pss: bool = False
    detached: bool = True
    header_protection: str = "rfc9788"
    post_quantum: bool = False
    out: Path | None = None


def seal_file(
    request: SealingRequest, *, now: datetime, random_bytes: Callable[[int], bytes] = os.urandom
) -> tuple[Sealed, str]:
    """Seal one mail, and its SHA-256; nothing is written before it has been verified. Raises SealingRefused."""
    signer = key_signer(_signer(request))
    recipients = [one for path in request.recipients for one in certificates_of(path)]
    profile = Profile(
        cipher=cast("Literal['aes256-cbc', 'aes128-cbc', 'aes256-gcm']", request.cipher),
        key_transport=cast("Literal['rsa', 'oaep']", request.key_transport),
        digest=cast("Literal['sha256', 'sha384', 'sha512']", request.digest or signer.digest),
        pss=request.pss,
        detached=request.detached,
        header_protection=cast("Literal['rfc9788', 'wrapped']", request.header_protection),
        post_quantum=request.post_quantum,
        extra_certificates=tuple(certificates_of(request.announce)[:1]) if request.announce else (),
    )
    body, work = WorkFile(), WorkFile()
    try:
        with _opened(request.file) as source:
            fields, start = _head(source, request.file)
            source.seek(start)
            for piece in canonical(source):
                body.write(piece)
        headers, content = mail_headers(fields, now, random_bytes)
        sealed = seal(
            headers, [FileSegment(body.view, 0, body.size)], content, signer=signer, recipient=recipients,
            profile=profile, out=cast("BinaryIO", work), random_bytes=random_bytes,
        )  # fmt: skip
        _deliver(work, request.out)
        return sealed, hashlib.file_digest(work.view(), "sha256").hexdigest()  # type: ignore[arg-type]
    except SmimeError as error:
        raise SealingRefused(f"Refusé : {error}") from error
    except TokenAway as error:
        raise SealingRefused("La carte ne répond pas.") from error
    except OSError as error:
        raise SealingRefused(f"Fichier illisible ou non inscriptible : {error.strerror}", usage=True) from error
    finally:
        body.close()
        work.close()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SealingRefused(f"{path} : illisible ({error.strerror}).", usage=True) from error


def _head(source: BinaryIO, path: Path) -> tuple[Headers, int]:
    try:
        return read_headers(source, Limits())
    except SmimeError as error:
        what = "ce n'est pas un courriel (des en-têtes, une ligne vide, un corps)"
        raise SealingRefused(f"{path} : {what}.") from error


def _signer(request: SealingRequest) -> KeyPair:
    if isinstance(request.signer, CardRequest):
        try:
            pair = card_pair(request.signer)
        except CardRefused as error:
            raise SealingRefused(str(error), usage=error.usage) from error
    else:
        pair = _pair(request.signer, request.password)
    more = [one for path in request.chain for one in certificates_of(path)]
    return KeyPair(pair.certificate, pair.key, tuple(dict.fromkeys((*pair.chain, *more))))


def _pair(path: Path, password: str | None) -> KeyPair:
    with _opened(path) as file:
        data = file.read()
    try:
        return load_key_file(data, None if password is None else password.encode())
    except KeyUnreadable as error:
        raise SealingRefused(f"{path} ne s'ouvre pas : mot de passe faux, ou fichier abîmé.", usage=True) from error


def certificates_of(path: Path) -> list[bytes]:
    """The certificates (DER) of a PEM or DER file. Raises SealingRefused."""
    with _opened(path) as file:
        data = file.read()
    try:
        if b"-----BEGIN" in data:
            return [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(data)]
        return [x509.load_der_x509_certificate(data).public_bytes(Encoding.DER)]
    except ValueError as error:
        raise SealingRefused(f"{path} : ce n'est pas un certificat.", usage=True) from error


def canonical(source: BinaryIO) -> Iterator[bytes]:
    """The rest of a file with CRLF line ends, as a signature needs them (RFC 8551 §3.1.1)."""
    held = b""
    while piece := source.read(1 << 16):
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        yield text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if held:
        yield b"\r\n"


def mail_headers(
    fields: Headers, now: datetime, random_bytes: Callable[[int], bytes]
) -> tuple[MailHeaders, list[tuple[str, str]]]:
    """The mail's own fields, and the Content-* fields of its root part. Raises SealingRefused."""
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        if fields.count(name) > 1:
            raise SealingRefused(f"Le courriel a plusieurs champs {name} (R-FROM).")
    sender = _addresses(fields, "From")
    if sender is None:
        raise SealingRefused("Le courriel n'a pas de From.")
    content, inside, outside = [], [], []
    for name, raw in fields.fields:
        lower = name.lower()
        value = _addresses_of(unfold(raw)) if lower in ADDRESSES else decoded(raw)
        if lower.startswith("content-"):
            content.append((name, unfold(raw).strip()))
        elif lower in OUTSIDE:
            outside.append((name, value))
        elif lower not in OWN:  # Bcc appears nowhere (R-HEADER-OUT), X-MSS-* stand inside only (contract)
            inside.append((name, value))
    if not any(name.lower() == "content-type" for name, _ in content):
        content.append(("Content-Type", "text/plain; charset=utf-8"))
    headers = MailHeaders(
        from_=sender, to=_addresses(fields, "To") or "undisclosed-recipients:;", subject=fields.get("Subject") or "",
        date=_date(fields, now), message_id=_message_id(fields, sender, random_bytes), extra=tuple(inside),
        outer_extra=tuple(outside),
    )  # fmt: skip
    return headers, content


def _date(fields: Headers, now: datetime) -> datetime:
    """The file's own Date when it is near the clock; else the clock's (a Date far from signingTime is a mismatch)."""
    try:
        said = parsedate_to_datetime(fields.get("Date") or "")
    except ValueError:
        return now.replace(microsecond=0)
    said = said.replace(tzinfo=UTC) if said.tzinfo is None else said.astimezone(UTC)
    return said if abs(said - now) <= DATE_KEPT else now.replace(microsecond=0)


def _message_id(fields: Headers, sender: str, random_bytes: Callable[[int], bytes]) -> str:
    said = (fields.get("Message-ID") or "").strip()
    if said.startswith("<") and said.endswith(">") and "@" in said and said.isascii():
        return said
    domain = getaddresses([sender])[0][1].rpartition("@")[2]
    return f"<{random_bytes(16).hex()}@{domain}>"


def _addresses(fields: Headers, name: str) -> str | None:
    raw = fields.raw_all(name)
    return _addresses_of(unfold(raw[0])) or None if raw else None


def _addresses_of(text: str) -> str:
    """Addresses with decoded names, quoted so that a comma in a name stays in it."""
    shown = []
    for name, address in getaddresses([text]):
        if not address:
            continue
        clear = decoded(name.encode("utf-8", "replace")).replace("\\", "\\\\").replace('"', '\\"')
        shown.append(f'"{clear}" <{address}>' if clear else address)
    return ", ".join(shown)


def _deliver(work: WorkFile, out: Path | None) -> None:
    """The finished mail to standard output, or to a file that appears whole or not at all."""
    reader = work.view()
    if out is None:
        shutil.copyfileobj(reader, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    part = out.with_name(out.name + ".part")
    with part.open("wb") as file:
        shutil.copyfileobj(reader, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(out)
