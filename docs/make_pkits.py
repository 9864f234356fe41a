"""Writes docs/pkits.md: NIST's path tests through the judge of this gateway, with every disagreement and its reason."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).with_name("pkits.md")
WHY = {
    "ValidDSA": "DSA is not verified: a card that signs with it would be refused as WEAK_KEY anyway",
    "ValidNegativeSerialNumber": "a list with a negative serial number cannot be read (RFC 5280 §4.1.2.2 forbids it)",
    "ValidRollover": "a list is found by its authority's name octet by octet; this one is written in another kind of string",
    "ValidonlySomeReasons": "a list of some reasons only opposes what it lists and clears nobody",
    "ValidIDPwithindirectCRL": "a list of another authority's certificates (indirect) opposes and clears nobody",
    "ValidcRLIssuer": "a list of another authority's certificates (indirect) opposes and clears nobody",
    "ValiddistributionPoint": "a distribution point named by a directory name: only those named by URL are compared",
    "ValidSeparateCertificateandCRLKeys": "a key that signs lists only is no authority of the path",
    "ValidBasicSelfIssued": "a list for one distribution point that is named by a directory name",
}


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
        ), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _word(valid: bool) -> str:
    return "valid" if valid else "not valid"


def _why(name: str) -> str:
    return next(why for start, why in WHY.items() if name.startswith(start))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    PAGE.write_text(page(), encoding="utf-8")
