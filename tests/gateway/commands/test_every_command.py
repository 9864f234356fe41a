"""What holds for every command: --help with an example, --json, exit 2 for usage, one sentence, never a traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dcc.gateway import cli
from dcc.gateway.cli import build
from dcc.gateway.commands.failures import explained
from terminal import dcc

ROOT = Path(__file__).resolve().parents[3]


def commands() -> list[tuple[str, ...]]:
    """Every command of the application, groups opened; a group's default command goes by the group's name."""
    found: list[tuple[str, ...]] = []
    root = typer.main.get_command(build())
    for name, one in root.commands.items():  # type: ignore[attr-defined]
        inside = getattr(one, "commands", None)
        default = getattr(one, "default", None)  # what a group does where no other word follows
        found += [(name,)] if inside is None else [(name,) if inner == default else (name, inner) for inner in inside]
    return found


COMMANDS = commands()
DESIGN = """demo init serve check-config open seal deposit card identifier migrate backup restore message-list message-show
held-list held-show held-release held-refuse folder-list folder-show document-get account-list account-validate
account-suspend outbox-list outbox-retry audit-verify audit-export crl-update crl-list key-list key-rotate
opposition-add opposition-remove opposition-list"""


def test_every_command_of_the_design() -> None:
    """Every command that the design promises is there."""
    assert {"-".join(one) for one in COMMANDS} >= set(DESIGN.split())


def test_a_command_is_found_without_the_others() -> None:
    """Each command is registered by the file that the table names for it, and the table names every command."""
    assert {one[0] for one in COMMANDS} == set(cli.COMMANDS)
    for name in cli.COMMANDS:
        alone = typer.main.get_command(build(name)).commands  # type: ignore[attr-defined]
        assert name in alone
        assert {cli.COMMANDS[one] for one in alone} == {cli.COMMANDS[name]}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(command: tuple[str, ...]) -> None:
    """`--help` exits 0 and shows an example that begins with the command itself, and its options."""
    done = dcc(*command, "--help")
    assert (done.code, done.err) == (0, "")
    text = " ".join(done.out.split())
    assert re.search(rf"Exemples? :.*dcc {' '.join(command)}\b", text), text
    assert "--json" in text


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_usage(command: tuple[str, ...]) -> None:
    """An unknown option is a usage error: exit 2, nothing on standard output."""
    done = dcc(*command, "--surprise")
    assert (done.code, done.out) == (2, "")
    assert done.err.strip()


def test_every_command_is_in_the_documentation() -> None:
    """`docs/commands.md` names every command."""
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert re.search(rf"dcc {command[0]}\b", page), command
        if len(command) > 1:
            assert re.search(rf"dcc {command[0]} [a-z|\\]*\b{command[1]}\b", page), command


def test_no_argument_at_all() -> None:
    """`dcc` alone shows its help; an unknown command is a usage error."""
    assert "check-config" in dcc().out + dcc().err
    assert dcc("unknown").code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied", "/srv/x"), 1),
        (BrokenPipeError(), 1),
        (RuntimeError("279035121518989"), 3),
    ],
)
def test_what_nobody_foresaw(error: Exception, code: int) -> None:
    """An exception that a command let through is at most one line, and never shows what it was about (I3)."""
    lines, found = explained(error)
    assert found == code
    assert len(lines) <= 1
    assert "279035121518989" not in "".join(lines)


def test_the_program_itself() -> None:
    """As a process: exit codes reach the shell, and a reader that goes away is no traceback."""
    run = [sys.executable, "-m", "dcc.gateway.cli"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*run, "check-config", "-c", "/nowhere/dcc.toml"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (78, "", "/nowhere/dcc.toml n'existe pas\n")
