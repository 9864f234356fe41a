"""Writes docs/forms.md: every request that a person can make by a signed mail, and its form.

Run `python docs/make_forms.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

from pathlib import Path

from dcc.router.petition import MACHINE, blank, forms

ROOT = Path(__file__).resolve().parents[1]
HEAD = f"""# Requests by signed mail (formulaires)

This page is written by `docs/make_forms.py` from `router/data/forms.toml`; a test compares the two.

A person copies a form into a mail, fills in its lines, signs it with the card, encrypts it to the gateway, and sends it to the
network's address (registration and confirmation: to the network's registration address). The first words of the text, or of
the subject, say what is asked. Software sends the same as an attachment named `{MACHINE}`:
`{{"demande": "<key>", "champs": {{"<name>": "<value>"}}}}`. A mail that says `FORMULAIRES` is answered with every form.
A folder also opens without a form: by the attestation of consent as a clinical document (59284-0), sent by itself to the network's
address ([decision 0017](decisions/0017-an-attestation-opens-a-folder.md)).

"""


def page() -> str:
    """The page as it must be."""
    blocks = [HEAD]
    for key, form in forms().items():
        words = ", ".join(f"`{one}`" for one in form.words)
        names = ", ".join(
            f"`{name}`{'' if required else ' (optional)'}" for name, (_, _, required, *_) in form.fields.items()
        )
        blocks.append(
            f"## {form.fr} ({form.en})\n\nKey `{key}`; words {words}{'; fields ' + names if names else ''}.\n\n"
            f"```\n{blank(key, 'fr')}\n```\n\n"
        )
    return "".join(blocks).rstrip() + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "forms.md").write_text(page(), encoding="utf-8")
