"""`dcc folder list|show|open|close`: the patients' folders, by id, reference or address."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common, folder_open_cmd
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les dossiers des patients.")
    group.command("list")(list_folders)
    group.command("show")(show)
    folder_open_cmd.register(group)
    app.add_typer(group, name="folder")


def list_folders(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Tous les dossiers, sans identité. Exemple : dcc folder list -c dcc.toml"""
    from dcc.gateway.services import open_database
    from dcc.mailbox import folders

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        rows = [
            {
                "id": f.id,
                "reference": f.reference,
                "address": f.address,
                "network": f.network,
                "consent": f.consent.value,
            }
            for f in folders.list_folders(conn)
        ]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['reference']}  {row['network']:<8} {row['consent']:<10} {row['address']}")


def show(
    folder: Annotated[str, typer.Argument(help="Identifiant, référence ou adresse du dossier.")],
    config: ConfigOption,
    json_output: JsonOption = False,
) -> None:
    """Un dossier : documents, consentement, mandats, envois. Exemple : dcc folder show D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.services import open_database
    from dcc.gateway.views import folder_view
    from dcc.mailbox import folders

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        found = folders.folder(conn, folder)
        view = None if found is None else folder_view(conn, found)
    if view is None:
        common.stop("aucun dossier ne porte cet identifiant, cette référence ou cette adresse")
    if json_output:
        common.print_json(view)
        return
    typer.echo(f"Dossier {view['reference']} ({view['network']}), consentement : {view['consent']['state']}")
    for document in view["documents"]:
        typer.echo(
            f"  {document['received_at']}  {document['type_code']:<10} {document['status']:<10} {document['id']}"
        )
    for mandate in view["mandates"]:
        holder = mandate["mailbox"] or mandate["structure"]
        typer.echo(f"  mandat : {holder} ({mandate['origin']}), jusqu'au {mandate['until'] or '–'}")
    for delivery in view["deliveries"]:
        typer.echo(f"  envoi : {delivery['kind']:<15} {delivery['mailbox']:<45} {delivery['state']}")
