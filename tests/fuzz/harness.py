"""What the fuzzers run: hostile octets go in, and whatever must hold of every answer is asserted."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256

from dcc.smime import address, ber, berstream, lineends, mime
from dcc.smime.errors import LimitPassed, Malformed, SmimeError
from dcc.smime.headers import Headers, decoded, parse, structured
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.open import open_cms, open_message
from dcc.smime.verdict import Opened, Problem
from forge import enveloped_data
from fuzz.cardharness import one_card
from throwaway import ENCRYPT, ENTITY, FIELDS, pair, part

LONGEST = 1 << 16  # octets of an input; larger ones are a matter of the tests of limits
CPU = 5.0  # seconds of processor time for one input: instrumented code on a slow machine, and still far from quadratic
CMS = "application/pkcs7-mime; name=smime.p7m"
CEK = bytes(range(32))
GENUINE = {sha256(ENTITY).hexdigest()}  # what our throw-away signers have signed: nothing else may be believed
EXPECTED = (Malformed, LimitPassed)
# The names of errors that the reader's last net would catch: each is a place where nobody thought of that input.
UNFORESEEN = {one.__name__ for one in (AttributeError, IndexError, KeyError, TypeError, ValueError, AssertionError)} | {
    "OverflowError", "RecursionError", "UnicodeDecodeError", "UnicodeEncodeError", "MemoryError", "UnboundLocalError",
}  # fmt: skip


@cache
def keys() -> list[KeyPair]:
    """The keys of ours that the corpus is encrypted to."""
    return [pair(kind, ENCRYPT, "reader") for kind in ("rsa", "p256", "ml-kem-768")]


def one_ber(data: bytes) -> None:
    """The BER reader: only its own errors, the same answer whatever the size of the blocks, and nothing invented."""
    limits = Limits()
    answers = []
    for block in (1, 3, 1 << 16):
        stream = berstream.BerStream(io.BytesIO(data).read, limits, block)
        try:
            value: object = stream.value()
            stream.finished()
        except EXPECTED as error:
            value = type(error)
        answers.append(value)
    assert answers[0] == answers[1] == answers[2]
    if isinstance(answers[0], bytes):
        assert len(answers[0]) <= 3 * len(data) + 16  # a definite length is longer than an indefinite one by 6 octets
        _walk(answers[0], 0)
    strings = []
    for block in (1, 1 << 16):
        stream = berstream.BerStream(io.BytesIO(data).read, limits, block)
        try:
            found: object = b"".join(bytes(piece) for piece in stream.octets(stream.next(), ber.OCTET_STRING))
        except EXPECTED as error:
            found = type(error)
        strings.append(found)
    assert strings[0] == strings[1]
    stream = berstream.BerStream(io.BytesIO(data).read, limits, 5)
    try:
        stream.skip(stream.next())
        assert stream.position <= len(data)
    except EXPECTED:
        pass
    _walk(data, 0)


def _walk(data: bytes, depth: int) -> None:
    """Slice whatever is well-formed, as deep as it goes."""
    try:
        found = ber.slices(data)
    except Malformed:
        return
    assert b"".join(data[one.start : one.end] for one in found) == data
    for one in found:
        inside = data[one.value : one.end]
        for read in (ber.integer, lambda octets, at: ber.oid(octets, at, Limits())):
            try:
                read(data, one)
            except EXPECTED:
                continue
        if one.tag & ber.CONSTRUCTED and depth < 40:
            _walk(inside, depth + 1)


def one_cms(data: bytes) -> None:
    """A CMS structure alone, around nothing, beside a content, or inside an envelope of ours."""
    way, octets = data[:1], data[1:]
    options = {"keys": keys(), "allow_legacy": way > b"\x7f", "post_quantum": True}
    match ord(way or b"\0") % 4:
        case 0:
            judge(open_cms(io.BytesIO(octets), **options))  # type: ignore[arg-type]
        case 1:
            judge(open_cms(io.BytesIO(octets), detached_content=io.BytesIO(ENTITY), **options))  # type: ignore[arg-type]
        case 2:
            mail = FIELDS + part(CMS, octets)
            judge(open_message(io.BytesIO(mail), **options))  # type: ignore[arg-type]
        case _:
            inner = part(CMS, octets)
            judge(open_cms(io.BytesIO(enveloped_data(inner, [transport()], cek=CEK)), **options), selected=True)  # type: ignore[arg-type]


@cache
def transport() -> bytes:
    """A recipient of ours for the content key, encrypted once."""
    from forge import key_transport

    return key_transport(CEK, keys()[0])


def one_mime(data: bytes) -> None:
    """The MIME scanner and the readers of header fields: parts lie inside each other in order, and only own errors."""
    limits = Limits(mime_depth=8, mime_parts=200, header_fields=200)
    file = io.BytesIO(data)
    try:
        headers = parse(data, limits)
    except EXPECTED:
        headers = Headers()
    for name, raw in headers.fields:
        assert name
        decoded(raw)
        structured(raw.decode("latin-1"))
        mime.clean_name(decoded(raw))
        _addresses(raw, limits)
    with suppress(SmimeError):
        address.sender_oddities(headers, limits)
    b"".join(lineends.canonical(iter((data,))))
    try:
        root = mime.scan(file, 0, len(data), limits)
    except EXPECTED:
        return
    for entity in root.walk():
        assert 0 <= entity.start <= entity.body_start <= entity.end <= len(data)
        at = entity.start
        for child in entity.children:
            assert at <= child.start <= child.end <= entity.end
            at = child.end
        if entity.filename is not None:
            assert 0 < len(entity.filename) <= mime.NAME_LENGTH + 1
            assert not set(entity.filename) & set("/\\\0\r\n")
        try:
            size = sum(len(piece) for piece in mime.decode(file, entity))
            assert size <= entity.end - entity.body_start
        except EXPECTED:
            continue


def _addresses(raw: bytes, limits: Limits) -> None:
    try:
        for one in address.mailboxes(raw, limits):
            address.normal(one.address)
    except SmimeError:
        return


def one_open(data: bytes) -> None:
    """A whole mail: from its first octet, as what an envelope of ours holds, or with its line ends as saved."""
    way, octets = data[:1], data[1:]
    options = {"keys": keys(), "post_quantum": True, "allow_legacy": way > b"\x7f"}
    match ord(way or b"\0") % 3:
        case 0:
            judge(open_message(io.BytesIO(octets), **options))  # type: ignore[arg-type]
        case 1:
            judge(open_message(io.BytesIO(octets.replace(b"\r\n", b"\n")), **options))  # type: ignore[arg-type]
        case _:
            mail = FIELDS + part(CMS, enveloped_data(octets, [transport()], cek=CEK))
            judge(open_message(io.BytesIO(mail), **options), selected=True)  # type: ignore[arg-type]


def judge(found: Opened, *, selected: bool = False) -> None:
    """What holds of every answer; `selected`: the outermost envelope is well-formed and for us."""
    try:
        assert found.detail not in UNFORESEEN, found.detail
        if found.problem is None:
            assert found.signed
            assert found.intact
            assert found.content is not None
            assert found.content.sha256 in GENUINE
            assert all(one.good and not one.weak for one in found.signers)
        if found.content is not None:
            assert found.intact
            assert found.problem in {None, Problem.WEAK}
            octets = found.content.open().read()
            assert len(octets) == found.content.size
            assert sha256(octets).hexdigest() == found.content.sha256
        assert found.encrypted or not found.decrypted
        if selected:  # R-ORACLE: nothing that happens behind our key has a name of its own
            assert found.problem not in {Problem.MALFORMED, Problem.NOT_FOR_US, Problem.NOT_ENCRYPTED}
    finally:
        found.close()


HARNESSES: dict[str, Callable[[bytes], None]] = {
    "ber": one_ber, "cms": one_cms, "mime": one_mime, "open": one_open, "card": one_card,
}  # fmt: skip


def run(target: str, data: bytes) -> None:
    """One input through one harness, within its time."""
    begun = time.process_time()
    HARNESSES[target](data[:LONGEST])
    spent = time.process_time() - begun
    assert spent < CPU, f"{spent:.1f} s of processor time"
