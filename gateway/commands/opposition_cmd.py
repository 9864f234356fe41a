"""`dcc opposition add|remove|list`: the patient opposes a person or a document type, for one folder."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui enregistre : inscrit dans la trace.")]
FolderArgument = Annotated[str, typer.Argument(help="Identifiant, référence ou adresse du dossier.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les oppositions du patient (elles priment sur les mandats).")
    group.command("add")(add)
    group.command("remove")(remove)
    group.command("list")(list_oppositions)
    app.add_typer(group, name="opposition")


def add(
    folder: FolderArgument,
    config: ConfigOption,
    person: Annotated[str | None, typer.Option(help="Adresse ou compte de la personne écartée.")] = None,
    document_type: Annotated[str | None, typer.Option("--type", help="Code du type de document écarté.")] = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Ajoute une opposition. Exemple : dcc opposition add D-7F3K-9QXA --person a@x.example -c dcc.toml"""
    from dcc.gateway.services import open_services
    from dcc.mailbox import folders, people

    if not operator or (person is None) == (document_type is None):
        common.stop("donnez --operator, et soit --person soit --type", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services, services.database.begin() as conn:
        found = folders.folder(conn, folder)
        if found is None:
            common.stop("aucun dossier ne porte cet identifiant, cette référence ou cette adresse")
        account_id = None
        if person is not None:
            named = people.get_account(conn, person)
            accounts = [named] if named else people.by_mailbox(conn, found.network, person.lower())
            if not accounts:
                common.stop("aucun compte de ce réseau ne porte cet identifiant ou cette adresse")
            account_id = accounts[0].id
        opposition = folders.add_opposition(
            conn, folder=found.id, account=account_id, type_code=document_type, at=common.now_utc()
        )
        services.audit.append(conn, _record("added", operator, found.id, opposition.id))
    view = {"id": opposition.id, "folder": found.id, "account": account_id, "type": document_type}
    if json_output:
        common.print_json(view)
        return
    typer.echo(f"opposition {opposition.id} enregistrée")


def remove(
    opposition_id: Annotated[str, typer.Argument(help="L'identifiant de l'opposition.")],
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Lève une opposition. Exemple : dcc opposition remove ID -c dcc.toml"""
    from dcc.gateway.services import open_services
    from dcc.mailbox import folders

    if not operator:
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services, services.database.begin() as conn:
        removed = folders.remove_opposition(conn, opposition_id)
        if removed:
            services.audit.append(conn, _record("removed", operator, None, opposition_id))
    if not removed:
        common.stop("aucune opposition ne porte cet identifiant")
    if json_output:
        common.print_json({"id": opposition_id, "removed": True})
        return
    typer.echo(f"opposition {opposition_id} levée")


def list_oppositions(folder: FolderArgument, config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les oppositions d'un dossier. Exemple : dcc opposition list D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.services import open_database
    from dcc.mailbox import folders

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        found = folders.folder(conn, folder)
        rows = [] if found is None else [
            {"id": o.id, "account": o.account, "type": o.type_code, "at": common.iso(o.at)}
            for o in folders.oppositions_of(conn, found.id)
        ]  # fmt: skip
    if found is None:
        common.stop("aucun dossier ne porte cet identifiant, cette référence ou cette adresse")
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['account'] or row['type']}  {row['at']}")


def _record(action: str, operator: str, folder: str | None, opposition: str):  # type: ignore[no-untyped-def]
    from dcc.mailbox.records import AuditRecord

    return AuditRecord(
        at=common.now_utc(), tag=f"operator:opposition:{action}", actor=f"operator:{operator}", certificate=None,
        message=None, mail_message_id=None, folder=folder, document=None, decision="done", code=None,
        detail=f'{{"opposition": "{opposition}"}}',
    )  # fmt: skip
