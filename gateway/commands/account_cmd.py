"""`dcc account list|validate|suspend`: who may deposit and read, under a named operator and audited."""

from __future__ import annotations

from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")]
AccountArgument = Annotated[str, typer.Argument(help="Identifiant du compte ou adresse de la boîte.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les comptes des professionnels et des établissements.")
    group.command("list")(list_accounts)
    group.command("validate")(validate)
    group.command("suspend")(suspend)
    app.add_typer(group, name="account")


def list_accounts(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Tous les comptes. Exemple : dcc account list -c dcc.toml --json"""
    from dcc.gateway.services import open_database
    from dcc.gateway.views import account_view
    from dcc.mailbox import people

    settings = common.settings_of(config)
    with open_database(settings) as database, database.read() as conn:
        rows = [account_view(a) for a in people.list_accounts(conn)]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['network']:<8} {row['state']:<17} {row['role']:<14} {row['mailbox']}")


def validate(
    account: AccountArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Valide un compte : il peut déposer et lire. Exemple : dcc account validate a@x.example -c dcc.toml"""
    _set_state(account, config, operator, json_output, "validated")


def suspend(
    account: AccountArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Suspend un compte, tout de suite. Exemple : dcc account suspend a@x.example -c dcc.toml"""
    _set_state(account, config, operator, json_output, "suspended")


def _set_state(name, config, operator, json_output, state) -> None:  # type: ignore[no-untyped-def]
    from dcc.gateway.services import open_services
    from dcc.gateway.views import account_view
    from dcc.mailbox import people
    from dcc.mailbox.records import AccountState, AuditRecord

    if not operator:
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services, services.database.begin() as conn:
        named = people.get_account(conn, name)
        found = [named] if named else people.by_mailbox(conn, None, name.lower())
        for account in found:
            people.set_account_state(conn, account.id, AccountState(state))
            services.audit.append(
                conn,
                AuditRecord(
                    at=common.now_utc(), tag=f"operator:account:{state}", actor=f"operator:{operator}",
                    certificate=None, message=None, mail_message_id=None, folder=None, document=None,
                    decision="done", code=None, detail=f'{{"account": "{account.id}"}}',
                ),
            )  # fmt: skip
        views = [account_view(a) for a in (people.get_account(conn, f.id) for f in found) if a]
    if not views:
        common.stop("aucun compte ne porte cet identifiant ou cette adresse")
    if json_output:
        common.print_json(views)
        return
    for view in views:
        typer.echo(f"{view['mailbox']} ({view['network']}) : {view['state']}")
