"""`dcc outbox list|retry`: the mails that are owed to people, and how far each has come."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les mails sortants, destinataire par destinataire.")
    group.command("list")(list_deliveries)
    group.command("retry")(retry)
    app.add_typer(group, name="outbox")


def list_deliveries(
    config: ConfigOption,
    message: Annotated[str | None, typer.Option(help="Seulement ceux causés par ce message.")] = None,
    folder: Annotated[str | None, typer.Option(help="Seulement ceux de ce dossier.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Les envois et leur état. Exemple : dcc outbox list -c dcc.toml --json"""
    from dcc.gateway.services import open_database
    from dcc.gateway.views import delivery_view
    from dcc.mailbox import folders, outbox

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        found = None if folder is None else folders.folder(conn, folder)
        if folder is not None and found is None:
            common.stop("aucun dossier ne porte cet identifiant, cette référence ou cette adresse")
        rows = [
            delivery_view(d)
            for d in outbox.deliveries(conn, folder=None if found is None else found.id, message=message)
        ]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['kind']:<16} {row['state']:<10} {row['mailbox']}  {row['reason'] or ''}")


def retry(
    delivery_id: Annotated[str, typer.Argument(help="L'identifiant de l'envoi, échoué ou incertain.")],
    config: ConfigOption,
    operator: Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")] = "",
    json_output: JsonOption = False,
) -> None:
    """Renvoie un mail échoué ou incertain, avec le même Message-ID. Exemple : dcc outbox retry ID -c dcc.toml"""
    from dcc.gateway.services import open_services
    from dcc.mailbox import outbox
    from dcc.mailbox.records import AuditRecord

    if not operator:
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    now = common.now_utc()
    with open_services(settings) as services, services.database.begin() as conn:
        done = outbox.requeue(conn, delivery_id, now=now)
        if done:
            services.audit.append(
                conn,
                AuditRecord(
                    at=now, tag="operator:delivery:retried", actor=f"operator:{operator}", certificate=None,
                    message=None, mail_message_id=None, folder=None, document=None, decision="done", code=None,
                    detail=f'{{"delivery": "{delivery_id}"}}',
                ),
            )  # fmt: skip
    if not done:
        common.stop("cet envoi n'existe pas, ou n'est ni échoué ni incertain")
    if json_output:
        common.print_json({"id": delivery_id, "state": "queued"})
        return
    typer.echo(f"{delivery_id} : remis dans la file")
