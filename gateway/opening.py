"""The verification report of one mail: what smime found, what cards judged, one outcome and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from dcc.cards.certificate import read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import Unparseable
from dcc.cards.judge import judge
from dcc.cards.trust import TrustStore
from dcc.cards.verdict import Evidence, Judgement, Verdict
from dcc.gateway.addressprofile import Binding, binding, judge_address
from dcc.gateway.opening_rules import rule_of
from dcc.gateway.signingtime import SPREAD, at_signing_too
from dcc.router.protected import differing, from_address, protected_headers
from dcc.router.reasons import Reason
from dcc.router.sender import CARD_REASONS
from dcc.smime.address import sender_oddities
from dcc.smime.errors import SmimeError
from dcc.smime.headers import Headers
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.open import open_any
from dcc.smime.verdict import Opened, SignatureCheck

CANDIDATES = 30  # R-PATH: certificates of the mail that a path may use
DATE_SPREAD = timedelta(hours=1)  # facts/smime.md §9.18: Date agrees with signingTime
NO_ANCHOR = "D2R-SIG03"
NOT_THE_ADDRESS = "D2R-ACC02"
AUTHENTIC, REFUSED, INDETERMINATE = "authentic", "refused", "indeterminate"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a mail. `profile`: "card" or "address"; `at` None: the time of `now`."""

    trust: TrustStore
    crls: CrlStore
    at: datetime
    profile: str = "card"
    keys: Sequence[KeyPair] = ()
    revocation: bool = True
    environment: str | None = None
    domains: frozenset[str] = frozenset()  # address profile: those that the anchors vouch for; none: any, by address
    allow_legacy: bool = False
    post_quantum: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Report:
    """The answers. `trusted` None: could not be found out. Times are aware."""

    outcome: str
    reason: str | None
    opened: Opened
    trusted: bool | None
    judgement: Judgement | None
    findings: tuple[str, ...]
    signing_time: datetime | None
    profile: str
    at: datetime
    from_address: str | None = None

    def document(self) -> dict[str, Any]:
        """The JSON document that contract.md fixes, with more beside it."""
        opened = self.opened
        covered = opened.covered
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "layers": [{"kind": one.kind, "algorithms": dict(one.algorithms), **one.details} for one in opened.layers],
            "encrypted": opened.encrypted,
            "decrypted": opened.decrypted,
            "signed": opened.signed,
            "intact": opened.intact,
            "trusted": self.trusted,
            "signer": _signer(self.judgement),
            "signing_time": self.signing_time,
            "findings": list(self.findings),
            "content": None if covered is None else {"size": covered.size, "sha256": covered.sha256},
            "detail": opened.detail,
            "rule": _rule(self.reason, opened.detail),
            "profile": self.profile,
            "at": self.at,
            "evidence": [] if self.judgement is None else [_evidence(one) for one in self.judgement.evidence],
            "signatures": [_signature(one) for one in opened.signers],
        }


def report(source: BinaryIO, question: Question, *, detached_content: BinaryIO | None = None) -> Report:
    """Open a mail (or a bare CMS structure) and judge it. Never raises on hostile input; OSError from the disk."""
    opened = open_any(
        source, keys=question.keys, limits=question.limits, allow_legacy=question.allow_legacy,
        post_quantum=question.post_quantum, detached_content=detached_content,
    )  # fmt: skip
    findings = list(opened.findings)
    judgements = [_judge(one, opened, question) for one in opened.signers if one.certificate is not None]
    trusted = _trusted(judgements, question)
    worst = min(judgements, key=lambda one: list(Verdict).index(one.verdict), default=None)
    problem, address = _sender(opened, judgements, question, findings)
    if not question.revocation:
        findings.append("REVOCATION_SKIPPED")
    signing_time = next((one.signing_time for one in opened.signers), None)
    _flag_times(opened, signing_time, question, findings)
    outcome, why = _outcome(opened, trusted, worst, problem)
    return Report(
        outcome, why, opened, trusted, worst, tuple(dict.fromkeys(findings)), signing_time, question.profile,
        question.at, address,
    )  # fmt: skip


def _judge(check: SignatureCheck, opened: Opened, question: Question) -> Judgement:
    """The signer's certificate at reception, and its dates at signingTime too (R-TIME)."""
    extra = opened.certificates[:CANDIDATES]
    if question.profile == "address":
        found = judge_address(
            check.certificate or b"", trust=question.trust, crls=question.crls, at=question.at, extra=extra,
            revocation=question.revocation,
        )  # fmt: skip
        return at_signing_too(found, check.signing_time)
    # Without an anchor nobody has said which world this is: a test card is then not held against the mail.
    unsaid = question.environment is None and not question.trust.anchors
    found = judge(
        check.certificate or b"", trust=question.trust, crls=question.crls, at=question.at, purpose="sign",
        extra_certificates=extra, revocation=question.revocation, environment="test" if unsaid else question.environment,
    )  # fmt: skip
    return at_signing_too(found, check.signing_time)


def _trusted(judgements: Sequence[Judgement], question: Question) -> bool | None:
    """Yes, no, or could not find out; every signer counts (R-SIGNERS)."""
    if not judgements:
        return None
    verdicts = {one.verdict for one in judgements}
    if verdicts == {Verdict.VALID}:
        return True
    if verdicts <= {Verdict.VALID, Verdict.REVOCATION_UNKNOWN}:
        return None
    if not question.trust.anchors and verdicts <= {Verdict.VALID, Verdict.REVOCATION_UNKNOWN, Verdict.UNTRUSTED_CHAIN}:
        return None  # no anchor was given: nothing to judge the chain against
    return False


def _sender(
    opened: Opened, judgements: Sequence[Judgement], question: Question, findings: list[str]
) -> tuple[str | None, str | None]:
    """(code when From makes the mail unacceptable, the From address). Cards carry no address: only ambiguity counts."""
    if opened.content is None:
        return None, None
    address = from_address(opened.content, opened.outer, question.limits)
    if isinstance(address, Reason):
        rule = dict(address.parameters).get("detail")
        findings.append("R-HEADERS" if rule == "R-HEADERS" else "R-FROM")
        missing = rule == "R-FROM" and not _has_from(opened, question.limits)
        return (None if missing and question.profile == "card" else address.code), None
    inner = _protected(opened, question.limits)
    if inner is None or not inner.count("From"):
        findings.append("R-INTENDED")  # the outer fields are claims of the transport
    if inner is not None and differing(inner, opened.outer, encrypted=opened.encrypted):
        findings.append("R-OUTER")
    shown = inner if inner is not None and inner.count("From") else opened.outer
    if sender_oddities(shown, question.limits):
        findings.append("R-FROM-SHOWN")
    if question.profile == "address" and not _answered_for(address, judgements, question):
        findings.append("R-FROM")
        return NOT_THE_ADDRESS, address
    return None, address


def _answered_for(address: str, judgements: Sequence[Judgement], question: Question) -> bool:
    """Whether exactly one signer, or every one, answers for the address, in whatever order they stand (R-SIGNERS)."""
    if question.domains and address.rpartition("@")[2] not in question.domains:
        return False
    read = [one.certificate for one in judgements if one.certificate is not None]
    named = [binding(one, address, question.domains) in {Binding.NAMED, Binding.DOMAIN} for one in read]
    return not named or sum(named) in {1, len(named)}


def _has_from(opened: Opened, limits: Limits) -> bool:
    inner = _protected(opened, limits)
    return opened.outer.count("From") > 0 or (inner is not None and inner.count("From") > 0)


def _protected(opened: Opened, limits: Limits) -> Headers | None:
    """The fields inside the signature; None when there are none, or they cannot be read."""
    try:
        return None if opened.content is None else protected_headers(opened.content, limits)
    except SmimeError:
        return None


def _flag_times(opened: Opened, signing_time: datetime | None, question: Question, findings: list[str]) -> None:
    if signing_time is None:
        return
    if abs(signing_time - question.at) > SPREAD:
        findings.append("R-REPLAY")
    date = opened.outer.get("Date")
    try:
        stated = None if date is None else parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        stated = None
    if stated is not None:
        aware = stated if stated.tzinfo is not None else stated.replace(tzinfo=UTC)
        if abs(aware - signing_time) > DATE_SPREAD:
            findings.append("R-DATE")


def _outcome(
    opened: Opened, trusted: bool | None, found: Judgement | None, problem: str | None
) -> tuple[str, str | None]:
    if opened.problem is not None:
        return REFUSED, opened.problem.value
    if problem is not None:
        return REFUSED, problem
    if trusted:
        return AUTHENTIC, None
    code = NO_ANCHOR if found is None else CARD_REASONS.get(found.verdict.value, NO_ANCHOR)
    return (REFUSED if trusted is False else INDETERMINATE), code


def _signer(found: Judgement | None) -> dict[str, Any] | None:
    if found is None or found.certificate is None:
        return None
    one = found.certificate
    holder = one.holder
    names = (
        "kind", "idnps", "family_name", "given_name", "profession", "profession_label", "specialties", "card_type",
        "card_number", "structure_id", "structure_name", "common_name",
    )  # fmt: skip
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "serial": format(one.serial, "x"),
        "sha256": one.sha256,
        "addresses": list(one.addresses),
        "holder": None if holder is None else {name: getattr(holder, name) for name in names},
    }


def _rule(code: str | None, detail: str | None) -> dict[str, str] | None:
    found = rule_of(code, detail)
    return None if found is None else {"name": found.name, "text": found.text, "reference": found.reference}


def _evidence(one: Evidence) -> dict[str, Any]:
    verdict = None if one.verdict is None else one.verdict.value
    return {"check": one.check, "verdict": verdict, "text": one.text, "details": dict(one.details)}


def _signature(one: SignatureCheck) -> dict[str, Any]:
    return {
        "sha256": None if one.certificate is None else _sha256(one.certificate),
        "intact": one.intact,
        "valid": one.valid,
        "weak": one.weak,
        "weakness": list(one.weakness),
        "digest": one.digest_algorithm,
        "signature": one.signature_algorithm,
        "signing_time": one.signing_time,
    }


def _sha256(der: bytes) -> str | None:
    try:
        return read_certificate(der).sha256
    except Unparseable:
        return None
