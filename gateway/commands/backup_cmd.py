"""`dcc backup`, `dcc restore --verify`: a copy of a running instance, and the proof that it works."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    config: ConfigOption,
    target: Annotated[Path, typer.Argument(help="Un dossier vide, ou à créer.")],
    json_output: JsonOption = False,
) -> None:
    """Copie l'instance, clés comprises, pendant qu'elle tourne. Exemple : dcc backup /sauvegarde/2026-11-23 -c dcc.toml"""
    from dcc.gateway.backup import CannotBackUp, back_up

    settings = common.settings_of(config)
    try:
        outside = back_up(settings, target)
    except CannotBackUp as error:
        common.stop(str(error))
    except OSError as error:
        common.stop(f"la copie a échoué : {error.strerror}")
    for line in outside:
        common.say(f"hors de l'instance, à sauvegarder à part : {line}")
    if json_output:
        common.print_json({"target": str(target), "outside": outside})
        return
    typer.echo(f"copie faite dans {target} ; vérifiez-la : dcc restore {target} --verify")


def restore(
    source: Annotated[Path, typer.Argument(help="Le dossier d'une copie.")],
    target: Annotated[Path | None, typer.Argument(help="Où remettre l'instance ; absent avec --verify seul.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Vérifie que tout est là et lisible.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Remet une copie en place et la vérifie. Exemples : dcc restore COPIE --verify ; dcc restore COPIE /srv/dcc --verify"""
    from dcc.gateway.backup import CannotBackUp, put_back
    from dcc.gateway.restored import verify as verify_instance

    if target is None and not verify:
        common.stop("dites où remettre l'instance, ou --verify", common.EXIT_USAGE)
    if target is not None:
        try:
            put_back(source, target)
        except CannotBackUp as error:
            common.stop(str(error))
        except OSError as error:
            common.stop(f"la copie a échoué : {error.strerror}")
        _warn(target)
    if not verify:
        if json_output:
            common.print_json({"target": str(target)})
        else:
            typer.echo(f"instance remise dans {target}")
        return
    found = verify_instance(target or source)
    if json_output:
        common.print_json({**asdict(found), "ok": found.ok})
    else:
        typer.echo(
            f"trace {'intacte' if found.audit_ok else 'ROMPUE'}, {found.messages} messages, {found.documents} pièces"
        )
        for line in found.missing:
            typer.echo(f"  MANQUE : {line}")
    if not found.ok:
        raise typer.Exit(common.EXIT_NO)


def _warn(target: Path) -> None:
    """What a copy cannot know: what was decided, and sent, after it was made (I1, I4)."""
    from dcc.gateway.services import open_database
    from dcc.gateway.settings import ConfigurationError, load_settings
    from dcc.mailbox import outbox
    from dcc.mailbox.database import DatabaseFull, DatabaseGone

    common.say("à refaire avant dcc serve : les retraits, fins de mandat, oppositions et suspensions d'après la copie")
    try:
        with open_database(load_settings(target / "dcc.toml")) as database, database.read() as conn:
            count, _ = outbox.queued(conn)
    except (ConfigurationError, DatabaseGone, DatabaseFull):
        return  # said by --verify, and by dcc check-config
    if count:
        common.say(
            f"{count} envois attendaient dans la copie : ils partiront, une seconde fois s'ils sont partis depuis"
        )
