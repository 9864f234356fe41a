"""`dcc network add|list|form|forms|rules`: the networks that this platform carries, their consent forms and rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption
from dcc.gateway.commands.network_rules import rules


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les réseaux portés par la plate-forme.")
    group.command("add")(add)
    group.command("list")(list_networks)
    group.command("form")(form)
    group.command("forms")(list_forms)
    group.command("rules")(rules)
    app.add_typer(group, name="network")


def add(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Identifiant court, par exemple rca.")],
    config: ConfigOption,
    name: Annotated[str, typer.Option("--name", help="Nom du réseau, tel qu'on le lit.")],
    address: Annotated[str, typer.Option("--address", help="Adresse de dépôt du réseau sur cette passerelle.")],
    phone: Annotated[str, typer.Option("--support-phone", help="Téléphone de l'assistance.")],
    mail: Annotated[str, typer.Option("--support-mail", help="Adresse de l'assistance.")],
    registration: Annotated[str | None, typer.Option("--registration", help="Adresse d'inscription par mail.")] = None,
    nomad: Annotated[bool, typer.Option("--nomad/--no-nomad", help="Lecture permise en mode nomade.")] = True,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Ajoute un réseau. Exemple : dcc network add rca --name "RCA" --address depot@rca.example … -c dcc.toml"""
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import NetworkAdded
    from dcc.mailbox.records import Network

    if not identifier.isascii() or not identifier.replace("-", "").isalnum() or len(identifier) > 40:
        common.stop("ID : des lettres, des chiffres et des traits d'union, 40 au plus", common.EXIT_USAGE)
    addresses = [one for one in (address, registration, mail) if one is not None]
    if any(one.count("@") != 1 or not all(one.split("@")) for one in addresses):
        common.stop("--address, --registration et --support-mail sont des adresses", common.EXIT_USAGE)
    network = Network(
        id=identifier.lower(), name=name, domain=address.rpartition("@")[2].lower(), address=address.lower(),
        support_phone=phone, support_mail=mail, registration=None if registration is None else registration.lower(),
        nomad_reads=nomad,
    )  # fmt: skip

    def build(conn, _now):  # type: ignore[no-untyped-def]
        known = store.list_networks(conn)
        taken = {one.address for one in known} | {one.registration for one in known if one.registration is not None}
        if taken & {network.address, network.registration}:
            raise NotPossible("une de ces adresses est déjà celle d'un réseau")
        return [NetworkAdded(network)]

    people.change(config, operator, build)
    people.answer(network, f"réseau {network.id} ajouté", as_json=json_output)


def list_networks(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les réseaux et leur assistance. Exemple : dcc network list -c dcc.toml"""
    from dcc.mailbox import people as store

    with people.opened(config) as services, services.database.read() as conn:
        rows = store.list_networks(conn)
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row.id:<10} {row.name}  {row.address}  inscription : {row.registration or '–'}")


def form(
    network: Annotated[str, typer.Argument(help="Identifiant du réseau.")],
    config: ConfigOption,
    version: Annotated[str, typer.Option("--version", help="Version du formulaire, par exemple 2026-1.")],
    title: Annotated[str, typer.Option("--title", help="Titre du formulaire.")],
    text: Annotated[Path, typer.Option("--text", help="Fichier texte (UTF-8) du formulaire.")],
    language: Annotated[str, typer.Option("--language", help="fr ou en.")] = "fr",
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Publie une version du formulaire d'information. Exemple : dcc network form rca --version 2026-1 --title … --text f.txt"""
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import FormPublished
    from dcc.mailbox.records import ConsentForm

    if language not in {"fr", "en"}:
        common.stop("--language : fr ou en", common.EXIT_USAGE)
    try:
        words = text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        common.stop(f"--text {text} : fichier illisible, ou pas en UTF-8", common.EXIT_USAGE)

    def build(conn, now):  # type: ignore[no-untyped-def]
        if store.get_network(conn, network) is None:
            raise NotPossible("aucun réseau ne porte cet identifiant")
        return [FormPublished(ConsentForm(network, version, language, title, words, now))]

    people.change(config, operator, build)
    view = {"network": network, "version": version, "language": language, "title": title}
    people.answer(view, f"formulaire {version} publié", as_json=json_output)


def list_forms(
    network: Annotated[str, typer.Argument(help="Identifiant du réseau.")],
    config: ConfigOption,
    json_output: JsonOption = False,
) -> None:
    """Les versions publiées du formulaire, la plus récente d'abord. Exemple : dcc network forms rca -c dcc.toml"""
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import consentforms
    from dcc.mailbox import people as store

    with people.opened(config) as services, services.database.read() as conn:
        if store.get_network(conn, network) is None:
            raise NotPossible("aucun réseau ne porte cet identifiant")
        rows = consentforms.versions(conn, network)
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row.version:<12} {row.language}  depuis le {row.since:%d/%m/%Y}  {row.title}")
