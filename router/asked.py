"""What the mails about requests say beside their sentence: a secret, an identity read from a card, a form to fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dcc.cards.nomenclature import PROFESSIONS
from dcc.mailbox.records import Account, Delivery
from dcc.mailbox.snapshot import Snapshot
from dcc.mailbox.tokens import spoken
from dcc.router.carried import unseal_text
from dcc.router.factors import provisioning_link, secret_of, shown_key
from dcc.router.petition import blank, blanks, forms
from dcc.templates.render import facts, to_copy

Unseal = Callable[[str], bytes]


def asked(delivery: Delivery, account: Account, store: Snapshot, unseal: Unseal, *, sealed: bool) -> dict[str, Any]:
    """The values of a mail about a request; identities only where the mail is sealed (I3)."""
    parameters = dict(delivery.parameters)
    secret = parameters.get("secret")
    about = store.account(parameters["about"]) if "about" in parameters else None
    motive = parameters.get("motive")
    language = account.language
    return {
        "secret": "" if secret is None else spoken(unseal(secret)),
        "state": parameters.get("state", ""),
        "identity": identity(account, language) if sealed else "",
        "about": identity(about, language) if sealed and about is not None else "",
        "about_id": parameters.get("about", ""),
        "motive": unseal_text(motive, unseal) if sealed and motive is not None else "",
        "form": to_copy(blank("confirm", language, {"networks": account.network, "language": language})),
        "networks": [f"{one.id} ({one.name})" for one in store.networks() if one.registration is not None],
        "factor": _factor(parameters.get("factor"), account, store, unseal) if sealed else None,
        "activation": to_copy(blank("activate", language)),
        "done": _done(parameters, language),
        "forms": blanks(language) if delivery.kind == "forms" else "",
    }


def _factor(name: str | None, account: Account, store: Snapshot, unseal: Unseal) -> dict[str, str] | None:
    """The key of a second factor that waits for its first code; None when it has ended meanwhile."""
    found = None if name is None else store.factor(name)
    network = store.network(account.network)
    if found is None or found.wrapped_key is None or found.confirmed_at is not None or network is None:
        return None
    secret = secret_of(found, unseal)
    return {"key": shown_key(secret), "link": provisioning_link(secret, account.mailbox, network.name)}


def _done(parameters: Mapping[str, str], language: str) -> str:
    """What is so from now on, where a form says it; of a decision on an account, which one it was."""
    if parameters.get("state") in DECIDED:
        return DECIDED[parameters["state"]][language == "en"]
    asked_for = forms().get(parameters.get("kind", ""))
    return "" if asked_for is None else asked_for.done[language == "en"]


DECIDED = {
    "validated": ("Le compte est validé ; la personne en est prévenue.", "The account is validated; the person is told."),
    "refused": (
        "La demande de compte est refusée ; la personne en est prévenue.",
        "The request for an account is refused; the person is told.",
    ),
}  # fmt: skip


def identity(account: Account, language: str) -> str:
    """Who somebody is, as the card says it: the lines of a table of facts."""
    words = ENGLISH if language == "en" else FRENCH
    name = " ".join(filter(None, (account.given_name, account.family_name)))
    profession = PROFESSIONS.get(account.profession or "", account.profession)
    values = (name or None, account.national_id, profession, account.structure, account.mailbox, account.network)
    colon = ":" if language == "en" else " :"
    return facts((f"{word}{colon} {value}" for word, value in zip(words, values, strict=True) if value))


FRENCH = ("Nom", "Identifiant national", "Profession", "Structure", "Adresse", "Réseau")
ENGLISH = ("Name", "National identifier", "Profession", "Structure", "Address", "Network")
