"""The command line: one typer application, each command group in a file of its own."""

from __future__ import annotations

import importlib

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
    "message_cmd",
    "held_cmd",
    "folder_cmd",
    "document_cmd",
    "account_cmd",
    "opposition_cmd",
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


def main() -> None:
    """Entry point; a usage error exits 2 (contract: exit codes)."""
    build()(prog_name="dcc")


if __name__ == "__main__":
    main()
