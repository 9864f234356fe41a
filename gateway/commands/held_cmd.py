"""`dcc held list|show|release|refuse`: messages that wait for a person, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.gateway.services import Services

Action = Callable[["Services", str, str, datetime], bool]
OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")]
MessageArgument = Annotated[str, typer.Argument(help="L'identifiant du message.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les messages en attente d'une personne.")
    group.command("list")(list_held)
    group.command("show")(show)
    group.command("release")(release)
    group.command("refuse")(refuse)
    app.add_typer(group, name="held")


def list_held(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Ce qui attend, avec le motif. Exemple : dcc held list -c dcc.toml"""
    from dcc.gateway.commands.message_cmd import list_messages

    list_messages(config, state="held", json_output=json_output)


def show(message_id: MessageArgument, config: ConfigOption, json_output: JsonOption = False) -> None:
    """Un message en attente. Exemple : dcc held show ID -c dcc.toml"""
    from dcc.gateway.commands.message_cmd import show as show_message

    show_message(message_id, config, json_output=json_output)


def release(
    message_id: MessageArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Remet un message en traitement : tous les contrôles sont refaits. Exemple : dcc held release ID -c dcc.toml"""
    from dcc.gateway.held import release_held

    _decide(message_id, config, operator, json_output, release_held, ("received", "remis en traitement"))


def refuse(
    message_id: MessageArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Refuse un message en attente ; l'expéditeur connu est prévenu. Exemple : dcc held refuse ID -c dcc.toml"""
    from dcc.gateway.held import refuse_held

    _decide(message_id, config, operator, json_output, refuse_held, ("refused", "refusé"))


def _decide(
    message_id: str, config: Path, operator: str, json_output: bool, action: Action, told: tuple[str, str]
) -> None:
    from dcc.gateway.services import open_services

    state, done = told
    if not operator:
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services:
        changed = action(services, message_id, operator, common.now_utc())
    if not changed:
        common.stop("ce message n'est pas en attente")
    if json_output:
        common.print_json({"id": message_id, "state": state})
        return
    typer.echo(f"{message_id} : {done}")
