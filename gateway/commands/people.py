"""What the commands about people share: the named operator, dates, and carrying a change out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dcc.gateway.services import Services
    from dcc.mailbox.changes import Change
    from dcc.mailbox.records import Delivery

OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")]
NetworkOption = Annotated[str | None, typer.Option("--network", help="Identifiant du réseau.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Dernier jour (AAAA-MM-JJ) ; sans : sans fin.")]
FolderArgument = Annotated[str, typer.Argument(help="Identifiant, référence ou adresse du dossier.")]


def named(operator: str) -> str:
    """The operator's name, or a usage error."""
    if not operator.strip():
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    return operator.strip()


def end_of(day: str | None) -> datetime | None:
    """The end of the last day named, in UTC; a wrong date is a usage error."""
    if day is None:
        return None
    try:
        last = date.fromisoformat(day)
    except ValueError:
        common.stop(f"--until {day} : donnez une date comme 2026-12-31", common.EXIT_USAGE)
    return datetime.combine(last, time(), UTC) + timedelta(days=1)


@contextmanager
def opened(config: Path) -> Iterator[Services]:
    """The instance's services; a wrong configuration exits 78, a change that cannot be made says why and exits 1."""
    from dcc.gateway.administering import NotPossible
    from dcc.gateway.services import open_services
    from dcc.gateway.settings import ConfigurationError

    settings = common.settings_of(config)
    try:
        with open_services(settings) as services:
            yield services
    except NotPossible as error:
        common.stop(str(error))
    except ConfigurationError as error:
        for problem in error.problems:
            common.say(problem)
        raise typer.Exit(common.EXIT_CONFIGURATION) from None


def change(
    config: Path,
    operator: str,
    build: Callable[[Connection, datetime], Sequence[Change]],
    mails: Callable[[Services, Connection, Sequence[Change], datetime], Sequence[Delivery]] = lambda *_: (),
) -> tuple[Sequence[Change], datetime]:
    """Read what the change needs, carry it out under the operator's name with the mails it means, and give it back."""
    from dcc.gateway.administering import carry_out
    from dcc.gateway.administering import operator as acting

    who = named(operator)
    now = common.now_utc().replace(microsecond=0)
    with opened(config) as services:
        with services.database.read() as conn:
            changes = build(conn, now)
            owed = mails(services, conn, changes, now)
        carry_out(services, changes, acting(who), now, owed)
    return changes, now


def answer(view: Any, line: str, *, as_json: bool) -> None:
    """One JSON document, or one sentence."""
    if as_json:
        common.print_json(view)
    else:
        typer.echo(line)
