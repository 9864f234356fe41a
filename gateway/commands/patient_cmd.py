"""`dcc patient trace`: who put, read and received what of one patient, to be handed to the patient."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption

DEFAULT_OID = "1.2.250.1.213.1.4.8"  # NIR, in production (facts/cards.md §5)


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Ce que l'on doit au patient.")
    group.command("trace")(trace)
    group.callback()(lambda: None)
    app.add_typer(group, name="patient")


def trace(
    config: ConfigOption,
    folder: Annotated[str | None, typer.Option("--folder", help="Un de ses dossiers : id, référence, adresse.")] = None,
    ins: Annotated[str | None, typer.Option("--ins", help="Son matricule INS.")] = None,
    oid: Annotated[str, typer.Option("--oid", help="Domaine (OID) du matricule.")] = DEFAULT_OID,
    pdf_file: Annotated[Path | None, typer.Option("--pdf", help="Écrire aussi un PDF.")] = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """La trace de tous ses dossiers. Exemple : dcc patient trace --folder D-7F3K-9QXA --pdf trace.pdf -c dcc.toml"""
    from dcc.gateway.trace import events, patients_folders, view
    from dcc.gateway.tracepdf import pdf
    from dcc.mailbox.records import AuditRecord

    who = people.named(operator)
    if (folder is None) == (ins is None):
        common.stop("donnez soit --folder soit --ins", common.EXIT_USAGE)
    now = common.now_utc()
    with people.opened(config) as services:
        with services.database.read() as conn:
            found = patients_folders(conn, folder, ins, oid)
            rows = events(conn, found)
        if not found:
            common.stop("aucun dossier de ce patient")
        with services.database.begin() as conn:
            for one in found:
                services.audit.append(
                    conn,
                    AuditRecord(
                        at=now, tag="operator:folder:traced", actor=f"operator:{who}", certificate=None, message=None,
                        mail_message_id=None, folder=one.id, document=None, decision="done", code=None,
                    ),
                )  # fmt: skip
    if pdf_file is not None:
        handle = os.open(pdf_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(pdf(rows, now))
    if json_output:
        common.print_json(view(rows))
        return
    for row in rows:
        line = f"{common.iso(row.at)}  {row.folder}  {row.who} {row.did} {row.what}".rstrip()
        typer.echo(line if row.why is None else f"{line}  [{row.why}]")
