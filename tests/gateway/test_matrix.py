"""The matrix of types by profession is a setting: applied when filing and when sending, its faults told in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway.checking import problems_of
from dcc.gateway.services import open_matrix
from dcc.gateway.settings import ConfigurationError, Settings, load_settings
from dcc.router.typerules import default_matrix

HEAD = "group,label,feed,read\n"


def with_matrix(instance: Path, name: str) -> Settings:
    return load_settings(instance / "dcc.toml", {"DCC_GATEWAY__MATRIX": name})


def test_default(settings: Settings) -> None:
    """Without the setting: the careful default."""
    assert open_matrix(settings) is default_matrix()


def test_own_matrix(instance: Path) -> None:
    """A network's own table, relative to the instance."""
    (instance / "types.csv").write_text(HEAD + "10,médecin,class:10,*\nother,autres,,34794-8\n", encoding="utf-8")
    matrix = open_matrix(with_matrix(instance, "types.csv"))
    assert matrix.may_feed("10", "34794-8", "10")
    assert not matrix.may_feed("10", "57833-6", "42")
    assert matrix.may_read("60", "34794-8", "10")
    assert not matrix.may_read("60", "11502-2", "10")


@pytest.mark.parametrize(
    "text", [None, HEAD + "10,x,*,*\n", "group,label,feed\nother,x,*\n", HEAD + "10,x\n", "group,é".encode("latin-1")]
)
def test_faults(instance: Path, text: str | bytes | None) -> None:
    """An absent file, no line `other`, a missing column or cell, no text: one sentence naming the setting."""
    if text is not None:
        (instance / "types.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigurationError) as found:
        open_matrix(with_matrix(instance, "types.csv"))
    assert [one.partition(" ")[0] for one in found.value.problems] == ["gateway.matrix"]


def test_slips_are_warned_of(instance: Path) -> None:
    """`dcc check-config` names the line of a type that nobody has; the table is taken all the same."""
    (instance / "types.csv").write_text(HEAD + "other,autres,34794-9,*\n", encoding="utf-8")
    problems, warnings = problems_of(with_matrix(instance, "types.csv"), datetime.now(UTC))
    assert problems == []
    assert "gateway.matrix : types.csv, ligne 2, feed : 34794-9 n'est pas un type du CI-SIS" in warnings
