"""What the mails about requests say beside their sentence: a secret, an identity read from a card, a form to fill in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dcc.cards.nomenclature import PROFESSIONS
from dcc.mailbox.records import Account, Delivery
from dcc.mailbox.snapshot import Snapshot
from dcc.mailbox.tokens import spoken
from dcc.router.petition import blank, blanks

Unseal = Callable[[str], bytes]


def asked(delivery: Delivery, account: Account, store: Snapshot, unseal: Unseal, *, sealed: bool) -> dict[str, Any]:
    """The values of a mail about a request; identities only where the mail is sealed (I3)."""
    parameters = dict(delivery.parameters)
    secret = parameters.get("secret")
    about = store.account(parameters["about"]) if "about" in parameters else None
    language = account.language
    networks = [f"{one.id} ({one.name})" for one in store.networks() if one.registration is not None]
    return {
        "secret": "" if secret is None else spoken(unseal(secret)),
        "state": parameters.get("state", ""),
        "identity": identity(account, language) if sealed else "",
        "about": identity(about, language) if sealed and about is not None else "",
        "about_id": parameters.get("about", ""),
        "form": blank("confirm", language, {"networks": account.network, "language": language}),
        "networks": ", ".join(networks),
        "forms": blanks(language) if delivery.kind == "forms" else "",
    }


def identity(account: Account, language: str) -> str:
    """Who somebody is, as the card says it; one line each."""
    words = ENGLISH if language == "en" else FRENCH
    name = " ".join(filter(None, (account.given_name, account.family_name)))
    profession = PROFESSIONS.get(account.profession or "", account.profession)
    values = (name or None, account.national_id, profession, account.structure, account.mailbox, account.network)
    return "\n".join(f"{word} : {value}" for word, value in zip(words, values, strict=True) if value)


FRENCH = ("Nom", "Identifiant national", "Profession", "Structure", "Adresse", "Réseau")
ENGLISH = ("Name", "National identifier", "Profession", "Structure", "Address", "Network")
