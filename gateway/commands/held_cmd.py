"""`dcc held list|show|read|assign|release|refuse`: messages that wait for a person, with the reason."""

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
    group.command("read")(read)
    group.command("assign")(assign)
    group.command("release")(release)
    group.command("refuse")(refuse)
    app.add_typer(group, name="held")


def list_held(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Ce qui attend, avec le motif. Exemple : dcc held list -c dcc.toml"""
    from dcc.gateway.commands.message_cmd import list_messages

    list_messages(config, state="held", json_output=json_output)


def show(
    message_id: MessageArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Un message en attente, et les dossiers possibles. Exemple : dcc held show ID -c dcc.toml --operator ADRESSE"""
    from dcc.gateway.explain import compared, explained
    from dcc.gateway.reconcile import decider, examine
    from dcc.gateway.services import open_services
    from dcc.gateway.views import examined_view, message_view
    from dcc.mailbox import messages

    settings = common.settings_of(config)
    with open_services(settings) as services:
        with services.database.read() as conn:
            message = messages.get(conn, message_id)
            view = None if message is None else message_view(conn, message)
            who = decider(conn, operator)
        if view is None:
            common.stop("aucun message ne porte cet identifiant")
        examined = None if who is None else examine(services, message_id, who, common.now_utc())
    told = None if examined is None else examined_view(examined)
    if json_output:
        common.print_json({**view, "reconciliation": told})
        return
    for line in explained(view):
        typer.echo(line)
    if told is not None:
        typer.echo("Rapprochement :")
        for line in compared(told):
            typer.echo(line)
    elif view["state"] == "held":
        common.say("rapprochement : réservé au rôle d'identitovigilance (--operator ADRESSE DU COMPTE)")


def read(
    message_id: MessageArgument,
    config: ConfigOption,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Le fichier où écrire le courriel reçu.")],
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Écrit un courriel adressé à postmaster ou abuse. Exemple : dcc held read ID -c dcc.toml --out courriel.eml"""
    from dcc.gateway.held import for_operator
    from dcc.gateway.services import open_services

    if not operator:
        common.stop("dites qui lit : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services:
        try:
            octets = for_operator(services, message_id, operator, common.now_utc())
        except OSError:
            common.stop("l'original de ce message n'est plus là", common.EXIT_UNKNOWN)
    if octets is None:
        common.stop("ce message n'est pas en attente, ou n'est pas adressé à l'exploitant : il ne se lit pas ici")
    common.write_private(out, octets)
    if json_output:
        common.print_json({"id": message_id, "path": str(out), "size": len(octets)})
        return
    typer.echo(f"{out}  {len(octets)} octets")


def assign(
    message_id: MessageArgument,
    config: ConfigOption,
    folder: Annotated[str, typer.Option(help="Le dossier choisi : identifiant, référence ou adresse.")],
    kind: Annotated[str | None, typer.Option("--type", help="Type d'un fichier simple : mot-clé ou code.")] = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Rattache un message à un dossier. Exemple : dcc held assign ID -c dcc.toml --folder D-7F3K-9QXA --type RCP"""
    from dcc.gateway.reconcile import NotDecided, decider
    from dcc.gateway.reconcile import assign as assign_held
    from dcc.gateway.services import open_services

    settings = common.settings_of(config)
    with open_services(settings) as services:
        with services.database.read() as conn:
            who = decider(conn, operator)
        if who is None:
            common.stop("dites qui décide : --operator ADRESSE d'un compte d'identitovigilance", common.EXIT_USAGE)
        try:
            assign_held(services, message_id, folder=folder, word=kind, who=who, now=common.now_utc())
        except NotDecided as error:
            common.stop(str(error))
    if json_output:
        common.print_json({"id": message_id, "state": "received", "folder": folder})
        return
    typer.echo(f"{message_id} : rattaché au dossier, remis en traitement")


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
