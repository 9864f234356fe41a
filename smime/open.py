"""Opening a mail: every layer from the outside in, and separate answers to separate questions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from dcc.smime import bare, transfer
from dcc.smime.algorithms import POST_QUANTUM
from dcc.smime.errors import Ambiguous, LimitPassed, NotEnabled, NotForUs, NotOpened, SmimeError, Unsupported
from dcc.smime.keys import KeyPair
from dcc.smime.layers import Payload, State, cms_layer, walk
from dcc.smime.limits import Limits
from dcc.smime.recipients import OurKey
from dcc.smime.verdict import Covered, Opened, Problem


def open_message(
    source: BinaryIO,
    *,
    keys: Sequence[KeyPair] = (),
    limits: Limits | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    workdir: Path | None = None,
    allow_legacy: bool = False,
    post_quantum: bool = False,
    keep_unsigned: bool = False,
) -> Opened:
    """Open a whole mail from a seekable file. Never raises on hostile input; OSError where the disk fails.

    `content` is set only when the innermost layer was signed and every signature is intact and valid (R-AUTH).
    `allow_legacy` reads archives: 3DES, RC2, RSA keys below 2048 bits, and what is under a SHA-1, DSA or otherwise weak
    signature; all this is weak, never more, and without the switch its content is kept back. `post_quantum` knows ML-KEM
    and ML-DSA. `keep_unsigned` keeps in `unsigned` what an envelope without a signature held: for a caller to whom it says
    nothing but what a stranger may say, and who answers in no case (R-ORACLE).
    Close the result when its content is no longer needed.
    """
    state = _state(keys, limits, random_bytes, workdir, allow_legacy, post_quantum)
    return _run(state, source, lambda size: walk(state, Payload(source, 0, size)), keep_unsigned=keep_unsigned)


def open_cms(
    source: BinaryIO,
    *,
    keys: Sequence[KeyPair] = (),
    limits: Limits | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    workdir: Path | None = None,
    allow_legacy: bool = False,
    post_quantum: bool = False,
    detached_content: BinaryIO | None = None,
) -> Opened:
    """Open a CMS structure that stands alone (.p7m, .p7s, .cms in DER, BER or PEM), as `open_message` does a mail.

    `detached_content`: what a detached signature covers, octet for octet.
    """
    state = _state(keys, limits, random_bytes, workdir, allow_legacy, post_quantum)

    def inside(size: int) -> None:
        beside = None if detached_content is None else _octets_of(detached_content)
        inner = cms_layer(state, bare.pieces(source), size=size, beside=beside)
        walk(state, inner, first=False)

    return _run(state, source, inside)


def open_any(
    source: BinaryIO,
    *,
    keys: Sequence[KeyPair] = (),
    limits: Limits | None = None,
    random_bytes: Callable[[int], bytes] = os.urandom,
    workdir: Path | None = None,
    allow_legacy: bool = False,
    post_quantum: bool = False,
    detached_content: BinaryIO | None = None,
) -> Opened:
    """Open a file given by a person: a mail, or a CMS structure alone."""
    if detached_content is None and not bare.is_bare(source):
        return open_message(
            source, keys=keys, limits=limits, random_bytes=random_bytes, workdir=workdir, allow_legacy=allow_legacy,
            post_quantum=post_quantum,
        )  # fmt: skip
    return open_cms(
        source, keys=keys, limits=limits, random_bytes=random_bytes, workdir=workdir, allow_legacy=allow_legacy,
        post_quantum=post_quantum, detached_content=detached_content,
    )  # fmt: skip


def _octets_of(file: BinaryIO) -> Callable[[], Iterator[bytes]]:
    """The octets of a file, from the start each time."""
    end = file.seek(0, os.SEEK_END)
    return lambda: transfer.identity(file, 0, end)


def _state(
    keys: Sequence[KeyPair],
    limits: Limits | None,
    random_bytes: Callable[[int], bytes],
    workdir: Path | None,
    allow_legacy: bool,
    post_quantum: bool,
) -> State:
    ours = [OurKey.of(pair) for pair in keys]
    return State(ours, limits or Limits(), random_bytes, workdir, allow_legacy, post_quantum)


def _run(state: State, source: BinaryIO, inside: Callable[[int], None], *, keep_unsigned: bool = False) -> Opened:
    problem, detail = None, None
    try:
        inside(_size(source, state.limits))
    except SmimeError as error:
        problem, detail = _problem(error)
    except OSError:
        _close(state, None)
        raise
    except Exception as error:  # noqa: BLE001 - whatever a hostile structure provokes below has this one end (I8)
        problem, detail = Problem.MALFORMED, type(error).__name__
    if state.decrypted and problem in (Problem.MALFORMED, Problem.WEAK, Problem.NOT_FOR_US, Problem.NOT_ENABLED):
        problem = Problem.NOT_OPENED  # ASN.1 inside the plaintext: the same outcome as a wrong padding (R-ORACLE)
    opened = _conclude(state, problem, detail, keep_unsigned=keep_unsigned)
    _close(state, opened)
    return opened


def _size(source: BinaryIO, limits: Limits) -> int:
    size = source.seek(0, os.SEEK_END)
    if size > limits.message:
        raise LimitPassed("message")
    return size


def _close(state: State, opened: Opened | None) -> None:
    contents = () if opened is None else (opened.content, opened.unsigned)
    kept = [one.file for one in contents if one is not None]
    for file in state.files:
        if not any(file is one for one in kept):
            file.close()


def _problem(error: SmimeError) -> tuple[Problem, str | None]:
    match error:
        case LimitPassed():
            return Problem.LIMIT, error.limit
        case NotForUs():
            return Problem.NOT_FOR_US, str(error)
        case NotOpened():
            return Problem.NOT_OPENED, None
        case NotEnabled():
            return Problem.NOT_ENABLED, error.name
        case Ambiguous():
            return Problem.AMBIGUOUS, error.rule
        case Unsupported():
            return Problem.WEAK, error.name
        case _:
            return Problem.MALFORMED, str(error)


def _conclude(state: State, problem: Problem | None, detail: str | None, *, keep_unsigned: bool) -> Opened:
    # An encrypted payload that holds no signature is not signed, whatever was signed around it (R-ROOT, R-AUTH).
    is_signed = state.last == "signed" and bool(state.signers)
    good = is_signed and all(one.good for one in state.signers) and state.outer_signatures_good
    if state.weakness:
        state.findings.append("R-ALGO")
    if problem is None:
        if not is_signed:
            problem = Problem.NOT_SIGNED
        elif not good:
            problem, detail = _not_good(state)
        elif state.weakness:
            problem, detail = Problem.WEAK, ", ".join(dict.fromkeys(state.weakness))
    intact = good and problem in (None, Problem.WEAK)
    if problem is None and state.foreign is not None and state.is_mail:
        # Signed as something else, a time stamp or a receipt: whole, and no mail (RFC 8551 §2.4, R-CT)
        problem, detail = Problem.MALFORMED, f"signed content of type {state.foreign}"
    content = state.content if intact else None
    bare_envelope = state.last == "enveloped" and problem is Problem.NOT_SIGNED
    return Opened(
        outer=state.outer, layers=tuple(state.layers), encrypted=state.encrypted, decrypted=state.decrypted,
        signed=is_signed, intact=intact, signers=state.signers, certificates=state.certificates,
        findings=tuple(dict.fromkeys(state.findings)), problem=problem, detail=detail,
        content=content if problem is None or state.allow_legacy else None,
        covered=None if content is None else Covered(content.size, content.sha256),
        unsigned=state.plain if keep_unsigned and bare_envelope else None,
    )  # fmt: skip


def _not_good(state: State) -> tuple[Problem, str | None]:
    """What is wrong with signatures that are not good: only the post-quantum switch, or more."""
    off = {one.signature_algorithm for one in state.signers} & POST_QUANTUM
    bad = [one for one in state.signers if not one.good]
    behind = bool(bad) and all(one.intact and one.signature_algorithm in off for one in bad)
    if behind and state.outer_signatures_good and not state.post_quantum:
        return Problem.NOT_ENABLED, ", ".join(sorted(off))
    return Problem.NOT_INTACT, None
