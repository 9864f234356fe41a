"""The command line as a script calls it, in this process: exit code, standard output, standard error."""

from __future__ import annotations

import io
import json
import os
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dcc.gateway.cli import main
from dcc.smime.keys import load_key_file

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


_loaded = lru_cache(maxsize=64)(load_key_file)  # checking an RSA key costs 40 ms, twice for each command


def dcc(*arguments: str | Path, environment: dict[str, str] | None = None) -> Done:
    """Run `dcc` with these arguments; a traceback would be an exception here."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"USER": OPERATOR, **(environment or {})}))
        stack.enter_context(patch("dcc.gateway.ownkeys.load_key_file", _loaded))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        ended = stack.enter_context(pytest.raises(SystemExit))
        main([str(one) for one in arguments])
    assert isinstance(out.buffer, io.BytesIO)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    assert "erreur inattendue" not in err.getvalue(), err.getvalue()
    return Done(int(ended.value.code or 0), out.buffer.getvalue(), err.getvalue())
