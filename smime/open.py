"""Opening a mail: every layer from the outside in, and separate answers to separate questions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from dcc.smime import ber, compressed, enveloped, mime, signed, transfer
from dcc.smime.errors import (
    Ambiguous,
    LimitPassed,
    Malformed,
    NotForUs,
    NotOpened,
    SmimeError,
    Unsupported,
)
from dcc.smime.headers import Headers, read_headers
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.recipients import OurKey
from dcc.smime.verdict import Content, Layer, Opened, Problem, SignatureCheck
from dcc.smime.workfile import WorkFile

ENVELOPED = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
SIGNED = "1.2.840.113549.1.7.2"
COMPRESSED = "1.2.840.113549.1.9.16.1.9"
CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
SINGLE = ("From", "Date", "To", "Subject", "Content-Type", "MIME-Version")


@dataclass(slots=True)
class _Payload:
    """The entity being looked at: a window on a file, and where its CMS begins when it is raw CMS."""

    file: BinaryIO
    start: int
    size: int
    work: WorkFile | None = None


@dataclass(slots=True)
class _State:
    """What is known so far."""

    keys: Sequence[OurKey]
    limits: Limits
    random_bytes: Callable[[int], bytes]
    workdir: Path | None
    allow_legacy: bool
    outer: Headers = field(default_factory=Headers)
    layers: list[Layer] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    encrypted: bool = False
    decrypted: bool = False
    signers: tuple[SignatureCheck, ...] = ()
    certificates: tuple[bytes, ...] = ()
    outer_signatures_good: bool = True
    last: str = ""
    content: Content | None = None
    files: list[WorkFile] = field(default_factory=list)

    def make_file(self) -> WorkFile:
        """A work file that is closed with the others unless it holds the content."""
        file = WorkFile(self.workdir, self.random_bytes)
        self.files.append(file)
        return file


def open_message(
    source: BinaryIO,
    *,
    keys: Sequence[KeyPair] = (),
    limits: Limits | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    workdir: Path | None = None,
    allow_legacy: bool = False,
) -> Opened:
    """Open a whole mail from a seekable file. Never raises on hostile input; OSError where the disk fails.

    `content` is set only when the innermost layer was signed and every signature is intact and valid (R-AUTH).
    Close the result when its content is no longer needed.
    """
    state = _State([OurKey.of(pair) for pair in keys], limits or Limits(), random_bytes, workdir, allow_legacy)
    problem, detail = None, None
    try:
        source.seek(0, os.SEEK_END)
        size = source.tell()
        if size > state.limits.message:
            raise LimitPassed("message")
        _layers(state, _Payload(source, 0, size))
    except SmimeError as error:
        problem, detail = _problem(error)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        # Whatever a hostile structure provokes below has one end here, and is named for the operator.
        problem, detail = Problem.MALFORMED, type(error).__name__
    opened = _conclude(state, problem, detail)
    for file in state.files:
        if opened.content is None or file is not opened.content.file:
            file.close()
    return opened


def open_cms(
    source: BinaryIO, *, keys: Sequence[KeyPair] = (), limits: Limits | None = None, allow_legacy: bool = False
) -> Opened:
    """Open a bare CMS structure (.p7m, .cms in DER, BER or PEM) as if it stood in a mail without headers."""
    state = _State([OurKey.of(pair) for pair in keys], limits or Limits(), os.urandom, None, allow_legacy)
    problem, detail = None, None
    try:
        inner = _cms_layer(state, *_bare(source), size=source.seek(0, os.SEEK_END))
        if inner is not None:
            _layers(state, inner, first=False)
    except SmimeError as error:
        problem, detail = _problem(error)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        problem, detail = Problem.MALFORMED, type(error).__name__
    opened = _conclude(state, problem, detail)
    for file in state.files:
        if opened.content is None or file is not opened.content.file:
            file.close()
    return opened


def _bare(source: BinaryIO) -> tuple[Callable[[], Iterator[bytes]]]:
    source.seek(0)
    start = source.read(4096)
    if start.lstrip().startswith(b"-----BEGIN"):
        source.seek(0)
        lines = source.read().split(b"\n")
        body = b"".join(line for line in lines if b"-----" not in line and b":" not in line)
        import io

        return (lambda: transfer.base64(io.BytesIO(body), 0, len(body)),)
    end = source.seek(0, os.SEEK_END)
    return (lambda: transfer.identity(source, 0, end),)


def _problem(error: SmimeError) -> tuple[Problem, str | None]:
    match error:
        case LimitPassed():
            return Problem.LIMIT, error.limit
        case NotForUs():
            return Problem.NOT_FOR_US, str(error)
        case NotOpened():
            return Problem.NOT_OPENED, None
        case Ambiguous():
            return Problem.AMBIGUOUS, error.rule
        case Unsupported():
            return Problem.WEAK, error.name
        case _:
            return Problem.MALFORMED, str(error)


def _layers(state: _State, payload: _Payload | None, *, first: bool = True) -> None:
    while payload is not None:
        payload.file.seek(payload.start)
        end = payload.start + payload.size
        try:
            headers, body = read_headers(payload.file, state.limits, end)
        except Malformed:
            if first:
                raise
            return  # the signed content need not be a MIME entity to have been signed
        if first:
            state.outer = headers
            _check_outer(state, headers)
            first = False
        payload = _one_layer(state, headers, payload, body, end)


def _check_outer(state: _State, headers: Headers) -> None:
    """Doubled fields are where two readers see two mails (R-FROM, RFC 5322 §3.6)."""
    for name in SINGLE:
        if headers.count(name) > 1:
            raise Ambiguous("R-FROM" if name == "From" else "R-HEADERS")


def _one_layer(state: _State, headers: Headers, payload: _Payload, body: int, end: int) -> _Payload | None:
    media_type, parameters = mime.content_type(headers)
    encoding = (headers.unfolded("Content-Transfer-Encoding") or "7bit").lower()
    if _is_cms(headers, media_type, parameters):
        file = payload.file
        return _cms_layer(
            state,
            lambda: transfer.decode(file, body, end, encoding),
            size=end - body,
            smime_type=parameters.get("smime-type"),
        )
    if media_type == "multipart/signed":
        protocol = parameters.get("protocol", "").lower()
        if protocol and protocol not in SIGNATURE_TYPES:
            return None  # R-CT: another protocol is not S/MIME
        return _detached_layer(state, payload)
    return None


def _is_cms(headers: Headers, media_type: str, parameters: object) -> bool:
    if media_type in CMS_TYPES:
        return True
    if media_type != "application/octet-stream":
        return False
    # R-CT: application/octet-stream only with a .p7m name
    shown = mime.content_type(headers)[1].get("name") or ""
    disposition = headers.unfolded("Content-Disposition") or ""
    return shown.lower().endswith(".p7m") or ".p7m" in disposition.lower()


def _stream(state: _State, pieces: Callable[[], Iterator[bytes]]) -> ber.BerStream:
    return ber.BerStream(transfer.reader(pieces()), state.limits)


def _cms_layer(
    state: _State, pieces: Callable[[], Iterator[bytes]], *, size: int, smime_type: str | None = None
) -> _Payload | None:
    _count_layer(state)
    peek = _stream(state, pieces)
    peek.enter(ber.SEQUENCE)
    raw = peek.value()
    kind = ber.oid(raw, ber.whole(raw, ber.OBJECT_IDENTIFIER), state.limits)
    _cross_check(state, kind, smime_type)
    if kind in (ENVELOPED, AUTH_ENVELOPED):
        state.encrypted = True
        state.last = "enveloped"
        work, layer = enveloped.decrypt(
            lambda: _stream(state, pieces), kind == AUTH_ENVELOPED, state.keys, state.limits, state.make_file,
            state.random_bytes, state.allow_legacy,
        )  # fmt: skip
        state.decrypted = True
        state.layers.append(layer)
        return _Payload(work.view(), 0, work.size, work)
    if kind == SIGNED:
        found = signed.read_opaque(_stream(state, pieces), state.limits, state.make_file)
        return _signed_layer(state, found, found.content, 0, None)
    if kind == COMPRESSED:
        if sum(layer.kind == "compressed" for layer in state.layers) >= state.limits.compressed_layers:
            raise LimitPassed("compressed_layers")
        work, layer = compressed.inflate(_stream(state, pieces), state.limits, state.make_file, size)
        state.layers.append(layer)
        return _Payload(work.view(), 0, work.size, work)
    raise Unsupported(f"content type {kind}")


def _cross_check(state: _State, kind: str, smime_type: str | None) -> None:
    """The OID decides, smime-type only cross-checks (R-CT, RFC 8551 §3.2.2)."""
    said = {
        "enveloped-data": ENVELOPED, "authenveloped-data": AUTH_ENVELOPED, "signed-data": SIGNED,
        "compressed-data": COMPRESSED, "certs-only": SIGNED,
    }.get((smime_type or "").lower())  # fmt: skip
    if said is not None and said != kind:
        state.findings.append("R-CT")


def _count_layer(state: _State) -> None:
    if sum(layer.kind != "compressed" for layer in state.layers) >= state.limits.cms_layers:
        raise LimitPassed("cms_layers")


def _detached_layer(state: _State, payload: _Payload) -> _Payload | None:
    _count_layer(state)
    root = mime.scan(payload.file, payload.start, payload.size, state.limits, descend=False)
    if len(root.children) != 2:
        raise Ambiguous("R-ECONTENT")  # exactly two parts (RFC 1847 §2.1)
    entity, second = root.children
    signature = mime.scan(payload.file, second.start, second.end - second.start, state.limits, descend=False)
    if signature.media_type not in SIGNATURE_TYPES:
        raise Ambiguous("R-ECONTENT")
    file = payload.file
    der = b"".join(mime.decode(file, signature))
    if len(der) > state.limits.small_structure:
        raise LimitPassed("small_structure")

    def read(pieces: Callable[[], Iterator[bytes]]) -> signed.SignedLayer:
        return signed.read_detached(_stream(state, lambda: iter((der,))), state.limits, state.make_file, pieces)

    found = read(lambda: transfer.identity(file, entity.start, entity.end))
    if all(one.good for one in found.signers) or not _has_bare_lf(file, entity.start, entity.end):
        work = payload.work or _copied(state, transfer.identity(file, entity.start, entity.end))
        start = entity.start if payload.work is not None else 0
        return _signed_layer(state, found, work, start, entity.end - entity.start)
    # A file saved with bare line feeds: the signature covers the canonical form (RFC 8551 §3.1.1).
    work = _copied(state, _canonical(transfer.identity(file, entity.start, entity.end)))
    again = read(lambda: transfer.identity(work.view(), 0, work.size))
    if all(one.good for one in again.signers):
        state.findings.append("R-LINES")
        return _signed_layer(state, again, work, 0, work.size)
    return _signed_layer(state, found, work, 0, work.size)


def _copied(state: _State, pieces: Iterator[bytes]) -> WorkFile:
    work = state.make_file()
    for piece in pieces:
        work.write(piece)
    return work


def _has_bare_lf(file: BinaryIO, start: int, end: int) -> bool:
    after_cr = False
    for piece in transfer.identity(file, start, end):
        if piece.count(b"\n") > piece.count(b"\r\n") + (after_cr and piece.startswith(b"\n")):
            return True
        after_cr = piece.endswith(b"\r")
    return False


def _canonical(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        yield text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if held:
        yield held


def _signed_layer(
    state: _State, found: signed.SignedLayer, work: WorkFile | None, start: int, size: int | None
) -> _Payload | None:
    if state.signers and not all(one.good for one in state.signers):
        state.outer_signatures_good = False
    state.layers.append(found.layer)
    state.findings.extend(found.findings)
    state.signers = found.signers
    state.certificates = found.certificates
    state.last = "signed" if found.signers else "certificates"
    if work is None:
        return None
    length = work.size if size is None else size
    state.content = Content(work, start, length, found.sha256)
    return _Payload(work.view(), start, length, work)


def _conclude(state: _State, problem: Problem | None, detail: str | None) -> Opened:
    # An encrypted payload that holds no signature is not signed, whatever was signed around it (R-ROOT, R-AUTH).
    is_signed = state.last == "signed" and bool(state.signers)
    good = is_signed and all(one.good for one in state.signers) and state.outer_signatures_good
    weak = any(one.weak for one in state.signers)
    if problem is None:
        if not is_signed:
            problem = Problem.NOT_SIGNED
        elif not good:
            problem = Problem.NOT_INTACT
        elif weak:
            problem = Problem.WEAK
    legacy = any(layer.algorithms.get("content", "").startswith(("des", "rc2")) for layer in state.layers)
    if legacy and problem is None:
        problem = Problem.WEAK
        state.findings.append("R-ALGO")
    opened = Opened(
        outer=state.outer, layers=tuple(state.layers), encrypted=state.encrypted, decrypted=state.decrypted,
        signed=is_signed, intact=good and problem in (None, Problem.WEAK), signers=state.signers,
        certificates=state.certificates, findings=tuple(dict.fromkeys(state.findings)), problem=problem, detail=detail,
    )  # fmt: skip
    return replace(opened, content=state.content) if opened.intact else opened
