"""`dcc migrate`: brings the database to this version's schema."""

from __future__ import annotations

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("migrate")(migrate)


def migrate(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Met la base au schéma de cette version ; sans effet si elle l'est déjà. Exemple : dcc migrate -c dcc.toml"""
    from dcc.gateway.services import open_database

    settings = common.settings_of(config)
    with open_database(settings) as database:
        database.migrate()
    if json_output:
        common.print_json({"migrated": True})
        return
    typer.echo("base à jour")
