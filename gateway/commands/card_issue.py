"""`dcc card issue`: a look-alike card for a test PKI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption

KINDS = ("CPS", "CPF", "CPE", "CPA")


def issue_card(
    pki: Annotated[Path, typer.Option("--pki", help="Le dossier de l'IGC de test ; vide, elle y est faite.")],
    out: Annotated[Path, typer.Option("--out", help="Où écrire la carte.")],
    family_name: Annotated[str, typer.Option("--family-name", help="Nom du porteur.")],
    given_name: Annotated[str, typer.Option("--given-name", help="Prénom du porteur.")],
    kind: Annotated[str, typer.Option("--kind", help=" | ".join(KINDS))] = "CPS",
    idnps: Annotated[str | None, typer.Option("--idnps", help="Identifiant national, de test.")] = None,
    profession: Annotated[int, typer.Option("--profession", help="Code G15 : 10 médecin, 60 infirmier…")] = 10,
    specialty: Annotated[list[str] | None, typer.Option("--specialty", help="Code R01 ; répétable.")] = None,
    structure: Annotated[str | None, typer.Option("--structure", help="IDNST, pour une CPE ou une CPA.")] = None,
    structure_name: Annotated[str, typer.Option("--structure-name")] = "ETABLISSEMENT DE TEST",
    department: Annotated[str, typer.Option("--department")] = "Paris (75)",
    encryption: Annotated[
        str | None, typer.Option("--encryption", help="Une adresse : ajoute un certificat de chiffrement.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="Durée.")] = 1095,
    config: Annotated[Path | None, typer.Option("-c", "--config", help="L'instance de test concernée.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Une carte d'essai, semblable à une vraie ; refusé sur une instance de production.

    Exemple : dcc card issue --pki igc --out carte --family-name DUPONT --given-name ANNE --profession 10
    """
    from dcc.cards.issue import CardKind
    from dcc.gateway.cardissue import PASSWORD, TEST_RPPS, CardWanted, IssueRefused, issue

    if kind not in KINDS:
        common.stop(f"--kind : {', '.join(KINDS)}", common.EXIT_USAGE)
    place = None if structure is None else (department, structure_name, structure)
    wanted = CardWanted(
        kind=cast("CardKind", kind), family_name=family_name, given_name=given_name, out=out,
        idnps=idnps or TEST_RPPS, profession=profession, specialties=tuple(specialty or ()), structure=place,
        encryption=encryption, days=days,
    )  # fmt: skip
    try:
        written = issue(wanted, pki, config, now=common.now_utc().replace(microsecond=0))
    except IssueRefused as error:
        common.stop(f"refusé : {error}", common.EXIT_USAGE if error.usage else common.EXIT_NO)
    except OSError as error:
        common.stop(f"on ne peut pas écrire : {error.strerror}", common.EXIT_USAGE)
    if json_output:
        common.print_json({"files": [str(one) for one in written], "password": PASSWORD})
        return
    for path in written:
        typer.echo(str(path))
    common.say(f"carte d'essai ; mot de passe des .p12 : {PASSWORD}")
