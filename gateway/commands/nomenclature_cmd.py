"""`dcc nomenclature list|show|update`: the tables of codes, and their renewal from the published files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption

if TYPE_CHECKING:
    from dcc.cards.nomenclature import Table

HIGHEST_SIZE = 200 << 20  # the whole package of ANS


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les nomenclatures : professions, spécialités, secteurs, cartes.")
    group.command("list")(list_tables)
    group.command("show")(show)
    group.command("update")(update)
    app.add_typer(group, name="nomenclature")


def list_tables(json_output: JsonOption = False) -> None:
    """Les tables connues, leur origine, leur version et leur date. Exemple : dcc nomenclature list"""
    from dcc.cards.nomenclature import PROBLEM, TABLES

    rows = [
        {
            "table": one.name, "label": one.label, "oid": one.oid, "source": one.source, "version": one.version,
            "published": one.published, "licence": one.licence, "complete": one.complete, "codes": len(one.codes),
            "withdrawn": len(one.withdrawn),
        }
        for one in sorted(TABLES.values(), key=lambda one: one.name)
    ]  # fmt: skip
    if PROBLEM is not None:
        common.say(PROBLEM)
    if json_output:
        common.print_json(rows)
        return
    for row in rows:
        state = "complète" if row["complete"] else "extrait"
        gone = f", dont {row['withdrawn']} retirés" if row["withdrawn"] else ""
        when = f", publiée le {row['published']}" if row["published"] else ""
        typer.echo(f"{row['table']:<5} {row['codes']:>4} codes ({state}{gone})  {row['label']} ({row['source']}{when})")
    if not all(row["complete"] for row in rows):
        typer.echo("Les extraits se complètent par dcc nomenclature update, avec les fichiers que publie l'ANS.")


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
        common.print_json({
            "table": found.name, "label": found.label, "source": found.source, "version": found.version,
            "complete": found.complete, "codes": rows,
        })  # fmt: skip
        return
    for row in rows:
        typer.echo(f"{row['code']:<6} {row['label']}{' (retiré)' if row['withdrawn'] else ''}")


def update(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="Fichiers publiés par l'ANS : CodeSystem FHIR (JSON ou FSH), ou leur archive ZIP ou .tgz.",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Où écrire (puis DCC_NOMENCLATURES=CE_FICHIER) ; sinon les données en vigueur."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Dire ce qui changerait, sans rien écrire.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Met à jour les tables depuis des fichiers déjà là ; rien n'est téléchargé. Un code disparu reste, retiré.

    D'une archive, seules les tables des cartes sont prises (TRE_G00 à G20, TRE_R01 à R03).
    Exemple : dcc nomenclature update TRE_R01-EnsembleSavoirFaire-CISIS.json --to /var/lib/dcc/nomenclatures.json
    """
    from dcc.cards import nomenclature

    tables = dict(nomenclature.TABLES)
    told: list[dict[str, Any]] = []
    for path in files:
        for name, new in _published(path).items():
            held = tables.get(name)
            tables[name] = nomenclature.updated(held, new)
            told.append(_change(held, new, tables[name]))
    place = to or nomenclature.place()
    if not dry_run:
        _write(place, nomenclature.text_of(tables))
    if json_output:
        common.print_json({"tables": told, "written": None if dry_run else str(place)})
        return
    for row in told:
        typer.echo(
            f"{row['table']} {row['label']} : {row['codes']} codes, {len(row['added'])} nouveaux,"
            f" {len(row['relabelled'])} libellés changés, {len(row['withdrawn'])} retirés"
            f" (version {row['version'] or 'non dite'}, licence {row['licence'] or 'non dite par le fichier'})"
        )
    typer.echo("rien n'a été écrit (--dry-run)" if dry_run else f"écrit dans {place}")


def _published(path: Path) -> dict[str, Table]:
    from dcc.cards.nomenclature import NotANomenclature
    from dcc.cards.nomenclature_files import published

    try:
        with path.open("rb") as file:
            data = file.read(HIGHEST_SIZE + 1)
        if len(data) > HIGHEST_SIZE:
            common.stop(f"{path} : trop grand")
        return published(data)
    except OSError as error:
        common.stop(f"{path} : illisible ({error.strerror})", common.EXIT_USAGE)
    except NotANomenclature as error:
        common.stop(f"{path} : {error} ; rien n'a été changé")


def _change(held: Table | None, new: Table, now: Table) -> dict[str, Any]:
    before: dict[str, str] = {} if held is None else dict(held.codes)
    ended: frozenset[str] = frozenset() if held is None else held.withdrawn
    return {
        "table": new.name, "label": new.label, "version": new.version, "published": new.published, "licence": new.licence,
        "codes": len(new.codes), "added": [] if held is None else sorted(set(new.codes) - set(before)),
        "relabelled": sorted(code for code, label in new.codes.items() if before.get(code, label) != label),
        "withdrawn": sorted(now.withdrawn - ended),
    }  # fmt: skip


def _write(place: Path, text: str) -> None:
    part = place.with_name(f".{place.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(place)
    except OSError as error:
        common.stop(f"{place} : on ne peut pas y écrire ({error.strerror}) ; --to FICHIER écrit ailleurs")
