"""The command line: one typer application, each command group in a file of its own."""

from __future__ import annotations

import getpass
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

COMMANDS = (
    "demo_cmd",
    "init_cmd",
    "serve_cmd",
    "check_config_cmd",
    "open_cmd",
    "seal_cmd",
    "deposit_cmd",
    "card_cmd",
    "identifier_cmd",
    "nomenclature_cmd",
    "message_cmd",
    "held_cmd",
    "folder_cmd",
    "document_cmd",
    "directory_cmd",
    "network_cmd",
    "account_cmd",
    "consent_cmd",
    "mandate_cmd",
    "delegation_cmd",
    "opposition_cmd",
    "factor_cmd",
    "patient_cmd",
    "outbox_cmd",
    "audit_cmd",
    "crl_cmd",
    "key_cmd",
    "migrate_cmd",
    "backup_cmd",
)


def build() -> typer.Typer:
    """The application with every command registered."""
    app = typer.Typer(
        name="dcc",
        help="Passerelle S/MIME du Dossier Communicant en Cancérologie (DCC).",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name in COMMANDS:
        module = importlib.import_module(f"dcc.gateway.commands.{name}")
        module.register(app)
    return app


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
    try:
        build()(args=arguments, prog_name="dcc")
    except Exception as error:  # noqa: BLE001  the last net: one sentence, never a traceback
        lines, code = explained(error)
        for line in lines:
            typer.echo(line, err=True)
        sys.exit(code)
    sys.exit(0)


if __name__ == "__main__":
    main()
