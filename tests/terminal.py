"""The command line as a script calls it, in this process: exit code, standard output, standard error."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dcc.gateway.cli import main

OPERATOR = "a.martin"


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.raw.decode()

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that `--json` promises."""
        return json.loads(self.raw)


def dcc(*arguments: str | Path, environment: dict[str, str] | None = None) -> Done:
    """Run `dcc` with these arguments; a traceback would be an exception here."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    told = {"USER": OPERATOR, **(environment or {})}
    with patch.dict(os.environ, told), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert isinstance(out.buffer, io.BytesIO)
    assert "Traceback" not in err.getvalue()
    assert "erreur inattendue" not in err.getvalue()
    return Done(int(ended.value.code or 0), out.buffer.getvalue(), err.getvalue())
