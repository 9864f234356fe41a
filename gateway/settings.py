"""Settings: one frozen object from `dcc.toml` and the environment; every problem found, each in one clear line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, ValidationError

from dcc.gateway.settings_directory import DirectorySettings
from dcc.gateway.settings_environment import overlay
from dcc.gateway.settings_sections import (
    SQLITE,
    CorrespondentSettings,
    DatabaseSettings,
    FactorSettings,
    GatewaySettings,
    KeysSettings,
    LimitName,
    MetricsSettings,
    OperatorSettings,
    PartnerSettings,
    RelaySettings,
    Section,
    SmimeSettings,
    SmtpSettings,
    StorageSettings,
    WorkerSettings,
)
from dcc.gateway.settings_sentences import not_toml, sentence
from dcc.gateway.settings_trust import TrustSettings


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` are sentences, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Settings(Section):
    """Everything. `directory` is the instance's folder; paths in the file are relative to it."""

    directory: Path
    gateway: GatewaySettings
    smtp: SmtpSettings = SmtpSettings()
    smime: SmimeSettings = SmimeSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    keys: KeysSettings
    trust: TrustSettings
    relay: RelaySettings = RelaySettings()
    operator: OperatorSettings = OperatorSettings()
    worker: WorkerSettings = WorkerSettings()
    address_book: DirectorySettings = DirectorySettings()
    partners: list[PartnerSettings] = Field(default=[])
    correspondents: list[CorrespondentSettings] = Field(default=[])  # the first that names a mailbox counts
    limits: dict[LimitName, PositiveInt] = Field(
        default={}
    )  # what differs from `smime/limits.py`; the message's is smtp.message_size
    factors: FactorSettings = FactorSettings()
    metrics: MetricsSettings = MetricsSettings()

    def path(self, relative: Path) -> Path:
        """A path of the file, made absolute."""
        return relative if relative.is_absolute() else self.directory / relative

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database, absolute; None for PostgreSQL."""
        if not self.database.url.startswith(SQLITE):
            return None
        return self.path(Path(self.database.url.removeprefix(SQLITE)))

    @property
    def database_url(self) -> str:
        """The URL with a relative SQLite file resolved against the instance's folder."""
        file = self.database_file
        return self.database.url if file is None else f"{SQLITE}{file}"

    @property
    def key_password(self) -> bytes | None:
        """The password of the key files. Raises ConfigurationError when its file cannot be read."""
        found = self._secret("keys.password_file", self.keys.password, self.keys.password_file)
        return None if found is None else found.encode()

    @property
    def token_pin(self) -> str | None:
        """The PIN of the token. Raises ConfigurationError when its file cannot be read."""
        return self._secret("keys.pin_file", self.keys.pin, self.keys.pin_file)

    @property
    def relay_password(self) -> str | None:
        """The password of the relay. Raises ConfigurationError when its file cannot be read."""
        return self._secret("relay.password_file", self.relay.password, self.relay.password_file)

    def _secret(self, setting: str, value: str | None, file: Path | None) -> str | None:
        if file is None:
            return value
        try:
            return self.path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError([f"{setting} : {file} est absent ou illisible"]) from None


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `dcc.toml` and the variables `DCC_SECTION__KEY`. Raises ConfigurationError with every problem."""
    settings, problems = read_settings(path, environment)
    if problems or settings is None:
        raise ConfigurationError(problems)
    return settings


def read_settings(path: Path, environment: Mapping[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    """(the settings, with their defaults where one is wrong; every problem). None: there is nothing to go on with."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, [f"{path} n'existe pas"]
    except (OSError, UnicodeDecodeError):
        return None, [f"{path} est illisible"]
    except tomllib.TOMLDecodeError as error:
        return None, [not_toml(path.name, error)]
    variables, problems = overlay(raw, os.environ if environment is None else environment, Settings)
    raw["directory"] = path.resolve().parent
    try:
        return Settings.model_validate(raw), problems
    except ValidationError as error:
        wrong = error.errors()
    problems += [sentence(one, variables) for one in wrong]
    for one in wrong:
        _leave_out(raw, one["loc"])
    try:
        return Settings.model_validate(raw), problems
    except ValidationError:
        return None, problems  # something that has no default is missing


def _leave_out(raw: dict[str, Any], place: tuple[int | str, ...]) -> None:
    section = raw.get(str(place[0]))
    if len(place) > 1 and isinstance(section, dict):
        section.pop(str(place[1]), None)
    elif len(place) == 1:
        raw.pop(str(place[0]), None)
