"""`dcc crl list|update`: the opposition lists held, their numbers and ages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

WARNING_HOURS = 36  # facts: cards §6


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les listes d'opposition.")
    group.command("list")(list_lists)
    group.command("update")(update)
    app.add_typer(group, name="crl")


def list_lists(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les listes connues et leur âge ; sort 3 si l'une est périmée. Exemple : dcc crl list -c dcc.toml"""
    from dcc.gateway.crlupdate import in_force
    from dcc.gateway.services import open_services

    settings = common.settings_of(config)
    now = common.now_utc()
    with open_services(settings) as services:
        names = {
            one.subject_der.hex(): one.subject
            for one in (*services.judge.trust.anchors, *services.judge.trust.intermediates)
        }
        rows: list[dict[str, Any]] = [
            {
                "issuer": names.get(info.issuer, "(autorité inconnue)"), "number": info.number, "delta": info.is_delta,
                "this_update": common.iso(info.this_update), "next_update": common.iso(info.next_update),
                "age_hours": round((now - info.this_update).total_seconds() / 3600, 1), "entries": info.entries,
                "stale": info.next_update is None or now > info.next_update, "sha256": info.sha256,
            }
            for info in in_force(services.judge.crls.infos())
        ]  # fmt: skip
    stale = any(row["stale"] for row in rows) or not rows
    if json_output:
        common.print_json(rows)
    else:
        for row in rows:
            mark = "PÉRIMÉE" if row["stale"] else "ancienne" if row["age_hours"] > WARNING_HOURS else "à jour"
            typer.echo(
                f"{mark:<9} {row['age_hours']:>7} h  n° {row['number']}  {row['entries']} cartes  {row['issuer']}"
            )
        if not rows:
            typer.echo("aucune liste : aucune carte ne peut être dite valable")
    if stale:
        raise typer.Exit(common.EXIT_UNKNOWN)


def update(
    config: ConfigOption,
    files: Annotated[list[Path], typer.Argument(help="Les listes reçues de l'autorité (DER ou PEM).")],
    json_output: JsonOption = False,
) -> None:
    """Ajoute des listes ; sort 1 si l'une est refusée. Exemple : dcc crl update a.crl -c dcc.toml

    Une liste illisible, sans signature d'une autorité connue, ou de numéro inférieur à celui de la liste déjà tenue
    est refusée, et l'ancienne reste. Une liste remplacée est rangée dans « anciennes », pour la preuve.
    """
    from dcc.gateway.crlupdate import take_list
    from dcc.gateway.services import open_trust

    settings = common.settings_of(config)
    target = next((settings.path(one) for one in settings.trust.crls if settings.path(one).is_dir()), None)
    if target is None:
        common.stop("trust.crls ne nomme aucun dossier où ranger les listes", common.EXIT_CONFIGURATION)
    trust = open_trust(settings)
    results = [
        {"file": str(path), "accepted": why is None, "reason": why}
        for path, why in ((path, take_list(path, target, trust)) for path in files)
    ]
    if json_output:
        common.print_json(results)
    else:
        for one in results:
            typer.echo(f"{one['file']} : {'ajoutée' if one['accepted'] else 'REFUSÉE, ' + str(one['reason'])}")
    if not all(one["accepted"] for one in results):
        raise typer.Exit(common.EXIT_NO)
