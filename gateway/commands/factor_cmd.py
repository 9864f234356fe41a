"""`dcc factor list|revoke`: the second factors of nomad mode, under a named operator and audited; never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dcc.mailbox.factors import Factor


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les seconds facteurs du mode nomade.")
    group.command("list")(list_factors)
    group.command("revoke")(revoke)
    app.add_typer(group, name="factor")


def list_factors(config: ConfigOption, network: people.NetworkOption = None, json_output: JsonOption = False) -> None:
    """Tous les seconds facteurs, finis compris. Exemple : dcc factor list --network rca -c dcc.toml"""
    from dcc.mailbox import factors

    now = common.now_utc()
    with people.opened(config) as services, services.database.read() as conn:
        rows = [_view(conn, one, now) for one in factors.in_network(conn, network)]
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']}  {row['mailbox']:<32} {row['kind']:<8} {row['state']:<10} {row['used_at'] or '–'}")


def revoke(
    factor: Annotated[str, typer.Argument(help="Identifiant du second facteur (dcc factor list).")],
    config: ConfigOption,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Met fin à un second facteur, tout de suite (téléphone perdu). Exemple : dcc factor revoke ID -c dcc.toml"""
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import factors
    from dcc.mailbox.changes import FactorRevoked

    def build(conn, _now):  # type: ignore[no-untyped-def]
        found = factors.get(conn, factor)
        if found is None:
            raise NotPossible("aucun second facteur ne porte cet identifiant")
        if found.revoked_at is not None:
            raise NotPossible("ce second facteur a déjà pris fin")
        return [FactorRevoked(found.id, found.account, factors.OPERATOR)]

    people.change(config, operator, build)
    people.answer({"id": factor, "revoked": True}, f"second facteur {factor} révoqué", as_json=json_output)


def _view(conn: Connection, one: Factor, now: Any) -> dict[str, Any]:
    """What may be told of a factor: whose, of which kind, with which card, and when; nothing that proves anything."""
    import hashlib

    from dcc.mailbox import people as store

    account = store.get_account(conn, one.account)
    state = "revoked" if one.revoked_at else "active" if one.active else "pending" if one.pending(now) else "expired"
    return {
        "id": one.id, "account": one.account, "mailbox": None if account is None else account.mailbox,
        "network": None if account is None else account.network, "kind": one.kind, "state": state,
        "card_sha256": hashlib.sha256(one.card).hexdigest(), "created_at": common.iso(one.created_at),
        "confirmed_at": common.iso(one.confirmed_at), "used_at": common.iso(one.used_at),
        "revoked_at": common.iso(one.revoked_at), "because": one.because, "failures": one.failures,
    }  # fmt: skip
