"""`dcc crl list|update`: which lists are held, how old they are, and which new ones are taken."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dcc.cards.issue import LookAlikePki
from terminal import dcc

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pki() -> LookAlikePki:
    """A PKI of the test's own, whose lists can be made anew."""
    return LookAlikePki.create(NOW)


@pytest.fixture
def config(pki: LookAlikePki, instance: Path) -> Path:
    """An instance that trusts this PKI and holds no list yet."""
    for folder in ("pki", "crls"):
        for path in (instance / "demo" / folder).iterdir():
            path.unlink()
    for number, der in enumerate((*pki.anchors, *pki.intermediates)):
        pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        (instance / "demo/pki" / f"{number}.pem").write_bytes(pem)
    return instance / "dcc.toml"


def lists(pki: LookAlikePki, directory: Path, number: int, *, age: int = 1, valid: int = 30) -> list[Path]:
    """The lists of every authority with this number, as files."""
    made = []
    for place, der in enumerate(pki.crls(NOW - timedelta(hours=age), NOW + timedelta(days=valid), number=number)):
        path = directory / f"{number}-{place}.crl"
        path.write_bytes(der)
        made.append(path)
    return made


def test_no_list(config: Path) -> None:
    """No list at all: no card can be called valid, exit 3."""
    done = dcc("crl", "list", "-c", config, "--json")
    assert (done.code, done.json) == (3, [])


def test_update_and_list(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """New lists are taken and told with issuer, number, age and entries; a newer one replaces, the older is kept aside."""
    done = dcc("crl", "update", *lists(pki, tmp_path, 5), "-c", config, "--json")
    assert done.code == 0
    assert all(one["accepted"] for one in done.json)
    listed = dcc("crl", "list", "-c", config, "--json")
    assert listed.code == 0
    assert {one["number"] for one in listed.json} == {5}
    assert all(one["issuer"].count("TEST") for one in listed.json)
    assert all(one["stale"] is False and 0.9 < one["age_hours"] < 2 for one in listed.json)
    count = len(listed.json)
    assert dcc("crl", "update", *lists(pki, tmp_path, 6), "-c", config).code == 0
    after = dcc("crl", "list", "-c", config, "--json").json
    assert {one["number"] for one in after} == {6}
    assert len(list((config.parent / "demo/crls/anciennes").iterdir())) == count


def test_a_lower_number(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """A list with a lower number is refused, the old one stays, and the operator is told (facts: cards §6)."""
    assert dcc("crl", "update", *lists(pki, tmp_path, 7), "-c", config).code == 0
    before = sorted((config.parent / "demo/crls").iterdir())
    done = dcc("crl", "update", *lists(pki, tmp_path, 6), "-c", config, "--json")
    assert done.code == 1
    assert {one["reason"] for one in done.json} == {"numéro inférieur à celui de la liste déjà connue (7)"}
    assert sorted((config.parent / "demo/crls").iterdir()) == before


def test_a_forged_list(config: Path, tmp_path: Path) -> None:
    """A list that no known authority signed is refused: its high number would shut the true ones out."""
    done = dcc("crl", "update", *lists(LookAlikePki.create(NOW), tmp_path, 999), "-c", config, "--json")
    assert done.code == 1
    assert {one["reason"] for one in done.json} == {"aucune autorité connue ne l'a signée"}
    assert list((config.parent / "demo/crls").iterdir()) == []


def test_files_that_are_no_list(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """An unreadable file is refused and the others are still taken; exit 1 says that one was refused."""
    (good, *_) = lists(pki, tmp_path, 5)
    (tmp_path / "x.crl").write_bytes(b"nothing")
    done = dcc("crl", "update", tmp_path / "x.crl", tmp_path / "absent.crl", good, "-c", config, "--json")
    assert done.code == 1
    assert [one["accepted"] for one in done.json] == [False, False, True]


def test_a_stale_list(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """A list past its next update is taken (its cards stay opposed) and shown as stale: exit 3, and check-config warns."""
    assert dcc("crl", "update", *lists(pki, tmp_path, 5, age=100, valid=-1), "-c", config).code == 0
    done = dcc("crl", "list", "-c", config)
    assert done.code == 3
    assert "PÉRIMÉE" in done.out
    checked = dcc("check-config", "-c", config, "--json")
    assert (checked.code, len(checked.json["warnings"]) > 0) == (0, True)


def test_only_the_newest_counts(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """A stale list that a newer one of the same kind replaces is neither shown nor warned of, wherever it came from."""
    for path in (*lists(pki, tmp_path, 5, age=100, valid=-1), *lists(pki, tmp_path, 6)):
        shutil.copy(path, config.parent / "demo/crls")
    done = dcc("crl", "list", "-c", config, "--json")
    assert (done.code, {one["number"] for one in done.json}) == (0, {6})
    assert dcc("check-config", "-c", config, "--json").json["warnings"] == []


def test_an_old_list(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """A list older than 36 hours and not yet stale is pointed out (facts: cards §6)."""
    assert dcc("crl", "update", *lists(pki, tmp_path, 5, age=40), "-c", config).code == 0
    done = dcc("crl", "list", "-c", config)
    assert (done.code, "ancienne" in done.out) == (0, True)


def test_nowhere_to_put_it(pki: LookAlikePki, config: Path, tmp_path: Path) -> None:
    """Where trust.crls names no folder, there is no place for new lists: exit 78 says which setting."""
    (path, *_) = lists(pki, tmp_path, 5)
    done = dcc("crl", "update", path, "-c", config, environment={"DCC_TRUST__CRLS": "[]"})
    assert done.code == 78
    assert done.err.startswith("trust.crls")
