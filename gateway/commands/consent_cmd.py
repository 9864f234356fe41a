"""`dcc consent record|withdraw|list`: the patient's consent to a folder, with its form, its collector and its proof."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Le consentement du patient à un dossier.")
    group.command("record")(record)
    group.command("withdraw")(withdraw)
    group.command("list")(list_consents)
    app.add_typer(group, name="consent")


def record(
    folder: people.FolderArgument,
    config: ConfigOption,
    form: Annotated[str, typer.Option("--form", help="Version du formulaire signé.")],
    collected_by: Annotated[str, typer.Option("--collected-by", help="Compte ou adresse de qui l'a recueilli.")],
    proof: Annotated[str | None, typer.Option("--proof", help="Où est la preuve (cote d'archive, document).")] = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Enregistre un consentement. Exemple : dcc consent record D-7F3K-9QXA --form 1 --collected-by a@x.example -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, account_named, folder_named
    from dcc.mailbox import consentforms
    from dcc.mailbox.changes import ConsentChanged
    from dcc.mailbox.records import ConsentState

    def build(conn, _now):  # type: ignore[no-untyped-def]
        found = folder_named(conn, folder)
        if not consentforms.known(conn, found.network, form):
            raise NotPossible(f"le réseau n'a pas publié de formulaire de version {form}")
        collector = account_named(conn, collected_by, found.network)
        return [ConsentChanged(found.id, ConsentState.GIVEN, form, collector.id, proof)]

    people.change(config, operator, build)
    people.answer({"folder": folder, "consent": "given"}, "consentement enregistré", as_json=json_output)


def withdraw(
    folder: people.FolderArgument,
    config: ConfigOption,
    proof: Annotated[str | None, typer.Option("--proof", help="Où est la demande du patient.")] = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Enregistre le retrait : plus rien n'est classé ni envoyé. Exemple : dcc consent withdraw D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, folder_named
    from dcc.mailbox.changes import ConsentChanged
    from dcc.mailbox.records import ConsentState

    who = people.named(operator)

    def build(conn, _now):  # type: ignore[no-untyped-def]
        found = folder_named(conn, folder)
        if found.consent is not ConsentState.GIVEN:
            raise NotPossible("ce dossier n'a pas de consentement en vigueur")
        return [ConsentChanged(found.id, ConsentState.WITHDRAWN, None, f"operator:{who}", proof)]

    people.change(config, operator, build)
    people.answer({"folder": folder, "consent": "withdrawn"}, "retrait enregistré", as_json=json_output)


def list_consents(folder: people.FolderArgument, config: ConfigOption, json_output: JsonOption = False) -> None:
    """L'histoire du consentement. Exemple : dcc consent list D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.administering import folder_named
    from dcc.mailbox import folders

    with people.opened(config) as services, services.database.read() as conn:
        found = folder_named(conn, folder)
        rows = [
            {
                "state": row["state"], "at": common.iso(row["at"]), "form_version": row["form_version"],
                "collected_by": row["collected_by"], "proof": row["proof"],
            }
            for row in folders.consent_history(conn, found.id)
        ]  # fmt: skip
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['at']}  {row['state']:<10} {row['form_version'] or '–'}")
