"""`dcc serve`: the gateway itself, until SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption

ROLES = ("smtp", "poller", "worker", "relay", "portal")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve)


def serve(
    config: ConfigOption,
    role: Annotated[
        str,
        typer.Option(help="Rôles, séparés par des virgules : smtp, worker, relay (poller et portal : à venir)."),
    ] = "smtp,worker,relay",
) -> None:
    """Démarre la passerelle ; écrit run/ready.json quand elle écoute. Exemple : dcc serve -c dcc.toml"""
    import asyncio

    from dcc.gateway.serve import run

    roles = frozenset(part.strip() for part in role.split(",") if part.strip())
    unknown = roles - set(ROLES)
    if unknown or not roles:
        common.stop(f"rôle inconnu : {', '.join(sorted(unknown)) or '(aucun)'}", common.EXIT_USAGE)
    settings = common.settings_of(config)
    for absent in sorted(roles & {"poller", "portal"}):
        common.say(f"le rôle {absent} n'existe pas encore dans cette version : il est ignoré")
    asyncio.run(run(settings, roles - {"poller", "portal"}))
