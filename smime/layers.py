"""The layers of a mail, walked from the outside in; only what is the root is ever opened (R-ROOT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dcc.smime import berstream, compressed, enveloped, fields, lineends, mime, signed, transfer
from dcc.smime.errors import Ambiguous, LimitPassed, Malformed, NotForUs, Unsupported
from dcc.smime.headers import Headers, read_headers, structured
from dcc.smime.limits import Limits
from dcc.smime.recipients import OurKey
from dcc.smime.verdict import Content, Layer, SignatureCheck
from dcc.smime.workfile import WorkFile

DATA = "1.2.840.113549.1.7.1"
SIGNED = "1.2.840.113549.1.7.2"
ENVELOPED = "1.2.840.113549.1.7.3"
DIGESTED = "1.2.840.113549.1.7.5"
ENCRYPTED = "1.2.840.113549.1.7.6"
AUTHENTICATED = "1.2.840.113549.1.9.16.1.2"
COMPRESSED = "1.2.840.113549.1.9.16.1.9"
AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
NAMES = {
    "enveloped-data": ENVELOPED, "authenveloped-data": AUTH_ENVELOPED, "signed-data": SIGNED,
    "compressed-data": COMPRESSED, "certs-only": SIGNED,
}  # fmt: skip
CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
CMS_NAMES = (".p7m", ".p7s")
Pieces = Callable[[], Iterator[bytes]]


@dataclass(slots=True)
class Payload:
    """The entity being looked at: a window on a file; `work` when it came out of a layer."""

    file: BinaryIO
    start: int
    size: int
    work: WorkFile | None = None


@dataclass(slots=True)
class State:
    """What is known so far."""

    keys: Sequence[OurKey]
    limits: Limits
    random_bytes: Callable[[int], bytes]
    workdir: Path | None
    allow_legacy: bool
    post_quantum: bool = False
    is_mail: bool = False  # a CMS structure was met in a mail; one that stands alone may hold anything
    outer: Headers = field(default_factory=Headers)
    layers: list[Layer] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    encrypted: bool = False
    decrypted: bool = False
    weakness: list[str] = field(default_factory=list)  # what only the archive switch reads, in every layer, by name
    signers: tuple[SignatureCheck, ...] = ()
    certificates: tuple[bytes, ...] = ()
    outer_signatures_good: bool = True
    foreign: str | None = None  # what the signed content is, where it is no data (R-CT)
    checked: int = 0  # signatures, in all layers
    last: str = ""  # what the innermost layer was
    content: Content | None = None
    plain: Content | None = None  # what the innermost envelope held
    files: list[WorkFile] = field(default_factory=list)

    def make_file(self) -> WorkFile:
        """A work file that is closed with the others unless it holds the content."""
        file = WorkFile(self.workdir, self.random_bytes)
        self.files.append(file)
        return file

    def stream(self, pieces: Pieces) -> berstream.BerStream:
        """The BER encoding that these pieces are."""
        return berstream.BerStream(transfer.reader(pieces()), self.limits)


def walk(state: State, payload: Payload | None, *, first: bool = True) -> None:
    """Open layer after layer until what is left is not S/MIME. Raises SmimeError."""
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
            first = False
        fields.check_single(headers)
        payload = _one_layer(state, headers, payload, body, end)


def _one_layer(state: State, headers: Headers, payload: Payload, body: int, end: int) -> Payload | None:
    media_type, parameters = mime.content_type(headers)
    encoding = mime.transfer_encoding(headers)
    if _is_cms(headers, media_type, parameters):
        state.is_mail = True
        file = payload.file
        pieces = lambda: transfer.decode(file, body, end, encoding)  # noqa: E731
        return cms_layer(state, pieces, size=end - body, smime_type=parameters.get("smime-type"))
    if media_type == "multipart/signed":
        protocol = parameters.get("protocol", "").lower()
        if protocol and protocol not in SIGNATURE_TYPES:
            return None  # R-CT: another protocol is not S/MIME
        state.is_mail = True
        return _detached_layer(state, payload, (media_type, parameters), body)
    return None


def _is_cms(headers: Headers, media_type: str, parameters: Mapping[str, str]) -> bool:
    if media_type in CMS_TYPES:
        return True
    if media_type != "application/octet-stream":
        return False
    # R-CT, RFC 8551 §3.9: application/octet-stream only with a .p7m or .p7s name
    shown = structured(headers.unfolded("Content-Disposition") or "").parameters.get("filename", "")
    return any(one.lower().endswith(CMS_NAMES) for one in (shown, parameters.get("name", "")))


def cms_layer(
    state: State, pieces: Pieces, *, size: int, smime_type: str | None = None, beside: Pieces | None = None
) -> Payload | None:
    """Open one ContentInfo; `beside` is the content of a signature that stands alone. Raises SmimeError."""
    _count_layer(state)
    stream = state.stream(pieces)
    kind = berstream.content_type(stream, state.limits)
    said = NAMES.get((smime_type or "").lower())
    if said is not None and said != kind:
        state.findings.append("R-CT")  # the OID decides, smime-type only cross-checks (RFC 8551 §3.2.2)
    if kind in (ENVELOPED, AUTH_ENVELOPED):
        return _enveloped_layer(state, stream, pieces, authenticated=kind == AUTH_ENVELOPED)
    if kind == SIGNED and beside is not None:
        found = signed.read_detached(stream, state.limits, state.make_file, beside, post_quantum=state.post_quantum)
        return signed_layer(state, found, _copied(state, beside()), 0)
    if kind == SIGNED:
        found = signed.read_opaque(stream, state.limits, state.make_file, post_quantum=state.post_quantum)
        return signed_layer(state, found, found.content, 0)
    if kind == COMPRESSED:
        return _compressed_layer(state, stream, size)
    if kind in (ENCRYPTED, AUTHENTICATED):
        raise NotForUs("no recipient of this kind is supported")
    if kind in (DATA, DIGESTED):
        return None  # neither signed nor encrypted
    raise Unsupported(f"content type {kind}")


def _enveloped_layer(state: State, stream: berstream.BerStream, pieces: Pieces, *, authenticated: bool) -> Payload:
    state.encrypted = True
    state.last = "enveloped"
    opened = enveloped.decrypt(
        stream, lambda: state.stream(pieces), authenticated, state.keys, state.limits, state.make_file,
        state.random_bytes, state.allow_legacy, state.post_quantum,
    )  # fmt: skip
    state.decrypted = True
    state.weakness.extend(opened.weakness)
    state.layers.append(opened.layer)
    if not opened.ours.encrypts:
        state.findings.append("R-USAGE")  # decryptable by arithmetic, but that key is not for this (R-USAGE)
    state.plain = Content(opened.file, 0, opened.file.size, "")
    return Payload(opened.file.view(), 0, opened.file.size, opened.file)


def _compressed_layer(state: State, stream: berstream.BerStream, size: int) -> Payload:
    if sum(layer.kind == "compressed" for layer in state.layers) >= state.limits.compressed_layers:
        raise LimitPassed("compressed_layers")
    work, layer = compressed.inflate(stream, state.limits, state.make_file, size)
    state.layers.append(layer)
    return Payload(work.view(), 0, work.size, work)


def _count_layer(state: State) -> None:
    if sum(layer.kind != "compressed" for layer in state.layers) >= state.limits.cms_layers:
        raise LimitPassed("cms_layers")


def _detached_layer(state: State, payload: Payload, kind: tuple[str, Mapping[str, str]], body: int) -> Payload | None:
    _count_layer(state)
    file = payload.file
    parts = mime.direct_parts(file, kind, body, payload.start + payload.size, state.limits)
    if len(parts) != 2:
        raise Ambiguous("R-ECONTENT")  # exactly two parts (RFC 1847 §2.1)
    (start, end), signature = parts
    der = _signature_part(state, file, *signature)

    def read(pieces: Pieces) -> signed.SignedLayer:
        stream = state.stream(lambda: iter((der,)))
        if berstream.content_type(stream, state.limits) != SIGNED:
            raise Malformed("a signature part that is not SignedData")
        return signed.read_detached(stream, state.limits, state.make_file, pieces, post_quantum=state.post_quantum)

    def as_it_is() -> Iterator[bytes]:
        return transfer.identity(file, start, end)

    found = read(as_it_is)
    if payload.work is not None:
        return signed_layer(state, found, payload.work, start, end - start)
    if not found.good and lineends.is_saved_with_lf(file, payload.start, body):
        work = _copied(state, lineends.canonical(as_it_is()))
        again = read(lambda: transfer.identity(work.view(), 0, work.size))
        if again.good:
            state.findings.append("R-LINES")
            return signed_layer(state, again, work, 0)
    return signed_layer(state, found, _copied(state, as_it_is()), 0)


def _signature_part(state: State, file: BinaryIO, start: int, end: int) -> bytes:
    """The DER of the second part of a multipart/signed."""
    file.seek(start)
    headers, body = read_headers(file, state.limits, end)
    if mime.content_type(headers)[0] not in SIGNATURE_TYPES:
        raise Ambiguous("R-ECONTENT")
    encoding = mime.transfer_encoding(headers)
    return _small(transfer.decode(file, min(body, end), end, encoding), state.limits)


def _small(pieces: Iterator[bytes], limits: Limits) -> bytes:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limits.small_structure:
            raise LimitPassed("small_structure")
        held.append(piece)
    return b"".join(held)


def _copied(state: State, pieces: Iterator[bytes]) -> WorkFile:
    work = state.make_file()
    for piece in pieces:
        work.write(piece)
    return work


def signed_layer(
    state: State, found: signed.SignedLayer, work: WorkFile | None, start: int, size: int | None = None
) -> Payload | None:
    """Note what one SignedData says, and go on inside its content."""
    if state.signers and not all(one.good for one in state.signers):
        state.outer_signatures_good = False
    state.checked += len(found.signers)
    if state.checked > state.limits.signature_checks:
        raise LimitPassed("signature_checks")
    state.layers.append(found.layer)
    state.findings.extend(found.findings)
    state.signers = found.signers
    state.certificates = found.certificates
    state.last = "signed" if found.signers else "certificates"
    weak = [name for one in found.signers for name in one.weakness]
    state.weakness.extend(weak)
    if work is None:
        return None
    length = work.size if size is None else size
    state.content = Content(work, start, length, found.sha256)
    if found.content_type != DATA:
        state.foreign = found.content_type
        return None
    if weak and not (state.allow_legacy and found.good):
        return None  # judged, and not read any further without the archive switch (R-ALGO)
    return Payload(work.view(), start, length, work)
