"""`dcc identifier KIND VALUE`: a national identifier, parsed, checked, explained."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("identifier")(identifier)


def identifier(
    kind: Annotated[str, typer.Argument(help="rpps, adeli, finess, siren, siret, nir, nia, ins, idnps, idnst, upn.")],
    value: Annotated[str, typer.Argument(help="L'identifiant ; pour ins, son OID peut suivre.")],
    json_output: JsonOption = False,
) -> None:
    """Un identifiant est-il bien formé ? Sort 0 oui, 1 non. Exemple : dcc identifier rpps 99700523527 --json"""
    from dcc.cards.identifiers import PARSERS, parse

    if kind.lower() not in PARSERS:
        common.stop(f"genre inconnu : {kind} (connus : {', '.join(sorted(PARSERS))})", common.EXIT_USAGE)
    found = parse(kind.lower(), value)
    if json_output:
        common.print_json(
            {
                "kind": found.kind, "value": found.value, "valid": found.valid, "formatted": found.formatted,
                "parts": dict(found.parts), "reason": found.reason,
            }
        )  # fmt: skip
    else:
        typer.echo(f"{found.formatted or found.value} : {'valide' if found.valid else 'non valide'}"
                   f"{'' if found.reason is None else f' ({found.reason})'}")  # fmt: skip
        for name, part in found.parts.items():
            typer.echo(f"  {name} : {part}")
    if not found.valid:
        raise typer.Exit(common.EXIT_NO)
