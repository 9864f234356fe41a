"""Settings of the directory: where people's certificates are looked for beside those enrolled here."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class DirectorySettings(BaseModel):
    """LDAP directories and the FHIR directory; without them only enrolled certificates are known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ldap_urls: list[str] = []  # ldaps://HOST/BASE: searched below BASE for `mail`
    fhir_url: str | None = None  # the base of the FHIR directory v2
    api_key_file: Path | None = None  # of the FHIR directory: the header ESANTE-API-KEY
    authorities: Path | None = None  # PEM, who vouches for these hosts; none: the system's
    seconds: float = Field(default=10, gt=0, le=60)

    @field_validator("ldap_urls")
    @classmethod
    def _ldap(cls, values: list[str]) -> list[str]:
        for one in values:
            if not one.startswith(("ldap://", "ldaps://")) or "?" in one:
                raise ValueError("chaque adresse est ldap://HOTE/BASE ou ldaps://HOTE/BASE, sans « ? »")
        return values

    @field_validator("fhir_url")
    @classmethod
    def _fhir(cls, value: str | None) -> str | None:
        # http is for a relay on this very machine: the key of the directory goes with each request
        if value is not None and not value.startswith(("https://", "http://127.0.0.1", "http://[::1]")):
            raise ValueError("doit commencer par https://")
        return value
