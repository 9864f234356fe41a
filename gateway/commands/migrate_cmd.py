"""`dcc migrate`: brings the database to this version's schema."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("migrate")(migrate)


def migrate(
    config: ConfigOption,
    to: Annotated[
        str | None, typer.Option(help="Une version antérieure du schéma, ou « base » : tout retirer.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accepte que revenir en arrière efface des données.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Crée la base, ou la met au schéma de cette version ; sans effet si elle l'est déjà.

    Exemples : dcc migrate -c dcc.toml ; dcc migrate --to base --yes -c dcc.toml (après dcc backup)
    """
    from dcc.gateway.services import open_database
    from dcc.mailbox.migrate import downgrade, head, revisions

    if to is not None and to not in (known := revisions()):
        common.stop(f"version inconnue : {to} (connues : {', '.join(known)})", common.EXIT_USAGE)
    target = to or head()
    if target != head() and not yes:
        common.stop("revenir en arrière efface des données : faites dcc backup, puis ajoutez --yes", common.EXIT_USAGE)
    settings = common.settings_of(config)
    if settings.database_file is not None and not settings.database_file.parent.is_dir():
        common.stop(f"database.url : le dossier de {settings.database.url} n'existe pas", common.EXIT_CONFIGURATION)
    with open_database(settings, create=True) as database:
        if target == head():
            database.migrate()
        else:
            downgrade(database.engine, target)
    if json_output:
        common.print_json({"migrated": True, "revision": target})
        return
    typer.echo(f"base au schéma {target}")
