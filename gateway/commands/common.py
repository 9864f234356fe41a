"""What every command shares: options, JSON on standard output, one clear line for an error."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from dcc.gateway.settings import Settings

ConfigOption = Annotated[
    Path, typer.Option("-c", "--config", help="Le fichier dcc.toml de l'instance.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Un document JSON sur la sortie standard.")]

_STEERING = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

EXIT_NO = 1
EXIT_USAGE = 2
EXIT_UNKNOWN = 3
EXIT_CONFIGURATION = 78


def iso(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, seconds precision, as contract.md fixes it."""
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encode(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def print_json(value: Any) -> None:
    """One JSON document on standard output; what would steer a terminal or turn the text round is escaped, as JSON may."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_encode)
    sys.stdout.write(_STEERING.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n")
    sys.stdout.flush()


def plain(text: str) -> str:
    """A name comes from a certificate or a mail: nothing in it may steer the terminal, or turn the text round."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def say(line: str) -> None:
    """A sentence for the person, on standard error."""
    typer.echo(line, err=True)


def stop(line: str, code: int = EXIT_NO) -> NoReturn:
    """Say one line and end with this exit code."""
    say(line)
    raise typer.Exit(code)


def settings_of(config: Path) -> Settings:
    """The instance's settings; a wrong configuration is said line by line and exits 78."""
    from dcc.gateway.settings import ConfigurationError, load_settings

    try:
        return load_settings(config)
    except ConfigurationError as error:
        for problem in error.problems:
            say(problem)
        raise typer.Exit(EXIT_CONFIGURATION) from None


def write_private(path: Path, octets: bytes) -> None:
    """A file that its owner alone can read. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as target:
        target.write(octets)


def now_utc() -> datetime:
    """The clock of the command line: the only place where commands read it."""
    return datetime.now(UTC)
