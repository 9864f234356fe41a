"""Settings that come from the environment: `DCC_SECTION__KEY`, and `DCC_SECTION__KEY_FILE` for secrets kept in files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel

PREFIX = "DCC_"
FILE = "_file"


def overlay(raw: dict[str, Any], environment: Mapping[str, str], model: type[BaseModel]) -> tuple[set[str], list[str]]:
    """Put the variables into what the file said; gives the settings that they set, and what is wrong with them.

    `DCC_SMTP__PORT=2525` sets smtp.port. A list is written as in TOML; anything else is taken as it stands, so that
    a password may hold any character. `DCC_KEYS__PASSWORD_FILE=/run/secret` reads keys.password from that file.
    """
    touched: set[str] = set()
    problems: list[str] = []
    for name, text in sorted(environment.items()):
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if not name.startswith(PREFIX) or not separator:
            continue
        value: Any = text
        if key.endswith(FILE):
            key = key.removesuffix(FILE)
            try:
                value = Path(text).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                problems.append(f"{name} : le fichier {text} est absent ou illisible")
                continue
        elif _is_list(model, section, key):
            value = _list(text)
        target = raw.setdefault(section, {})
        if isinstance(target, dict):
            target.pop(key + FILE, None)  # what the environment says replaces the file's other way to say it
            target[key] = value
            touched.add(f"{section}.{key}")
    return touched, problems


def _is_list(model: type[BaseModel], section: str, key: str) -> bool:
    found = model.model_fields.get(section)
    kind = None if found is None else found.annotation
    if not isinstance(kind, type) or not issubclass(kind, BaseModel) or key not in kind.model_fields:
        return False
    return get_origin(kind.model_fields[key].annotation) is list


def _list(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # not a list: said by the check of the settings
