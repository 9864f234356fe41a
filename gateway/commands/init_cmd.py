"""`dcc init`: makes an instance, and says what it still needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("init")(init)


def init(
    directory: Annotated[Path, typer.Argument(help="Le dossier de l'instance ; il est créé.")],
    demo: Annotated[bool, typer.Option("--demo", help="Avec une IGC factice, des personnes et des dossiers.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Crée une instance. Exemples : dcc init /srv/dcc ; dcc init --demo /tmp/essai"""
    from dcc.gateway.instance import InstanceExists, initialise

    try:
        initialise(directory, demo=demo, now=common.now_utc().replace(microsecond=0))
    except InstanceExists:
        common.stop(f"{directory} contient déjà une instance : rien n'a été changé")
    except OSError as error:
        common.stop(f"{directory} ne peut pas être écrit ({error.strerror})")
    missing = [] if demo else [
        "keys/signature.p12 et keys/dechiffrement.p12 (certificats d'organisation SIGN et CONF), keys/password",
        "keys/smtp.pem et keys/smtp.key (certificat du serveur)",
        "trust/ : racines et autorités IGC-Santé ; crls/ : listes d'opposition",
        "gateway.address dans dcc.toml",
    ]  # fmt: skip
    if json_output:
        common.print_json({"directory": str(directory), "config": str(directory / "dcc.toml"), "missing": missing})
        return
    typer.echo(f"instance créée : {directory / 'dcc.toml'}")
    for line in missing:
        typer.echo(f"  à fournir : {line}")
    typer.echo(f"ensuite : dcc check-config -c {directory / 'dcc.toml'}, puis dcc serve -c {directory / 'dcc.toml'}")
