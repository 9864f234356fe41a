"""Backup of a running instance, and its restoration (facts: mail §9).

The database first, then the files: they are never changed once written, so a superset is consistent.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from dcc.gateway.settings import Settings

CONFIGURATION = "dcc.toml"
DEMO = Path("demo")  # the cast of a demo instance, which no setting names whole


class CannotBackUp(Exception):
    """Why there is no backup, or no restoration; the text is a sentence."""


def back_up(settings: Settings, target: Path) -> tuple[str, ...]:
    """Copy an instance, which may be running; gives the settings that name something outside it, not copied.

    Raises CannotBackUp, OSError.
    """
    database = settings.database_file
    if database is None:
        raise CannotBackUp(
            "la base n'est pas SQLite : sauvegardez-la avec ses propres outils, puis le dossier de l'instance"
        )
    if not _inside(settings, database):
        raise CannotBackUp("la base est hors du dossier de l'instance : sauvegardez-la avec ses propres outils")
    if not database.is_file():
        raise CannotBackUp(f"la base {settings.database.url} n'existe pas")
    if target.exists() and any(target.iterdir()):
        raise CannotBackUp(f"{target} n'est pas vide")
    if target.resolve().is_relative_to(settings.directory):
        raise CannotBackUp("la copie doit être hors de l'instance")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    _copy_database(database, target / database.relative_to(settings.directory))
    (target / "run").mkdir(mode=0o700)
    shutil.copy2(settings.directory / CONFIGURATION, target / CONFIGURATION)
    outside = []
    for name, place in _places(settings).items():
        path = settings.path(place)
        if not _inside(settings, path):
            outside.append(f"{name} : {place}")
        elif path.is_dir():
            _copy_folder(path, target / path.relative_to(settings.directory), empty=name in WORKING)
        elif path.exists():
            (target / path.relative_to(settings.directory)).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copy2(path, target / path.relative_to(settings.directory))
    return tuple(outside)


# Made again by the gateway: the folder is needed, what is in it is not
WORKING = frozenset({"storage.work", "trust.crl_cache", "relay.sink"})


def _places(settings: Settings) -> dict[str, Path]:
    """Every file and folder that a setting names, whichever setting it is: nothing of the configuration is forgotten."""
    found = dict(_named(settings))
    del found["directory"]
    if settings.relay.kind != "sink":
        del found["relay.sink"]
    if settings.gateway.demo:
        found["demo"] = DEMO
    return found


def _named(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Each path with the name of its setting; those of a list are numbered."""
    for field in type(section).model_fields:
        value, name = getattr(section, field), f"{prefix}{field}"
        several = isinstance(value, list)
        for number, one in enumerate(value if several else [value], 1):
            known = f"{name} {number}" if several else name
            if isinstance(one, Path):
                yield known, one
            elif isinstance(one, BaseModel):
                yield from _named(one, f"{known}.")


def _inside(settings: Settings, path: Path) -> bool:
    return path.resolve().is_relative_to(settings.directory.resolve())


def _copy_database(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # identities lie in it
    read, written = sqlite3.connect(source), sqlite3.connect(target)
    try:
        read.backup(written)
    except sqlite3.Error as error:
        raise CannotBackUp("la base ne peut pas être lue") from error
    finally:
        written.close()
        read.close()


def _copy_folder(source: Path, target: Path, *, empty: bool) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in () if empty else source.rglob("*"):
        if path.is_dir() or path.suffix == ".part":
            continue
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copy2(path, place)
        except FileNotFoundError:
            continue  # sent and removed meanwhile: the database says so


def put_back(source: Path, target: Path) -> None:
    """Copy a backup to where the instance will run; nothing is written over. Raises CannotBackUp, OSError."""
    if not (source / CONFIGURATION).is_file():
        raise CannotBackUp(f"{source} n'est pas la copie d'une instance : il n'y a pas de dcc.toml")
    if target.exists() and any(target.iterdir()):
        raise CannotBackUp(f"{target} n'est pas vide : rien n'a été changé")
    try:
        shutil.copytree(source, target, dirs_exist_ok=True)
    except shutil.Error as error:
        raise CannotBackUp(f"{len(error.args[0])} fichiers n'ont pas pu être copiés") from error
