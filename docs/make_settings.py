"""Writes docs/settings.md: every setting of `dcc.toml`, its default and what it is for, read from the code.

Run `python docs/make_settings.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dcc.gateway.settings import Settings
from dcc.smime.limits import Limits

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Settings

This page is written by `docs/make_settings.py` from the settings themselves; a test compares the two. One file, `dcc.toml`; paths
are relative to its folder; an unknown key is an error. `DCC_SECTION__KEY` in the environment sets one key over the file,
`DCC_SECTION__KEY_FILE` reads its value from a file. Sizes are bytes, times are seconds.

"""


def page() -> str:
    """The page as it must be."""
    blocks = [HEAD]
    for name, field in Settings.model_fields.items():
        if name in {"directory", "limits"}:
            continue
        model, several = _model(field.annotation)
        head = f"[[{name}]]" if several else f"[{name}]"
        rows = [f"| `{key}` | {_default(one)} | {_comment(model, key)} |" for key, one in model.model_fields.items()]
        table = "\n".join(["| setting | default | |", "|---|---|---|", *rows])
        blocks.append(f"## `{head}`\n\n{inspect.getdoc(model)}\n\n{table}\n\n")
    rows = [
        f"| `{one.name}` | {one.default} | {_comment(Limits, one.name)} |"
        for one in fields(Limits)
        if one.name != "message"
    ]
    table = "\n".join(["| limit | default | |", "|---|---|---|", *rows])
    blocks.append(f"## `[limits]`\n\nOf the S/MIME reader; the message's own is `smtp.message_size`.\n\n{table}\n")
    return "".join(blocks)


def _model(annotation: Any) -> tuple[type[BaseModel], bool]:
    inside = get_args(annotation)
    return (inside[0], True) if inside else (annotation, False)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "compulsory"
    value = field.default
    if value is None:
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, Path):
        return f"`{value.as_posix()}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f"`{value}`"


def _comment(owner: type, name: str) -> str:
    """What stands behind the setting in the code."""
    for one in owner.__mro__:
        if name in getattr(one, "__annotations__", {}):
            found = re.search(rf"^    {name}: .*?  # (.*)$", inspect.getsource(one), re.M)
            return "" if found is None else found[1].replace("|", "\\|")
    return ""


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(page(), encoding="utf-8")
