"""`dcc folder open|close`: a folder begins with an identity, a consent and its creator's mandate; and ends."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(group: typer.Typer) -> None:
    """Add both commands to the group of folders."""
    group.command("open")(open_folder)
    group.command("close")(close)


def open_folder(
    config: ConfigOption,
    network: Annotated[str, typer.Option("--network", help="Identifiant du réseau.")],
    creator: Annotated[str, typer.Option("--creator", help="Compte ou adresse du professionnel qui l'ouvre.")],
    form: Annotated[str, typer.Option("--form", help="Version du formulaire de consentement signé.")],
    ins: Annotated[str, typer.Option("--ins", help="Matricule INS : 15 caractères, clé comprise.")],
    oid: Annotated[str, typer.Option("--oid", help="Domaine (OID) du matricule.")],
    birth_name: Annotated[str, typer.Option("--birth-name", help="Nom de naissance.")],
    given_names: Annotated[str, typer.Option("--given-names", help="Tous les prénoms, le premier d'abord.")],
    sex: Annotated[str, typer.Option("--sex", help="M ou F.")],
    birth_date: Annotated[str, typer.Option("--birth-date", help="AAAA-MM-JJ.")],
    birth_place: Annotated[str, typer.Option("--birth-place", help="Code INSEE (COG) du lieu de naissance.")],
    checked: Annotated[bool, typer.Option("--identity-checked/--not-checked", help="Identité contrôlée.")] = False,
    proof: Annotated[str | None, typer.Option("--proof", help="Où est le formulaire signé.")] = None,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Ouvre un dossier, consentement recueilli. Exemple : dcc folder open --network rca --creator d@x.example … -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, account_named
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import FolderOpened
    from dcc.router.folderopening import Opening, plan_opening
    from dcc.router.reasons import Reason
    from dcc.router.request import PatientIdentity

    names = tuple(given_names.split())
    traits = PatientIdentity(
        ins=ins, oid=oid, birth_name=birth_name, first_given=names[0] if names else None, given_names=names,
        sex=sex if sex in {"M", "F"} else None, birth_date=birth_date.replace("-", ""), birth_place=birth_place,
    )  # fmt: skip
    environment = common.settings_of(config).gateway.environment

    def build(conn, now):  # type: ignore[no-untyped-def]
        found = store.get_network(conn, network)
        if found is None:
            raise NotPossible("aucun réseau ne porte cet identifiant")
        account = account_named(conn, creator, network)
        planned = plan_opening(
            Opening(traits, checked, form, proof), account, found, conn=conn, environment=environment, now=now,
            random_bytes=os.urandom,
        )  # fmt: skip
        if isinstance(planned, Reason):
            hint = " Pour en publier une : dcc network form." if planned.code == "D2R-CNS03" else ""
            raise NotPossible(f"{planned.code} : {planned.sender_fr}{hint}")
        return [planned]

    changes, _ = people.change(config, operator, build)
    opened = next(one.folder for one in changes if isinstance(one, FolderOpened))
    view = {"id": opened.id, "reference": opened.reference, "address": opened.address, "network": opened.network}
    people.answer(view, f"dossier {opened.reference} ouvert : {opened.address}", as_json=json_output)


def close(
    folder: people.FolderArgument,
    config: ConfigOption,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Clôt un dossier : plus rien n'y est classé ni lu, la trace reste. Exemple : dcc folder close D-7F3K-9QXA -c dcc.toml"""
    from dcc.gateway.administering import NotPossible, folder_named
    from dcc.mailbox.changes import FolderClosed

    def build(conn, _now):  # type: ignore[no-untyped-def]
        found = folder_named(conn, folder)
        if found.closed_at is not None:
            raise NotPossible("ce dossier est déjà clos")
        return [FolderClosed(found.id)]

    people.change(config, operator, build)
    people.answer({"folder": folder, "closed": True}, "dossier clos", as_json=json_output)
