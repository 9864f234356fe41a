"""`dcc audit verify|export`: the trace, proved unchanged (I7)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="La trace : vérifiée, exportée.")
    group.command("verify")(verify)
    group.command("export")(export)
    app.add_typer(group, name="audit")


def verify(
    config: ConfigOption,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(help="Un certificat de la passerelle (PEM ou DER), sinon celui de l'instance ; répétable."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Vérifie la chaîne ; sort 1 si elle est rompue.

    Exemples : dcc audit verify -c dcc.toml ; dcc audit verify -c dcc.toml --certificate passerelle.pem

    Avec --certificate, il ne faut que la base et ce certificat ; donnez aussi les anciens s'il a été renouvelé.
    """
    from dcc.cards.certificate import read_certificate
    from dcc.cards.errors import Unparseable
    from dcc.cards.trust import certificates_in
    from dcc.gateway.instance import open_keys
    from dcc.gateway.services import open_database
    from dcc.mailbox import audit

    settings = common.settings_of(config)
    try:
        found = [der for path in certificate or () for der in certificates_in(path.read_bytes())]
        for der in found:
            read_certificate(der)
    except OSError as error:
        common.stop(f"{error.filename} est absent ou illisible", common.EXIT_USAGE)
    except Unparseable as error:
        common.stop(f"--certificate : {error}", common.EXIT_USAGE)
    with open_database(settings) as database, database.read() as conn:
        result = audit.verify(conn, found or open_keys(settings).signing.certificate)
    if json_output:
        common.print_json(asdict(result))
    elif result.ok:
        typer.echo(f"trace intacte : {result.count} enregistrements")
    else:
        typer.echo(f"TRACE ROMPUE à l'enregistrement {result.first_bad} : {result.problem}")
    if not result.ok:
        raise typer.Exit(common.EXIT_NO)


def export(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Un objet JSON par ligne. Exemple : dcc audit export -c dcc.toml > trace.jsonl"""
    del json_output  # always JSON: one object a line (contract.md)
    from dcc.gateway.services import open_database
    from dcc.mailbox import audit

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        for record in audit.export(conn):
            sys.stdout.write(json.dumps(record, ensure_ascii=False, default=common._encode) + "\n")
