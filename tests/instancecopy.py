"""Copies of instances, to change: hundreds of them in a run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

HELD = Path("demo") / "people"  # what the people of the cast hold: most of the files, and nobody writes there


def copied(instance: Path, to: Path) -> Path:
    """An instance of a test's own; what its people hold is linked."""

    def linked(folder: str, _names: list[str]) -> list[str]:
        return [HELD.name] if Path(folder) == instance / HELD.parent else []

    shutil.copytree(instance, to, symlinks=True, ignore=linked)
    (to / HELD).symlink_to(os.path.realpath(instance / HELD), target_is_directory=True)
    return to
