"""`dcc account list|show|validate|refuse|suspend|language|partner`: who may deposit and read, under a name and audited."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption
from dcc.gateway.commands.people import OperatorOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from dcc.gateway.services import Services
    from dcc.gateway.settings import Settings
    from dcc.mailbox.records import Delivery

AccountArgument = Annotated[str, typer.Argument(help="Identifiant du compte ou adresse de la boîte.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les comptes des professionnels et des établissements.")
    group.command("list")(list_accounts)
    group.command("show")(show)
    group.command("validate")(validate)
    group.command("refuse")(refuse)
    group.command("suspend")(suspend)
    group.command("language")(language)
    group.command("partner")(partner)
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
    """Valide un compte ; la personne est prévenue. Exemple : dcc account validate a@x.example -c dcc.toml"""
    _set_state(account, config, operator, json_output, "validated")


def suspend(
    account: AccountArgument,
    config: ConfigOption,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Suspend un compte, tout de suite. Exemple : dcc account suspend a@x.example -c dcc.toml"""
    _set_state(account, config, operator, json_output, "suspended")


def refuse(
    account: AccountArgument,
    config: ConfigOption,
    motive: Annotated[str, typer.Option("--reason", help="Le motif, dit à la personne si son mail est chiffré.")] = "",
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Refuse une demande de compte ; la personne est prévenue. Exemple : dcc account refuse a@x.example -c dcc.toml"""
    _set_state(account, config, operator, json_output, "refused", motive.strip())


def language(
    account: AccountArgument,
    wanted: Annotated[str, typer.Argument(metavar="fr|en", help="La langue des mails à cette personne.")],
    config: ConfigOption,
    network: people.NetworkOption = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Change la langue des mails d'un compte, dès le suivant. Exemple : dcc account language a@x.example en -c dcc.toml"""
    from dcc.gateway.administering import NotPossible
    from dcc.gateway.views import account_view
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import LanguageChosen

    if wanted not in {"fr", "en"}:
        common.stop("la langue : fr ou en", common.EXIT_USAGE)
    found: list[str] = []

    def build(conn: Connection, _now: datetime) -> list[LanguageChosen]:
        named = store.get_account(conn, account)
        accounts = [named] if named else store.by_mailbox(conn, network, account)
        accounts = [one for one in accounts if network is None or one.network == network]
        if not accounts:
            raise NotPossible("aucun compte ne porte cet identifiant ou cette adresse")
        found.extend(one.id for one in accounts)
        return [LanguageChosen(one.id, wanted) for one in accounts if one.language != wanted]

    people.change(config, operator, build)
    with people.opened(config) as services, services.database.read() as conn:
        views = [account_view(one) for one in store.some_accounts(conn, found)]
    if json_output:
        common.print_json(views)
        return
    for view in views:
        typer.echo(f"{view['mailbox']} ({view['network']}) : {view['language']}")


def show(account: AccountArgument, config: ConfigOption, json_output: JsonOption = False) -> None:
    """Un compte, ses délégations, ses mandats. Exemple : dcc account show a@x.example -c dcc.toml"""
    from dcc.gateway.views import account_view
    from dcc.mailbox import delegations
    from dcc.mailbox import people as store

    with people.opened(config) as services, services.database.read() as conn:
        named = store.get_account(conn, account)
        found = [named] if named else store.by_mailbox(conn, None, account)
        rows = [
            {
                **account_view(one),
                "delegations": [
                    {"id": d.id, "secretary": d.secretary, "professional": d.professional, "until": common.iso(d.until)}
                    for d in delegations.of_account(conn, one.id)
                ],
            }
            for one in found
        ]
    if not rows:
        common.stop("aucun compte ne porte cet identifiant ou cette adresse")
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        who = " ".join(filter(None, (row["given_name"], row["family_name"]))) or row["structure"]
        typer.echo(f"{who} – {row['mailbox']} ({row['network']}), {row['role']} : {row['state']}")


def partner(
    address: Annotated[str, typer.Argument(help="La boîte du partenaire, dans un de ses domaines.")],
    config: ConfigOption,
    network: Annotated[str, typer.Option("--network", help="Le réseau où il prend part.")],
    structure: Annotated[str, typer.Option("--structure", help="IDNST de la structure, par exemple 10B0001234.")],
    role: Annotated[str, typer.Option("--role", help="Son rôle.")] = "automaton",
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Son certificat de chiffrement (PEM/DER) ; sinon celui de ses messages."),
    ] = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Enrôle la boîte d'un partenaire sans carte (section partners de dcc.toml).

    Exemple : dcc account partner labo@p.example --network N --structure 10B0001234 -c dcc.toml
    """
    from dcc.cards.identifiers import idnst
    from dcc.gateway.administering import NotPossible
    from dcc.gateway.views import account_view
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import AccountMoved, AccountRequested, Change
    from dcc.mailbox.records import Account, AccountState
    from dcc.mailbox.rows import new_id

    box = address.lower()
    settings = common.settings_of(config)
    if box.rpartition("@")[2] not in {domain for one in settings.partners for domain in one.domains}:
        common.stop("cette adresse n'est dans le domaine d'aucun partenaire de dcc.toml", common.EXIT_USAGE)
    encryption = None if certificate is None else _recipient(settings, certificate, box)
    if not idnst(structure).valid:
        common.stop("--structure : ce n'est pas un identifiant de structure", common.EXIT_USAGE)

    def build(conn: Connection, _now: datetime) -> list[Change]:
        if store.get_network(conn, network) is None:
            raise NotPossible("aucun réseau ne porte cet identifiant")
        if store.by_mailbox(conn, network, box):
            raise NotPossible("cette boîte a déjà un compte dans ce réseau")
        made = Account(
            id=new_id(), network=network, kind="organisation", national_id=structure, family_name=None,
            given_name=None, profession=None, structure=structure, mailbox=box, role=role,
            state=AccountState.REQUESTED, encryption_certificate=encryption,
        )  # fmt: skip
        return [AccountRequested(made), AccountMoved(made.id, (AccountState.REQUESTED,), AccountState.VALIDATED)]

    changes, _ = people.change(config, operator, build)
    (account,) = [one.account for one in changes if isinstance(one, AccountMoved)]
    with people.opened(config) as services, services.database.read() as conn:
        found = store.get_account(conn, account)
    view = None if found is None else account_view(found)
    if json_output:
        common.print_json(view)
    elif view is not None:
        typer.echo(f"{view['mailbox']} ({view['network']}) : {view['state']}")


def _recipient(settings: Settings, path: Path, mailbox: str) -> bytes:
    """The certificate, once the partner's own anchors say that one may encrypt to it for this mailbox."""
    from dcc.gateway.partners import open_partners, partner_of
    from dcc.gateway.sealing import SealingRefused, certificates_of

    try:
        found = certificates_of(path)
    except SealingRefused as error:
        common.stop(str(error), common.EXIT_USAGE)
    partner = partner_of(open_partners(settings), mailbox)
    verdict = None if partner is None else partner.judge_recipient(found[0], mailbox, common.now_utc()).value
    if verdict != "VALID":
        common.stop(f"--certificate : refusé pour cette boîte par les racines de son partenaire ({verdict})")
    return found[0]


def _set_state(name: str, config: Path, operator: str, json_output: bool, state: str, motive: str = "") -> None:
    from dcc.gateway.administering import NotPossible, told_of_decision
    from dcc.gateway.views import account_view
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import AccountMoved, Change
    from dcc.mailbox.records import AccountState

    wanted = AccountState(state)

    def build(conn: Connection, _now: datetime) -> list[Change]:
        named = store.get_account(conn, name)
        found = [named] if named else store.by_mailbox(conn, None, name)
        if not found:
            raise NotPossible("aucun compte ne porte cet identifiant ou cette adresse")
        return [AccountMoved(one.id, tuple(AccountState), wanted) for one in found]

    def mails(services: Services, conn: Connection, changes: Sequence[Change], now: datetime) -> Sequence[Delivery]:
        if wanted is AccountState.SUSPENDED:
            return ()
        found = [store.get_account(conn, one.account) for one in changes if isinstance(one, AccountMoved)]
        return [
            told_of_decision(one, wanted, motive, services, now) for one in found if one and one.state is not wanted
        ]

    changes, _ = people.change(config, operator, build, mails)
    moved = [one.account for one in changes if isinstance(one, AccountMoved)]
    with people.opened(config) as services, services.database.read() as conn:
        views = [account_view(one) for one in (store.get_account(conn, each) for each in moved) if one]
    if json_output:
        common.print_json(views)
        return
    for view in views:
        typer.echo(f"{view['mailbox']} ({view['network']}) : {view['state']}")
