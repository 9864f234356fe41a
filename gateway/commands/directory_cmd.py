"""`dcc directory import|show`: the national directory, and who is behind an address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.gateway.directory import Found

LEAST_PART = 0.5  # of the entries held: less is taken for a file that was cut
EVERY = 25_000


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="L'annuaire national des boîtes MSSanté, et les certificats.")
    group.command("import")(import_extraction)
    group.command("show")(show)
    app.add_typer(group, name="directory")


def import_extraction(
    file: Annotated[Path, typer.Argument(help="Extraction_Correspondance_MSSante : le ZIP, ou son texte.")],
    config: ConfigOption,
    fewer: Annotated[bool, typer.Option("--fewer", help="Accepter bien moins de boîtes qu'avant.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Remplace l'annuaire par une extraction de l'ANS déjà là ; l'ancien répond jusqu'à la fin.

    Exemple : dcc directory import Extraction_Correspondance_MSSante.zip -c dcc.toml
    """
    from dcc.cards.extraction import Extraction, NotAnExtraction
    from dcc.gateway.services import open_database
    from dcc.mailbox import directory

    settings = common.settings_of(config)
    count = 0
    with open_database(settings) as database:
        with database.read() as conn:
            held = directory.in_force(conn)
        name = directory.begin(database, common.now_utc())
        try:
            with Extraction(file) as source:
                for count in directory.add(database, name, source.rows()):
                    if count % EVERY == 0 and sys.stderr.isatty():
                        common.say(f"{count} boîtes")
                if count == 0 or (held is not None and not fewer and count < held.entries * LEAST_PART):
                    before = 0 if held is None else held.entries
                    raise NotAnExtraction(f"{count} boîtes, contre {before} avant (--fewer si c'est voulu)")
                directory.put_in_force(database, name, count, source.sha256)
        except NotAnExtraction as error:
            directory.clear(database)
            common.stop(f"refusé : {error} ; l'annuaire d'avant reste")
        except OSError as error:
            directory.clear(database)
            common.stop(f"{file} : illisible ({error.strerror})", common.EXIT_USAGE)
    if json_output:
        common.print_json({"entries": count, "skipped": source.skipped, "sha256": source.sha256})
        return
    typer.echo(f"{count} boîtes dans l'annuaire, {source.skipped} lignes passées")


def show(
    address: Annotated[str, typer.Argument(help="Une adresse.")],
    config: ConfigOption,
    message: Annotated[
        str | None, typer.Option(help="Un message vérifié de cette personne, qui porte peut-être un certificat.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Où écrire le certificat trouvé (PEM).")] = None,
    json_output: JsonOption = False,
) -> None:
    """Qui est derrière une adresse, et quel certificat chiffre pour elle. Sort 0 trouvé, 1 aucun, 3 inconnu.

    Dans l'ordre : inscrit avec le compte, LDAP, annuaire FHIR, pris d'un message vérifié (--message), aucun.
    Exemple : dcc directory show dr.martin@medecin.mssante.fr -c dcc.toml --out martin.pem
    """
    from ssl import DER_cert_to_PEM_cert

    from dcc.gateway.directory import NoSuchMail, look
    from dcc.gateway.services import open_services

    settings = common.settings_of(config)
    try:
        with open_services(settings) as services:
            found = look(services, address, now=common.now_utc(), message=message)
    except NoSuchMail as error:
        common.stop(f"--message : {error}")
    if out is not None and found.certificate is not None:
        out.write_text(DER_cert_to_PEM_cert(found.certificate.der), encoding="ascii")
    if json_output:
        common.print_json(_document(found))
    else:
        _tell(found)
    if found.unsure:
        raise typer.Exit(common.EXIT_UNKNOWN)
    if found.certificate is None:
        raise typer.Exit(common.EXIT_NO)


def _document(found: Found) -> dict[str, Any]:
    certificate = found.certificate
    return {
        "address": found.address,
        "listed": list(found.entries),
        "fhir": [
            {
                "kind": one.kind, "national_id": one.national_id, "family_name": one.family_name,
                "given_name": one.given_name, "name": one.name,
            }
            for one in found.resources
        ],
        "certificate": None if certificate is None else {
            "sha256": certificate.sha256, "subject": certificate.subject, "not_after": certificate.not_after,
        },
        "source": found.source,
        "tried": list(found.tried),
    }  # fmt: skip


def _tell(found: Found) -> None:
    for entry in found.entries:
        who = " ".join(one for one in (entry.given_name, entry.family_name, entry.structure_name) if one)
        typer.echo(f"{entry.kind}  {entry.national_id or entry.structure or '-'}  {who}")
    for one in found.tried:
        typer.echo(f"  {one.source:<10} {one.outcome}{'' if one.detail is None else f' ({one.detail})'}")
    if found.certificate is None:
        typer.echo("aucun certificat : un avis sans donnée de santé")
    else:
        typer.echo(f"certificat {found.certificate.sha256[:16]}… jusqu'au {found.certificate.not_after:%d/%m/%Y}")
