"""`dcc mandate grant|revoke|list`: who may read and feed a folder, from when, until when, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.mailbox.records import Mandate


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les mandats : qui peut lire et alimenter un dossier.")
    group.command("grant")(grant)
    group.command("revoke")(revoke)
    group.command("list")(list_mandates)
    app.add_typer(group, name="mandate")


def grant(
    folder: people.FolderArgument,
    config: ConfigOption,
    person: Annotated[str | None, typer.Option("--person", help="Compte ou adresse du professionnel.")] = None,
    structure: Annotated[str | None, typer.Option("--structure", help="Identifiant (IDNST) d'une structure.")] = None,
    until: people.UntilOption = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Donne un mandat, sur formulaire du patient. Exemple : dcc mandate grant D-7F3K-9QXA --person a@x.example -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, account_named, folder_named
    from dcc.mailbox.changes import MandateGranted
    from dcc.mailbox.records import Mandate, MandateOrigin
    from dcc.mailbox.rows import new_id

    if (person is None) == (structure is None):
        common.stop("donnez soit --person soit --structure", common.EXIT_USAGE)
    end = people.end_of(until)

    def build(conn, now):  # type: ignore[no-untyped-def]
        found = folder_named(conn, folder)
        account = None if person is None else account_named(conn, person, found.network)
        if end is not None and end <= now:
            raise NotPossible("la fin du mandat est déjà passée")
        return [
            MandateGranted(
                Mandate(
                    id=new_id(), folder=found.id, account=None if account is None else account.id, structure=structure,
                    origin=MandateOrigin.GRANTED, start=now, until=end,
                )
            )
        ]  # fmt: skip

    changes, _ = people.change(config, operator, build)
    mandate = next(one.mandate for one in changes if isinstance(one, MandateGranted))
    people.answer(_view(mandate), f"mandat {mandate.id} donné", as_json=json_output)


def revoke(
    mandate: Annotated[str, typer.Argument(help="Identifiant du mandat (dcc mandate list).")],
    folder: Annotated[str, typer.Option("--folder", help="Dossier du mandat.")],
    config: ConfigOption,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Met fin à un mandat, tout de suite. Exemple : dcc mandate revoke ID --folder D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, folder_named
    from dcc.mailbox import folders
    from dcc.mailbox.changes import MandateRevoked

    def build(conn, _now):  # type: ignore[no-untyped-def]
        found = folder_named(conn, folder)
        if mandate not in {one.id for one in folders.mandates_of(conn, found.id)}:
            raise NotPossible("ce dossier n'a pas de mandat de cet identifiant")
        return [MandateRevoked(mandate, found.id)]

    people.change(config, operator, build)
    people.answer({"id": mandate, "revoked": True}, f"mandat {mandate} révoqué", as_json=json_output)


def list_mandates(folder: people.FolderArgument, config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les mandats d'un dossier, finis compris. Exemple : dcc mandate list D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.administering import folder_named
    from dcc.mailbox import folders
    from dcc.mailbox import people as accounts

    with people.opened(config) as services, services.database.read() as conn:
        found = folder_named(conn, folder)
        rows = []
        for mandate in folders.mandates_of(conn, found.id):
            holder = None if mandate.account is None else accounts.get_account(conn, mandate.account)
            rows.append({**_view(mandate), "mailbox": None if holder is None else holder.mailbox})
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        ended = f"révoqué le {row['revoked_at']}" if row["revoked_at"] else f"jusqu'au {row['until'] or '–'}"
        typer.echo(f"{row['id']}  {row['mailbox'] or row['structure']}  ({row['origin']})  {ended}")


def _view(mandate: Mandate) -> dict[str, Any]:
    return {
        "id": mandate.id, "folder": mandate.folder, "account": mandate.account, "structure": mandate.structure,
        "origin": mandate.origin.value, "start": common.iso(mandate.start), "until": common.iso(mandate.until),
        "revoked_at": common.iso(mandate.revoked_at), "proof_grade": mandate.proof_grade,
    }  # fmt: skip
