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
        Path | None,
        typer.Option(help="Le certificat de la passerelle (PEM ou DER), sinon celui de l'instance."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Vérifie la chaîne ; sort 1 si elle est rompue. Exemple : dcc audit verify -c dcc.toml"""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from dcc.gateway.instance import open_keys
    from dcc.gateway.services import open_database
    from dcc.mailbox import audit

    settings = common.settings_of(config)
    if certificate is None:
        der = open_keys(settings).signing.certificate
    else:
        data = certificate.read_bytes()
        loaded = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
        der = loaded(data).public_bytes(Encoding.DER)
    with open_database(settings) as database, database.read() as conn:
        result = audit.verify(conn, der)
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
