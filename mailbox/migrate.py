"""Alembic, driven from the program: the schema of this version, up and down, on both engines."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def _config(engine: Engine | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # alembic interpolates
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`; without effect when it is there already."""
    command.upgrade(_config(engine), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to `revision` ("base" for none)."""
    command.downgrade(_config(engine), revision)


@cache
def revisions() -> tuple[str, ...]:
    """Every revision, "base" (no tables) first, the newest last."""
    script = ScriptDirectory.from_config(_config(None))
    return ("base", *reversed([one.revision for one in script.walk_revisions()]))


@cache
def head() -> str:
    """The revision that this program works with."""
    found = ScriptDirectory.from_config(_config(None)).get_current_head()
    if found is None:
        raise LookupError("the migrations are not installed")
    return found
