"""The command line: one typer application, each command group in a file of its own."""

from __future__ import annotations

import getpass
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

COMMANDS = {  # command, the file that registers it
    "demo": "demo_cmd",
    "init": "init_cmd",
    "serve": "serve_cmd",
    "check-config": "check_config_cmd",
    "open": "open_cmd",
    "seal": "seal_cmd",
    "deposit": "deposit_cmd",
    "card": "card_cmd",
    "identifier": "identifier_cmd",
    "nomenclature": "nomenclature_cmd",
    "message": "message_cmd",
    "held": "held_cmd",
    "folder": "folder_cmd",
    "document": "document_cmd",
    "directory": "directory_cmd",
    "network": "network_cmd",
    "account": "account_cmd",
    "consent": "consent_cmd",
    "mandate": "mandate_cmd",
    "delegation": "delegation_cmd",
    "opposition": "opposition_cmd",
    "factor": "factor_cmd",
    "patient": "patient_cmd",
    "outbox": "outbox_cmd",
    "audit": "audit_cmd",
    "crl": "crl_cmd",
    "key": "key_cmd",
    "migrate": "migrate_cmd",
    "backup": "backup_cmd",
    "restore": "backup_cmd",
}


def build(command: str | None = None) -> typer.Typer:
    """The application with every command registered, or with what is needed to run this one."""
    app = typer.Typer(
        name="dcc",
        help="Passerelle S/MIME du Dossier Communicant en Cancérologie (DCC).",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_group)
    files = [COMMANDS[command]] if command in COMMANDS else list(dict.fromkeys(COMMANDS.values()))
    for name in files:
        module = importlib.import_module(f"dcc.gateway.commands.{name}")
        module.register(app)
    return app


def _group() -> None:
    """Nothing of its own: with it, an application of one command still expects the command's name."""


def _login_name() -> str:
    """The name of the account that runs this process, or its number where no name is known."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point: `arguments` (by default those of the process), then the exit code of the contract."""
    from dcc.gateway.commands.failures import explained

    # `--operator` is by default the login name; services and containers set no USER
    os.environ.setdefault("USER", _login_name())
    words = sys.argv[1:] if arguments is None else arguments
    try:
        # reading the options of every command takes typer longer than most commands take
        build(words[0] if words else None)(args=arguments, prog_name="dcc")
    except Exception as error:  # noqa: BLE001  the last net: one sentence, never a traceback
        lines, code = explained(error)
        for line in lines:
            typer.echo(line, err=True)
        sys.exit(code)
    sys.exit(0)


if __name__ == "__main__":
    main()
