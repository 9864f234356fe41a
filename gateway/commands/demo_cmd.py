"""`dcc demo`: the main job, told as a story; exits 0 only if every step had its expected end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import JsonOption


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    keep: Annotated[Path | None, typer.Option(help="Garde l'instance dans ce dossier.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Laisse ensuite la passerelle tourner (avec --keep).")] = False,
    json_output: JsonOption = False,
) -> None:
    """Joue le travail principal sur de vrais messages. Exemples : dcc demo ; dcc demo --keep /tmp/essai --serve"""
    import asyncio
    import tempfile

    from dcc.gateway.demo import run_demo
    from dcc.gateway.instance import InstanceExists
    from dcc.gateway.running import DidNotStart
    from dcc.gateway.serve import run
    from dcc.gateway.submission import NotAccepted

    if serve and keep is None:
        common.stop("--serve demande --keep DOSSIER", common.EXIT_USAGE)
    say = common.say if json_output else typer.echo
    with tempfile.TemporaryDirectory(prefix="dcc-demo-") as temporary:
        directory = keep or Path(temporary) / "instance"
        try:
            told = run_demo(directory, say, common.now_utc().replace(microsecond=0))
        except InstanceExists:
            common.stop(f"{directory} contient déjà une instance : rien n'a été changé")
        except DidNotStart as error:
            common.stop(f"la passerelle de démonstration n'a pas démarré : {error}")
        except NotAccepted as error:
            common.stop(f"la passerelle de démonstration n'a pas pris un envoi : {error}")
        if json_output:
            common.print_json(told)
        if keep is not None:
            say(f"L'instance est gardée : dcc folder list -c {keep / 'dcc.toml'}")
        if serve:
            settings = common.settings_of(directory / "dcc.toml")
            asyncio.run(run(settings, frozenset({"smtp", "worker", "relay"}), lambda ready: say(f"écoute : {ready}")))
    if not told["ok"]:
        raise typer.Exit(common.EXIT_NO)
