"""Settings of trust: anchors, opposition lists and where they are fetched, OCSP, the longest override."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST_OCTETS = 100 << 20  # R-REVOC
SCHEMES = ("http://", "https://", "ldap://", "ldaps://")


class TrustSettings(BaseModel):
    """Anchors, authorities and opposition lists: files, or folders of files; where new lists are fetched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificates: list[Path]
    crls: list[Path] = []
    crl_cache: Path = Path("var/crl")
    crl_urls: list[str] = []  # http, https, ldap, ldaps: the lists, complete and of changes, that are fetched
    hosts: list[str] = []  # that may be asked beside those of crl_urls: where they redirect, OCSP responders
    authorities: Path | None = None  # PEM, who vouches for https and ldaps hosts; none: the system's
    fetch_hour: int = Field(default=6, ge=0, le=23)  # UTC; each list has its own moment in the hours that follow
    fetch_spread_hours: float = Field(default=3, gt=0, le=24)
    fetch_retry_seconds: float = Field(default=900, gt=0)
    fetch_seconds: float = Field(default=10, gt=0, le=10)  # R-REVOC
    fetch_bytes: int = Field(default=MOST_OCTETS, gt=0, le=MOST_OCTETS)
    ocsp: Literal["never", "unknown", "always"] = "never"  # asked: never, where lists do not tell, each time
    ocsp_url: str | None = (
        None  # asked about cards; none: the responder that the certificate names, if its host is listed
    )
    ocsp_age_seconds: float = Field(default=86400, gt=0)  # of an answer that does not say until when it is good
    override_hours: float = Field(default=72, gt=0, le=168)  # the longest that an override of stale lists may last

    @field_validator("crl_urls")
    @classmethod
    def _urls(cls, values: list[str]) -> list[str]:
        if not all(one.strip().startswith(SCHEMES) for one in values):
            raise ValueError("chaque adresse commence par http://, https://, ldap:// ou ldaps://")
        return values

    @field_validator("ocsp_url")
    @classmethod
    def _responder(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("doit commencer par http:// ou https://")
        return value

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, values: list[str]) -> list[str]:
        if any("/" in one or not one for one in values):
            raise ValueError("des noms d'hôtes, sans http:// ni chemin")
        return [one.lower() for one in values]
