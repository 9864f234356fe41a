"""`dcc serve`: the gateway itself, until SIGTERM."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

ROLES = ("smtp", "poller", "worker", "relay", "portal")
ABSENT = frozenset({"poller", "portal"})  # not in this version


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve)


def serve(
    config: ConfigOption,
    role: Annotated[
        str,
        typer.Option(help="Rôles, séparés par des virgules : smtp, worker, relay (poller et portal : à venir)."),
    ] = "smtp,worker,relay",
    json_output: JsonOption = False,
) -> None:
    """Démarre la passerelle ; écrit run/ready.json quand elle écoute. Exemple : dcc serve -c dcc.toml

    La configuration est vérifiée d'abord, comme par dcc check-config : sort 78 s'il y a un problème. SIGTERM finit ce
    qui est en cours, en 30 secondes au plus.
    """
    import asyncio

    from dcc.gateway.checking import check
    from dcc.gateway.serve import CannotListen, run

    roles = frozenset(part.strip() for part in role.split(",") if part.strip())
    unknown = roles - set(ROLES)
    if unknown or not roles:
        common.stop(f"rôle inconnu : {', '.join(sorted(unknown)) or '(aucun)'}", common.EXIT_USAGE)
    for absent in sorted(roles & ABSENT):
        common.say(f"le rôle {absent} n'existe pas encore dans cette version : il est ignoré")
    if not roles - ABSENT:
        common.stop("il ne reste aucun rôle à tenir", common.EXIT_USAGE)
    settings, problems, _ = check(config, common.now_utc())
    for line in problems:
        common.say(line)
    if problems or settings is None:
        raise typer.Exit(common.EXIT_CONFIGURATION)
    try:
        asyncio.run(run(settings, roles - ABSENT, common.print_json if json_output else None))
    except CannotListen as error:
        common.stop(str(error), common.EXIT_CONFIGURATION)
