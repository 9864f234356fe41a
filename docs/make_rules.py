"""Writes docs/rules.md: the 25 rules of S/MIME by number, each with its reference, the code that applies it and its tests.

Run `python docs/make_rules.py`; a test fails when the page is not what this writes, or when a rule is tested less than twice.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("gateway", "router", "mailbox", "smime", "cards")
TABLE = "tests/smime/test_rules.py"  # mails by rule: each row is a test of its own
HEAD = """# The rules of S/MIME

This page is written by `docs/make_rules.py` from the rules and the tests; a test compares the two. A rule is applied where the code
cites it by its name, and a test belongs to it when its name or its docstring says so; each has two at least. Rules that one mail
can show have rows of their own in `tests/smime/test_rules.py`, mails that are accepted and mails that are refused.

"""


class Rule(NamedTuple):
    """One rule: its name, what it asks, and where that is written."""

    name: str
    asks: str
    reference: str


RULES = (
    Rule("R-ROOT", "only what is the root is decrypted; the signature covers the root of the payload",
         "EFAIL 2018; “Johnny, you are fired!” 2019; RFC 9787"),
    Rule("R-NOFETCH", "nothing is fetched or rendered for content that is not verified", "EFAIL 2018"),
    Rule("R-AUTH", "encrypted without a valid signature is never filed", "EFAIL 2018; RFC 8551 §6"),
    Rule("R-GCM", "no plaintext before the tag; 16-octet tags, 12-octet nonces; no key under another algorithm",
         "RFC 5084; RFC 9709; Strenzke 2023"),
    Rule("R-SIGNERS", "at least one signer, all of them verify, one or every one answers for From",
         "“Johnny, you are fired!” 2019; CVE-2018-18509"),
    Rule("R-ECONTENT", "a detached signature encloses nothing; exactly two parts", "RFC 1847 §2.1"),
    Rule("R-ATTRS", "signed attributes there, once, in DER; unsigned ones never count", "RFC 5652 §5.3, §11; RFC 8933"),
    Rule("R-FROM", "each identifying field once and there; From is what the signer answers for",
         "RFC 5322 §3.6; RFC 8550 §3, §4.4.3"),
    Rule("R-CT", "the OID decides; octet-stream only by its name; no sniffing", "RFC 8551 §3.2, §3.9"),
    Rule("R-PARTIAL", "fragments, external bodies, uuencode, yEnc and TNEF are never assembled", "RFC 2046 §5.2"),
    Rule("R-INTENDED", "our fields are protected; a mail whose protected recipients are others is flagged",
         "RFC 9788; Davis 2001"),
    Rule("R-REPLAY", "one signature counts once; a signing time far from reception is flagged", "RFC 5652 §11.3"),
    Rule("R-ORACLE", "after a recipient was selected every failure looks the same", "RFC 3218; “multipart/oracle” 2023"),
    Rule("R-ALGO", "the algorithms of today are trusted; weak ones are named; old ones stay behind a switch",
         "RFC 8551 §2; RFC 8419; RFC 9882"),
    Rule("R-TIME", "the path is valid at reception and at signing time", "RFC 5280 §4.1.2.5"),
    Rule("R-REVOC", "no list, a stale or unreachable one: unknown, never valid", "RFC 5280 §6.3; RFC 6960"),
    Rule("R-PATH", "paths, candidates and signature checks are bounded; nothing is fetched for a mail", "RFC 5280 §6.1"),
    Rule("R-USAGE", "a key signs or deciphers by its usage; nothing goes out in clear for want of a certificate",
         "RFC 8550 §4.4.2"),
    Rule("R-BOMB", "what is decompressed and how often is bounded; cut base64 is an error", "RFC 3274"),
    Rule("R-ASN1", "lengths, depth, identifiers and trailing octets are bounded, in linear time", "X.690 §8, §10"),
    Rule("R-SMTP", "one end of data, no bare line end, nothing kept across STARTTLS",
         "RFC 5321; CVE-2023-51764; CVE-2011-0411"),
    Rule("R-HEADER-OUT", "no line end from data in a header; no Bcc; a neutral Subject outside", "RFC 2047; RFC 9788"),
    Rule("R-LOOP", "automatic mail is not answered, nor what could not be decrypted", "RFC 3834"),
    Rule("R-KEYS", "keys through PKCS#11 or files; no plaintext in logs or on disk", "PKCS #11; PKCS #12"),
    Rule("R-NAME", "names of attachments are bounded and never a path; a false charset never raises", "RFC 2183 §2.3"),
)  # fmt: skip


class Tests(NamedTuple):
    """What tests one rule: functions, as (file, name), and the rows of the table."""

    functions: tuple[tuple[str, str], ...]
    accepted: int
    refused: int

    @property
    def number(self) -> int:
        """All of them."""
        return len(self.functions) + self.accepted + self.refused


@cache
def _functions() -> list[tuple[str, str, str]]:
    """Every test function: file, name, docstring."""
    return [
        (path.relative_to(ROOT).as_posix(), node.name, ast.get_docstring(node) or "")
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def tests_of(number: int, rule: Rule) -> Tests:
    """The tests that carry this rule's name, or its number."""
    own = re.compile(rf"_(?:{re.escape(rule.name.lower().replace('-', '_'))}|rule_{number})(?:_|$)")
    found = [(file, name) for file, name, told in _functions() if own.search(name) or _cites(rule.name, told)]
    table = (ROOT / TABLE).read_text(encoding="utf-8")
    return Tests(tuple(found), table.count(f': ("{rule.name}",'), table.count(f'Refused("{rule.name}",'))


def applied_in(rule: Rule) -> list[str]:
    """The files that cite the rule where they apply it."""
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [one.relative_to(ROOT).as_posix() for one in files if _cites(rule.name, one.read_text(encoding="utf-8"))]


def _cites(name: str, text: str) -> bool:
    return re.search(rf"{name}(?![A-Z-])", text) is not None


def page() -> str:
    """The page as it must be."""
    blocks = [HEAD]
    for number, rule in enumerate(RULES, 1):
        tests, applied = tests_of(number, rule), applied_in(rule)
        lines = [f"## {number}. {rule.name}\n", f"{rule.asks[0].upper()}{rule.asks[1:]} [{rule.reference}].\n"]
        lines.append(
            "Applied in: "
            + (", ".join(f"`{one}`" for one in applied) or "no line, because nothing in the code fetches for a mail")
            + ".\n"
        )
        files = {file for file, _ in tests.functions} | ({TABLE} if tests.accepted or tests.refused else set())
        lines.append("Tested in: " + ", ".join(f"`{one}`" for one in sorted(files)) + ".\n")
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks).rstrip("\n") + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "rules.md").write_text(page(), encoding="utf-8")
