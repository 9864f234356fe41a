"""One clear line for each thing that is wrong with a setting."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

_PLACE = re.compile(r"line (\d+), column (\d+)")
_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "extra_forbidden": lambda _: "réglage inconnu",
    "missing": lambda _: "réglage manquant",
    "less_than_equal": lambda c: f"doit être au plus {c['le']}",
    "greater_than_equal": lambda c: f"doit être au moins {c['ge']}",
    "greater_than": lambda c: f"doit être plus grand que {c['gt']}",
    "literal_error": lambda c: f"doit être {str(c['expected']).replace(' or ', ' ou ')}",
    "value_error": lambda c: str(c["error"]),
    "model_type": lambda _: "doit être une section",
    "model_attributes_type": lambda _: "doit être une section",
    "list_type": lambda _: "doit être une liste, par exemple ['a', 'b']",
    "string_type": lambda _: "doit être un texte",
    "path_type": lambda _: "doit être un chemin",
    "int_type": lambda _: "doit être un nombre entier",
    "int_parsing": lambda _: "doit être un nombre entier",
    "int_from_float": lambda _: "doit être un nombre entier",
    "float_type": lambda _: "doit être un nombre",
    "float_parsing": lambda _: "doit être un nombre",
    "bool_type": lambda _: "doit être true ou false",
    "bool_parsing": lambda _: "doit être true ou false",
}


def sentence(error: Mapping[str, Any], variables: set[str]) -> str:
    """One error of the settings in words; the value itself is never shown, it may be a secret."""
    where = ".".join(str(part) for part in error["loc"])
    found = _KINDS.get(error["type"])
    text = "valeur refusée" if found is None else found(error.get("ctx", {}))
    named = sorted(
        one for one in variables if one == where or one.startswith(f"{where}.") or where.startswith(f"{one}.")
    )
    if not named:
        return f"{where} : {text}"
    return f"{where} : {text} (variable DCC_{named[0].upper().replace('.', '__')})"


def not_toml(name: str, error: tomllib.TOMLDecodeError) -> str:
    """Where the file stops being TOML."""
    found = _PLACE.search(str(error))
    place = f"ligne {found[1]}, colonne {found[2]}" if found else "à la fin"
    return f"{name} n'est pas du TOML ({place})"
