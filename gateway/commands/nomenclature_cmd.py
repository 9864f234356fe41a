"""`dcc nomenclature list|show|update`: the tables of codes, and their renewal from the published files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption

HIGHEST_SIZE = 20 << 20


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les nomenclatures : professions, spécialités, secteurs, cartes.")
    group.command("list")(list_tables)
    group.command("show")(show)
    group.command("update")(update)
    app.add_typer(group, name="nomenclature")


def list_tables(json_output: JsonOption = False) -> None:
    """Les tables connues, leur origine et leur version. Exemple : dcc nomenclature list"""
    from dcc.cards.nomenclature import TABLES

    rows = [
        {
            "table": one.name, "label": one.label, "source": one.source, "version": one.version,
            "complete": one.complete, "codes": len(one.codes),
        }
        for one in TABLES.values()
    ]  # fmt: skip
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['table']:<5} {row['codes']:>4} codes  {row['label']} ({row['source']})")


def show(
    table: Annotated[str, typer.Argument(help="G15, R01, R02…")],
    code: Annotated[str | None, typer.Argument(help="Un code ; sinon toute la table.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Les codes d'une table et leurs libellés. Sort 1 pour un code inconnu. Exemple : dcc nomenclature show R01 SM36"""
    from dcc.cards.nomenclature import TABLES

    found = TABLES.get(table.upper())
    if found is None:
        common.stop(f"table inconnue : {table} (connues : {', '.join(sorted(TABLES))})", common.EXIT_USAGE)
    if code is not None and code not in found.codes:
        common.stop(f"{found.name} n'a pas de code {code}" + ("" if found.complete else " (table incomplète)"))
    codes = found.codes if code is None else {code: found.codes[code]}
    rows = [{"code": one, "label": label, "withdrawn": one in found.withdrawn} for one, label in codes.items()]
    if json_output:
        common.print_json({"table": found.name, "label": found.label, "source": found.source, "codes": rows})
        return
    for row in rows:
        typer.echo(f"{row['code']:<6} {row['label']}{' (retiré)' if row['withdrawn'] else ''}")


def update(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Fichiers publiés par l'ANS (CodeSystem, JSON).")
    ],
    to: Annotated[Path | None, typer.Option("--to", help="Où écrire ; sinon les données du programme.")] = None,
    json_output: JsonOption = False,
) -> None:
    """Met à jour les tables depuis des fichiers déjà là ; rien n'est téléchargé. Un code disparu reste, retiré.

    Exemple : dcc nomenclature update TRE_R01-EnsembleSavoirFaire-CISIS.json TRE_G15-ProfessionSante.json
    """
    from dcc.cards import nomenclature

    tables = dict(nomenclature.TABLES)
    told: list[dict[str, Any]] = []
    for path in files:
        try:
            with path.open("rb") as file:
                data = file.read(HIGHEST_SIZE + 1)
            if len(data) > HIGHEST_SIZE:
                common.stop(f"{path} : trop grand")
            found = nomenclature.published(data)
        except OSError as error:
            common.stop(f"{path} : illisible ({error.strerror})", common.EXIT_USAGE)
        except nomenclature.NotANomenclature as error:
            common.stop(f"{path} : {error} ; rien n'a été changé")
        for name, new in found.items():
            held = tables.get(name)
            tables[name] = nomenclature.updated(held, new)
            added = [] if held is None else sorted(set(new.codes) - set(held.codes))
            withdrawn = sorted(tables[name].withdrawn - (frozenset() if held is None else held.withdrawn))
            told.append({"table": name, "codes": len(new.codes), "added": added, "withdrawn": withdrawn})
    place = to or nomenclature.DATA
    part = place.with_name(f".{place.name}.part")
    try:
        part.write_text(nomenclature.text_of(tables), encoding="utf-8")
        part.replace(place)
    except OSError as error:
        common.stop(f"{place} : on ne peut pas y écrire ({error.strerror})")
    if json_output:
        common.print_json({"tables": told, "written": str(place)})
        return
    for row in told:
        typer.echo(
            f"{row['table']} : {row['codes']} codes, {len(row['added'])} nouveaux, {len(row['withdrawn'])} retirés"
        )
