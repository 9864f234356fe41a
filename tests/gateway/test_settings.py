"""Settings: what the file says, what the environment says over it, and secrets kept in files."""

from __future__ import annotations

import re
from pathlib import Path

import pydantic
import pytest

from dcc.gateway.settings import ConfigurationError, Settings, load_settings, read_settings
from dcc.gateway.toml_template import DEMO_TOML, PRODUCTION_TOML

LEAST = """
[gateway]
address = "Passerelle@DCC.example"
[keys]
signing = "keys/signature.p12"
decryption = ["keys/dechiffrement.p12"]
[trust]
certificates = ["trust"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with nothing but what has no default."""
    path = tmp_path / "dcc.toml"
    path.write_text(LEAST, encoding="utf-8")
    return path


def problems(config: Path, environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(config, environment)
    return raised.value.problems


def test_the_least_there_can_be(config: Path) -> None:
    """Everything but address, keys and anchors has a default; the address is lower-cased."""
    found = load_settings(config, {})
    assert found.gateway.address == "passerelle@dcc.example"
    assert found.gateway.environment == "production"
    assert found.smtp.message_size >= 150_000_000
    assert found.directory == config.parent


def test_settings_cannot_change(config: Path) -> None:
    """The settings are one frozen object: a message sees one snapshot of them."""
    found = load_settings(config, {})
    with pytest.raises(pydantic.ValidationError):
        found.smtp.port = 26  # type: ignore[misc]


@pytest.mark.parametrize("template", [DEMO_TOML, PRODUCTION_TOML])
def test_templates_are_settings(template: str, tmp_path: Path) -> None:
    """What `dcc init` writes is read without a problem, and each of its paths is relative."""
    (tmp_path / "dcc.toml").write_text(template, encoding="utf-8")
    load_settings(tmp_path / "dcc.toml", {})
    assert not re.search(r'"/', template)


@pytest.mark.parametrize(
    ("variable", "value", "section", "key", "expected"),
    [
        ("DCC_SMTP__PORT", "2525", "smtp", "port", 2525),
        ("DCC_SMTP__REQUIRE_TLS", "true", "smtp", "require_tls", True),
        ("DCC_SMTP__CHUNK_SECONDS", "2.5", "smtp", "chunk_seconds", 2.5),
        ("DCC_RELAY__HOST", "127.0.0.2", "relay", "host", "127.0.0.2"),
        ("DCC_KEYS__PASSWORD", "0123", "keys", "password", "0123"),
        ("DCC_KEYS__PASSWORD", '["a"]', "keys", "password", '["a"]'),
        ("DCC_KEYS__PASSWORD", "true", "keys", "password", "true"),
        ("DCC_TRUST__CRLS", '["a", "b"]', "trust", "crls", [Path("a"), Path("b")]),
        ("DCC_METRICS__PORT", "0", "metrics", "port", 0),
    ],
)
def test_a_variable_sets_one_setting(
    variable: str, value: str, section: str, key: str, expected: object, config: Path
) -> None:
    """`DCC_SECTION__KEY` sets that key; only a list is read as TOML, a password is taken as it stands."""
    assert getattr(getattr(load_settings(config, {variable: value}), section), key) == expected


def test_a_variable_beats_the_file(config: Path) -> None:
    """What the environment says replaces what the file says, in whichever way the file says it."""
    config.write_text(LEAST.replace("[trust]", 'password_file = "keys/password"\n[trust]'), encoding="utf-8")
    found = load_settings(config, {"DCC_KEYS__PASSWORD": "from outside", "DCC_GATEWAY__ADDRESS": "b@dcc.example"})
    assert found.key_password == b"from outside"
    assert found.gateway.address == "b@dcc.example"


def test_a_secret_in_a_file(config: Path, tmp_path: Path) -> None:
    """`DCC_SECTION__KEY_FILE` reads the value from a file, as service managers hand secrets over."""
    (tmp_path / "secret").write_text("p'as\"se # é\n", encoding="utf-8")
    place = str(tmp_path / "secret")
    found = load_settings(config, {"DCC_KEYS__PASSWORD_FILE": place, "DCC_RELAY__PASSWORD_FILE": place})
    assert found.key_password == "p'as\"se # é".encode()
    assert found.relay_password == "p'as\"se # é"
    (tmp_path / "url").write_text("postgresql://dcc:x@db/dcc", encoding="utf-8")
    assert load_settings(config, {"DCC_DATABASE__URL_FILE": str(tmp_path / "url")}).database_url.endswith("@db/dcc")


def test_a_password_file_of_the_file_itself(config: Path) -> None:
    """`keys.password_file` is relative to the instance; absent, it is one problem."""
    config.write_text(LEAST.replace("[trust]", 'password_file = "password"\n[trust]'), encoding="utf-8")
    found = load_settings(config, {})
    with pytest.raises(ConfigurationError) as raised:
        assert found.key_password
    assert raised.value.problems == ["keys.password_file : password est absent ou illisible"]
    (config.parent / "password").write_text("secret\n", encoding="utf-8")
    assert found.key_password == b"secret"


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("DCC_SMTP__PORT", "abc", "smtp.port : doit être un nombre entier (variable DCC_SMTP__PORT)"),
        ("DCC_SMTP__PROT", "25", "smtp.prot : réglage inconnu (variable DCC_SMTP__PROT)"),
        ("DCC_SMPT__PORT", "25", "smpt : réglage inconnu (variable DCC_SMPT__PORT)"),
        ("DCC_KEYS__PASSWORD_FILE", "/nowhere/secret",
         "DCC_KEYS__PASSWORD_FILE : le fichier /nowhere/secret est absent ou illisible"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(variable: str, value: str, line: str, config: Path) -> None:
    """A problem that comes from the environment names the variable, for nobody would look for it in the file."""
    assert problems(config, {variable: value}) == [line]


def test_other_variables_are_left_alone(config: Path) -> None:
    """Variables without a section, and those of other programs, are none of our business."""
    load_settings(config, {"DCC_SIGNER_PASSWORD": "x", "DCC_REQUIRE_PEERS": "1", "SMTP__PORT": "x", "HOME": "/"})


def test_every_problem_at_once(config: Path) -> None:
    """Every wrong setting is told, and the rest can still be looked at with the defaults in their place."""
    found, told = read_settings(config, {"DCC_SMTP__PORT": "-1", "DCC_RELAY__TLS": "x", "DCC_X__Y": "1"})
    assert len(told) == 3
    assert found is not None
    assert found.smtp.port == 25


def test_secrets_do_not_show(config: Path) -> None:
    """Neither the settings printed nor a problem with a password or a database shows the secret."""
    environment = {"DCC_KEYS__PASSWORD": "s3cret-a", "DCC_DATABASE__URL": "postgresql://dcc:s3cret-b@db/dcc"}
    assert "s3cret" not in repr(load_settings(config, environment))
    told = problems(config, {"DCC_DATABASE__URL": "mysql://dcc:s3cret-b@db/dcc", "DCC_SMTP__PORT": "s3cret-c"})
    assert not any("s3cret" in line for line in told)


def test_paths_are_relative_to_the_file(config: Path) -> None:
    """A relative path, the SQLite file's too, starts at the instance; an absolute one stays."""
    found: Settings = load_settings(config, {})
    assert found.path(Path("var/spool")) == config.parent / "var" / "spool"
    assert found.path(Path("/srv/spool")) == Path("/srv/spool")
    assert found.database_file == config.parent / "var" / "dcc.sqlite"
    assert load_settings(config, {"DCC_DATABASE__URL": "postgresql://db/dcc"}).database_file is None
