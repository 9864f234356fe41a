"""Writes docs/pkits.md: NIST's path tests through the judge of this gateway, with every disagreement and its reason."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).with_name("pkits.md")
INDIRECT = "an indirect list (RFC 5280 §5.2.5) clears nobody; see below"
OTHER_KEY = "the list is signed by a key of the authority whose certificate is not on the path; see below"
WHY = {
    "ValidDSA": "DSA is not verified: a card that signs with it would be refused as WEAK_KEY anyway",
    "ValidNegativeSerialNumber": "a list with a negative serial number cannot be read (RFC 5280 §4.1.2.2 forbids it)",
    "ValidRollover": "a list is found by its authority's name octet by octet; this one is written in another kind of string",
    "ValidonlySomeReasons": "a list of some reasons only opposes what it lists and clears nobody",
    "ValidIDPwithindirectCRL": INDIRECT,
    "ValidcRLIssuer": INDIRECT,
    "ValidSeparateCertificateandCRLKeys": OTHER_KEY,
    "ValidBasicSelfIssued": OTHER_KEY,
}
LEFT_OUT = (
    "**Indirect lists.** Here a list counts when a key on the certificate's own path signed it. An indirect list is signed by",
    "somebody else, whose own path would have to be found, judged and kept as proof before it may say that a card is good, and each",
    "entry may name another authority. No authority of the card world publishes one (facts: cards §1.4, §12: each signs the list",
    "of its own certificates, without an issuing distribution point), and pyhanko-certvalidator only checks paths here, never lists. The",
    "mail is held, which is the safe side. The same goes for a key that signs lists only.",
    "",
)


def page() -> str:
    """The page, made anew."""
    import pkits

    outcomes = [pkits.outcome(name) for name in pkits.names()]
    differing = [one for one in outcomes if not one.agrees]
    accepted = sum(one.found for one in differing)
    lines = [
        "# NIST PKITS", "",
        "The path tests of NIST's Public Key Interoperability Test Suite 1.0.1 (data: `cryptography-vectors`), each through",
        "`dcc.cards.judge` with explicit anchor, all lists at hand and a frozen clock. Usage, key strength and environment are",
        "this gateway's own rules and are left out of the comparison. Initial settings: any policy, none explicit.", "",
        "Written by `python docs/make_pkits.py`; a test compares.", "",
        f"**{len(outcomes) - len(differing)} of {len(outcomes)} agree. Accepted and should not be: {accepted}.**",
        "Every disagreement is a valid path that this gateway does not call valid: such a mail is held or refused, never filed.",
        "",
        "| test | expected | here | why |", "|---|---|---|---|",
        *(
            f"| {one.name} | {_word(one.expected)} | {_word(one.found)}: {one.why} | {_why(one.name)} |"
            for one in differing
        ), "", *LEFT_OUT,
    ]  # fmt: skip
    return "\n".join(lines)


def _word(valid: bool) -> str:
    return "valid" if valid else "not valid"


def _why(name: str) -> str:
    return next(why for start, why in WHY.items() if name.startswith(start))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    PAGE.write_text(page(), encoding="utf-8")
