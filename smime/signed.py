"""SignedData, read as a stream: content hashed while it passes, every signer judged (RFC 5652 §5; R-SIGNERS)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dcc.smime import algorithms, ber, signerinfo
from dcc.smime.berstream import BerStream
from dcc.smime.certificates import CertificateParts, parts
from dcc.smime.errors import Ambiguous, LimitPassed, Malformed
from dcc.smime.limits import Limits
from dcc.smime.verdict import Layer, SignatureCheck
from dcc.smime.workfile import WorkFile

HASHLIB = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True)
class SignedLayer:
    """What one SignedData says: its signers judged, its certificates, its content when it is opaque."""

    layer: Layer
    signers: tuple[SignatureCheck, ...]
    certificates: tuple[bytes, ...]
    findings: tuple[str, ...]
    content: WorkFile | None
    content_type: str
    sha256: str

    @property
    def good(self) -> bool:
        """At least one signer, and every one intact and valid (R-SIGNERS)."""
        return bool(self.signers) and all(one.good for one in self.signers)


class Digests:
    """Several digests of one stream at once; SHA-256 is always among them."""

    def __init__(self, names: Iterable[str], longest: int = Limits().small_structure) -> None:
        self._longest = longest  # signed attributes are not longer, or no reader of ours took them for such
        self._hashes = {name: hashlib.new(name) for name in {*names, "sha256"} if name in HASHLIB}
        self.head = b""  # the content, kept only while it may be a SET of attributes

    def update(self, data: bytes | memoryview) -> None:
        """Hash one piece."""
        if (self.head[:1] or data[:1]) == b"\x31" and len(self.head) <= self._longest:
            self.head += bytes(data)
        for one in self._hashes.values():
            one.update(data)

    def values(self) -> dict[str, bytes]:
        """Name -> digest."""
        return {name: one.digest() for name, one in self._hashes.items()}


@dataclass(slots=True)
class _Skeleton:
    names: tuple[str, ...] = ()
    content_type: str = ""
    content: WorkFile | None = None
    digests: Digests | None = None
    certificates: tuple[CertificateParts, ...] = ()
    infos: tuple[bytes, ...] = ()


def read_opaque(
    stream: BerStream, limits: Limits, make_file: Callable[[], WorkFile], *, post_quantum: bool = False
) -> SignedLayer:
    """SignedData that encloses its content; the stream stands behind the contentType. Raises Malformed, LimitPassed."""
    found = _walk(stream, limits, make_file)
    if found.content is None or found.digests is None:
        if found.infos:
            raise Malformed("no content in the SignedData")
        return _judge(found, Digests(()), limits, None, post_quantum)  # certificates only: not signed
    return _judge(found, found.digests, limits, found.content, post_quantum)


def read_detached(
    stream: BerStream,
    limits: Limits,
    make_file: Callable[[], WorkFile],
    content: Callable[[], Iterator[bytes]],
    *,
    post_quantum: bool = False,
) -> SignedLayer:
    """SignedData beside its content, likewise. Raises Ambiguous(R-ECONTENT) when it encloses one too."""
    found = _walk(stream, limits, make_file)
    if found.content is not None:
        found.content.close()
        raise Ambiguous("R-ECONTENT")
    digests = Digests(found.names)
    for piece in content():
        digests.update(piece)
    return _judge(found, digests, limits, None, post_quantum)


def _walk(stream: BerStream, limits: Limits, make_file: Callable[[], WorkFile]) -> _Skeleton:
    found = _Skeleton()
    stream.enter(0xA0)
    stream.enter(ber.SEQUENCE)
    stream.value()  # version
    found.names = tuple(dict.fromkeys(_digest_names(stream.value(), limits)))
    stream.enter(ber.SEQUENCE)
    raw = stream.value()
    found.content_type = ber.oid(raw, ber.whole(raw, ber.OBJECT_IDENTIFIER), limits)
    if stream.peek_tag() == 0xA0:
        stream.enter(0xA0)
        found.content, found.digests = _content(stream, found.names, make_file)
        stream.leave()
    stream.leave()
    if stream.peek_tag() == 0xA0:
        found.certificates = tuple(_certificates(stream.value(), limits))
    if stream.peek_tag() == 0xA1:
        stream.skip(stream.next())  # CRLs in a mail are never used: ours are fetched and checked
    infos = stream.value()
    slices = ber.children(infos, ber.whole(infos, ber.SET))
    if len(slices) > limits.signer_infos:
        raise LimitPassed("signer_infos")
    found.infos = tuple(infos[one.start : one.end] for one in slices)
    for _ in range(3):
        stream.leave()
    stream.finished()
    return found


def _digest_names(data: bytes, limits: Limits) -> Iterator[str]:
    for one in ber.children(data, ber.whole(data, ber.SET), limits.attributes):
        name, _ = ber.algorithm(data, one, limits)
        if name in algorithms.DIGESTS:
            yield algorithms.DIGESTS[name][0]


def _content(stream: BerStream, names: Sequence[str], make_file: Callable[[], WorkFile]) -> tuple[WorkFile, Digests]:
    digests = Digests(names)
    file = make_file()
    try:
        for piece in stream.octets(stream.next(), ber.OCTET_STRING):
            digests.update(piece)
            file.write(piece)
    except BaseException:
        file.close()
        raise
    return file, digests


def _certificates(data: bytes, limits: Limits) -> Iterator[CertificateParts]:
    found = ber.children(data, ber.whole(data, 0xA0))
    if len(found) > limits.certificates:
        raise LimitPassed("certificates")
    for one in found:
        if one.tag == ber.SEQUENCE:
            yield parts(data[one.start : one.end], limits.extensions)


def _judge(
    found: _Skeleton, hashed: Digests, limits: Limits, content: WorkFile | None, post_quantum: bool
) -> SignedLayer:
    signers: list[SignatureCheck] = []
    findings: list[str] = []
    digests = hashed.values()
    disguised = signerinfo.is_attributes(hashed.head)
    for raw in found.infos:
        info = signerinfo.read(raw, limits)
        one, failed = signerinfo.check(
            info, found.content_type, digests, found.certificates, limits, post_quantum=post_quantum
        )
        if info.digest not in found.names:  # RFC 5652 §5.1: listed, so that one pass is enough
            one, failed = replace(one, intact=False), (*failed, "R-ATTRS")
        if disguised and info.attributes is None:
            one, failed = replace(one, intact=False), (*failed, "R-ATTRS")
        signers.append(one)
        findings.extend(failed)
    if not signers:
        findings.append("R-SIGNERS")  # certificates only: not signed
    algorithms_used = {
        "digest": ",".join(sorted({s.digest_algorithm for s in signers})),
        "signature": ",".join(sorted({s.signature_algorithm for s in signers})),
    }
    form = "detached" if content is None else "opaque"
    return SignedLayer(
        Layer("signed", algorithms_used, {"form": form, "signers": str(len(signers))}),
        tuple(signers),
        tuple(certificate.der for certificate in found.certificates),
        tuple(dict.fromkeys(findings)),
        content,
        found.content_type,
        digests["sha256"].hex(),
    )
