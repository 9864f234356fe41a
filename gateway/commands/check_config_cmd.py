"""`dcc check-config`: every problem of an instance, not the first; exits 78 when there is one."""

from __future__ import annotations

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("check-config")(check_config)


def check_config(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Dit tout ce qui manque ou ne va pas. Sort 0, ou 78.

    Exemple : dcc check-config -c dcc.toml
    """
    from dcc.gateway.checking import check

    _, problems, warnings = check(config, common.now_utc())
    if json_output:
        common.print_json({"ok": not problems, "problems": problems, "warnings": warnings})
    else:
        for line in problems:
            common.say(line)
        for line in warnings:
            common.say(f"à surveiller : {line}")
        if not problems:
            typer.echo("la configuration est bonne")
    if problems:
        raise typer.Exit(common.EXIT_CONFIGURATION)
