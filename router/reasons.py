"""The reasons a message, a deposit or a delivery ends with: stable codes and their sentences."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files

UNKNOWN_PARAMETER = "?"  # a sentence never fails because a detail is missing

# Details that are names of things, in the words of the reader: (French, English)
WORDS: Mapping[str, tuple[str, str]] = {
    "ins": ("matricule INS", "INS number"),
    "oid": ("domaine du matricule", "domain of the INS"),
    "domain": ("domaine du matricule", "domain of the INS"),
    "key": ("clé du matricule", "key of the INS"),
    "folder": ("dossier désigné", "folder named"),
    "birth_name": ("nom de naissance", "birth name"),
    "first_given": ("premier prénom de naissance", "first given name"),
    "given_names": ("prénoms", "given names"),
    "sex": ("sexe", "sex"),
    "birth_date": ("date de naissance", "date of birth"),
    "birth_place": ("lieu de naissance", "place of birth"),
    "zip": ("fichier zip illisible", "zip file unreadable"),
    "METADATA": ("METADATA.XML", "METADATA.XML"),
    "document": ("document", "document"),
    "entries": ("trop de fichiers", "too many files"),
    "directory": ("liste de fichiers trop longue", "list of files too long"),
    "total": ("taille décompressée", "decompressed size"),
    "ratio": ("taux de compression", "compression ratio"),
    "duplicate": ("noms en double", "doubled names"),
    "encrypted": ("fichier protégé", "protected file"),
    "link": ("lien", "link"),
    "certificate": ("certificat", "certificate"),
    "method": ("méthode de compression", "compression method"),
    "size": ("taille", "size"),
    "name": ("nom de fichier", "file name"),
    "absolute": ("chemin absolu", "absolute path"),
    "path": ("chemin", "path"),
    "truncated": ("fichier tronqué", "truncated file"),
    "xml": ("XML mal formé", "malformed XML"),
    "prolog": ("XML mal formé", "malformed XML"),
    "root": ("pas un CDA", "not a CDA"),
    "encoding": ("codage", "encoding"),
    "depth": ("imbrication", "nesting"),
    "recordTarget": ("patient", "patient"),
    "id": ("identifiant du document", "document id"),
    "words": ("matricule écrit dans le message", "INS number written in the message"),
    "format": ("format inconnu", "unknown format"),
    "unsafe": ("programme, page ou fichier bureautique", "program, page or office file"),
    "closed": ("winmail.dat ou message en morceaux", "winmail.dat or partial message"),
    "none": ("aucune", "none"),
    "base64": ("codage base64", "base64 encoding"),
}

IN_NETWORK = (" dans le réseau « {} »", " in the network “{}”")  # a rule that is one network's own

# What a sender does next, where a reason says nothing else: (French, English)
NOTHING = ("Vous n'avez rien à faire.", "There is nothing for you to do.")
NEXT: Mapping[str, tuple[str, str]] = {
    "refused": ("Corrigez, puis renvoyez votre message.", "Put it right, then send your message again."),
    "held": (
        "Vous n'avez rien à faire : une personne du réseau s'en occupe, et vous recevrez une réponse.",
        "There is nothing for you to do: a person of the network sees to it, and you will receive an answer.",
    ),
    "deferred": (
        "Vous n'avez rien à faire : votre message sera repris de lui-même, et vous recevrez une réponse.",
        "There is nothing for you to do: your message will be taken up again by itself, and you will receive an answer.",
    ),
}


@dataclass(frozen=True, slots=True)
class ReasonEntry:
    """One row of the table: what the code does, its sentences, and the source of the rule."""

    code: str
    outcome: str  # refused | held | deferred | withheld | filed | done
    fr: str
    en: str
    operator: str
    source: str
    ans: str  # ANS application error 900-906 (volet LPS/MSS §3.2)
    next_fr: str = ""  # what the sender does next
    next_en: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with its parameters, and the sentences made of them; no identity, no clinical content."""

    code: str
    outcome: str
    sender_fr: str
    sender_en: str
    operator: str
    ans: str
    parameters: tuple[tuple[str, str], ...] = field(default=())
    next_fr: str = ""
    next_en: str = ""

    def parameter(self, name: str) -> str | None:
        """The value of one parameter, or None."""
        return dict(self.parameters).get(name)


class UnknownReasonError(KeyError):
    """The code is not in the table: a fault of the program, never of a message."""


class _Parameters(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return UNKNOWN_PARAMETER


@cache
def table() -> Mapping[str, ReasonEntry]:
    """Every reason by its code, read once from `data/reasons.toml`."""
    text = files(__package__).joinpath("data", "reasons.toml").read_text(encoding="utf-8")
    return {
        code: ReasonEntry(
            code=code,
            outcome=row["outcome"],
            fr=row["fr"],
            en=row["en"],
            operator=row["operator"],
            source=row["source"],
            ans=row.get("ans", code if code.isdigit() else "906"),
            next_fr=row.get("next_fr", NEXT.get(row["outcome"], NOTHING)[0]),
            next_en=row.get("next_en", NEXT.get(row["outcome"], NOTHING)[1]),
        )
        for code, row in tomllib.loads(text).items()
    }


@lru_cache(maxsize=1024)
def reason(code: str, **parameters: str) -> Reason:
    """The reason with this code and these parameters.

    Raises UnknownReasonError for a code outside the table.
    """
    entry = table().get(code)
    if entry is None:
        raise UnknownReasonError(code)
    french, english = (_words(parameters, language) for language in (0, 1))
    return Reason(
        code=code,
        outcome=parameters.get("outcome", entry.outcome),
        sender_fr=entry.fr.format_map(french),
        sender_en=entry.en.format_map(english),
        operator=entry.operator.format_map(_Parameters(parameters)),
        ans=entry.ans,
        parameters=tuple(sorted(parameters.items())),
        next_fr=entry.next_fr.format_map(french),
        next_en=entry.next_en.format_map(english),
    )


def _words(parameters: Mapping[str, str], language: int) -> _Parameters:
    """The parameters in a reader's words: each name of a list is replaced where a word is known."""
    network = parameters.get("network")  # a name of its own, not one of a list
    return _Parameters(
        {"in_network": "" if network is None else IN_NETWORK[language].format(network)}
        | {
            name: ", ".join(WORDS[one][language] if one in WORDS else one for one in value.split(","))
            for name, value in parameters.items()
        }
    )
