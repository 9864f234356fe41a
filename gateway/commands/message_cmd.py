"""`dcc message list|show|report|reverify`: what was received, how far each message has come, and its verdict proved again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

MOST = 1_000_000_000  # an engine's numbers end somewhere


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les messages reçus et leur avancement.")
    group.command("list")(list_messages)
    group.command("show")(show)
    group.command("report")(report)
    group.command("reverify")(reverify_message)
    app.add_typer(group, name="message")


def list_messages(
    config: ConfigOption,
    state: Annotated[str | None, typer.Option(help="received, opened, …, filed, done, held, refused.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="Nombre de messages au plus.")] = 100,
    json_output: JsonOption = False,
) -> None:
    """Les derniers messages. Exemple : dcc message list -c dcc.toml --state held"""
    from dcc.gateway.services import open_database
    from dcc.gateway.views import message_view
    from dcc.mailbox import messages
    from dcc.mailbox.records import MessageState

    if state is not None and state not in {s.value for s in MessageState}:
        common.stop(f"état inconnu : {state}", common.EXIT_USAGE)
    settings = common.settings_of(config)
    wanted = None if state is None else MessageState(state)
    with open_database(settings) as database, database.read() as conn:
        rows = [message_view(conn, m) for m in messages.list_messages(conn, state=wanted, limit=limit)]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        code = "" if row["reason"] is None else row["reason"]["code"]
        typer.echo(f"{row['received_at']}  {row['id']}  {row['state']:<10} {code}")


def show(
    message_id: Annotated[str, typer.Argument(help="L'identifiant donné par la réponse 250.")],
    config: ConfigOption,
    json_output: JsonOption = False,
) -> None:
    """Un message : état, motif, contrôles faits et leurs preuves, durées. Exemple : dcc message show ID -c dcc.toml"""
    from dcc.gateway.services import open_database
    from dcc.gateway.views import message_view
    from dcc.mailbox import messages

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        message = messages.get(conn, message_id)
        view = None if message is None else message_view(conn, message)
    if view is None:
        common.stop("aucun message ne porte cet identifiant")
    if json_output:
        common.print_json(view)
        return
    from dcc.gateway.explain import explained

    for line in explained(view):
        typer.echo(line)


def reverify_message(
    message_id: Annotated[str, typer.Argument(help="L'identifiant donné par la réponse 250.")],
    config: ConfigOption,
    json_output: JsonOption = False,
) -> None:
    """Refait le verdict d'un message avec les seules preuves gardées. Exemple : dcc message reverify ID -c dcc.toml

    Sans réseau, et sans les racines, les listes ni l'heure d'aujourd'hui. Sort 0 confirmé, 1 démenti, 3 si quelque
    chose manque pour le dire.
    """
    from dcc.gateway.proving import NotProvable
    from dcc.gateway.reverify import view
    from dcc.gateway.reverifying import reverify_of

    settings = common.settings_of(config)
    try:
        found = reverify_of(settings, message_id)
    except NotProvable as error:
        common.stop(str(error), common.EXIT_UNKNOWN)
    if found is None:
        common.stop("aucun message ne porte cet identifiant")
    if json_output:
        common.print_json(view(found))
    else:
        words = {True: "oui", False: "NON", None: "?"}
        typer.echo(f"original inchangé       {words[found.original]}")
        typer.echo(f"signature               {words[found.signature]}")
        typer.echo(f"carte à la réception    {found.verdict} (alors : {found.stored_verdict})")
        typer.echo(f"carte à la signature    {found.verdict_at_signing or 'sans date annoncée'}")
        for one in found.checks:
            typer.echo(f"  {'oui' if one.verdict is None else 'NON'}  {one.check} : {one.text}")
    if found.confirmed is not True:
        raise typer.Exit(common.EXIT_NO if found.confirmed is False else common.EXIT_UNKNOWN)


def report(
    message_id: Annotated[str, typer.Argument(help="L'identifiant donné par la réponse 250.")],
    config: ConfigOption,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Écrire le rapport en page web, en français.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Le rapport de vérification d'un message reçu, comme dcc open. Exemple : dcc message report ID --html rapport.html"""
    from dcc.gateway.commands.open_cmd import EXIT_OF
    from dcc.gateway.opening_page import page
    from dcc.gateway.opening_text import text
    from dcc.gateway.services import open_services
    from dcc.gateway.stored_report import report_of
    from dcc.mailbox import messages

    with open_services(common.settings_of(config)) as services:
        with services.database.read() as conn:
            message = messages.get(conn, message_id)
        if message is None:
            common.stop("aucun message ne porte cet identifiant")
        try:
            found = report_of(services, message)
        except OSError:
            common.stop("l'original de ce message n'est plus là", common.EXIT_UNKNOWN)
        found.opened.close()
        if html is not None:
            common.write_private(html, page(found).encode())
        if json_output:
            common.print_json(found.document())
        else:
            typer.echo(text(found))
    raise typer.Exit(EXIT_OF[found.outcome])
