"""`dcc delegation add|revoke|list`: which secretary may feed folders for which mandated professional."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.mailbox.records import Delegation


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les délégations d'un professionnel à une secrétaire.")
    group.command("add")(add)
    group.command("revoke")(revoke)
    group.command("list")(list_delegations)
    app.add_typer(group, name="delegation")


def add(
    config: ConfigOption,
    secretary: Annotated[str, typer.Option("--secretary", help="Compte ou adresse de la secrétaire.")],
    professional: Annotated[str, typer.Option("--professional", help="Compte ou adresse du professionnel.")],
    network: people.NetworkOption = None,
    until: people.UntilOption = None,
    types: Annotated[list[str] | None, typer.Option("--type", help="Type de document permis ; répétable.")] = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Donne une délégation. Exemple : dcc delegation add --secretary s@x.example --professional d@x.example -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, account_named
    from dcc.mailbox.changes import DelegationGiven
    from dcc.mailbox.records import Delegation
    from dcc.mailbox.rows import new_id
    from dcc.router.roles import Role, role_of

    end = people.end_of(until)

    def build(conn, now):  # type: ignore[no-untyped-def]
        lender = account_named(conn, professional, network)
        helper = account_named(conn, secretary, lender.network)
        if role_of(helper) is not Role.SECRETARY or role_of(lender) not in {Role.PROFESSIONAL, Role.COORDINATOR}:
            raise NotPossible("une délégation va d'un professionnel à une secrétaire du même réseau")
        if end is not None and end <= now:
            raise NotPossible("la fin de la délégation est déjà passée")
        return [
            DelegationGiven(
                Delegation(new_id(), lender.network, helper.id, lender.id, now, end, None, tuple(types or ()))
            )
        ]

    changes, _ = people.change(config, operator, build)
    given = next(one.delegation for one in changes if isinstance(one, DelegationGiven))
    people.answer(_view(given), f"délégation {given.id} donnée", as_json=json_output)


def revoke(
    delegation: Annotated[str, typer.Argument(help="Identifiant de la délégation (dcc delegation list).")],
    config: ConfigOption,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Met fin à une délégation, tout de suite. Exemple : dcc delegation revoke ID -c dcc.toml"""
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import delegations
    from dcc.mailbox.changes import DelegationRevoked

    def build(conn, _now):  # type: ignore[no-untyped-def]
        if delegations.get(conn, delegation) is None:
            raise NotPossible("aucune délégation ne porte cet identifiant")
        return [DelegationRevoked(delegation)]

    people.change(config, operator, build)
    people.answer({"id": delegation, "revoked": True}, f"délégation {delegation} révoquée", as_json=json_output)


def list_delegations(
    config: ConfigOption, network: people.NetworkOption = None, json_output: JsonOption = False
) -> None:
    """Toutes les délégations, finies comprises. Exemple : dcc delegation list --network rca -c dcc.toml"""
    from dcc.mailbox import delegations

    with people.opened(config) as services, services.database.read() as conn:
        rows = [_view(one) for one in delegations.in_network(conn, network)]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['professional']} → {row['secretary']}  jusqu'au {row['until'] or '–'}")


def _view(one: Delegation) -> dict[str, Any]:
    return {
        "id": one.id, "network": one.network, "secretary": one.secretary, "professional": one.professional,
        "start": common.iso(one.start), "until": common.iso(one.until), "revoked_at": common.iso(one.revoked_at),
        "types": list(one.types),
    }  # fmt: skip
