"""The FHIR directory v2: who is behind a mailbox (facts/cards §10)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from dcc.gateway.fetch import Fetcher, FetchRefused

IDNPS = "urn:oid:1.2.250.1.71.4.2.1"
CERTIFICATE = "as-ext-digital-certificate"
RESOURCES = ("Practitioner", "PractitionerRole", "Organization")
DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Resource:
    """What one resource says of a mailbox's holder."""

    kind: str
    national_id: str | None
    family_name: str | None
    given_name: str | None
    name: str | None  # of an organisation
    certificates: tuple[bytes, ...]


def search(fetcher: Fetcher, base: str, address: str) -> tuple[Resource, ...]:
    """Every resource that has this mailbox. Raises FetchRefused, OSError.

    The exact search `mailbox-mss`: its `:contains` is unreliable. What is answered is compared again, since a server
    that does not know a parameter may ignore it and answer with everybody (HL7 FHIR R4 §3.1.1.3).
    """
    found = []
    for kind in RESOURCES:
        url = f"{base.rstrip('/')}/{kind}?mailbox-mss={quote(address, safe='@')}"
        (answer,) = fetcher.get(url)
        resources = _resources(answer, kind)
        try:
            found += [_read(one) for one in resources if address.lower() in _addresses(one)]
        except ValueError as error:  # base64 that is none
            raise FetchRefused("la réponse porte un certificat illisible") from error
    return tuple(found)


def _resources(answer: bytes, kind: str) -> list[dict[str, Any]]:
    try:
        told = json.loads(answer)
        if told["resourceType"] != "Bundle":
            raise FetchRefused("la réponse n'est pas un Bundle FHIR")
        held = [one["resource"] for one in told.get("entry", [])]
        return [one for one in held if isinstance(one, dict) and one["resourceType"] == kind]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FetchRefused("la réponse n'est pas du FHIR") from error


def _read(resource: dict[str, Any]) -> Resource:
    identifiers = [one for one in _list(resource, "identifier") if one.get("system") == IDNPS]
    names = _list(resource, "name")
    human: dict[str, Any] = names[0] if names else {}
    given = human.get("given")
    return Resource(
        kind=str(resource["resourceType"]),
        national_id=_text(identifiers[0].get("value")) if identifiers else None,
        family_name=_text(human.get("family")),
        given_name=_text(given[0]) if isinstance(given, list) and given else None,
        name=_text(resource.get("name")),
        certificates=tuple(_certificates(resource)),
    )


def _addresses(resource: dict[str, Any]) -> set[str]:
    """Mailboxes, wherever the resource has them: `telecom`, or the extension mailbox-mss of one."""
    return {value.lower() for key, value in _strings(resource) if key == "value" and "@" in value}


def _certificates(value: Any, deep: int = 0) -> Iterator[bytes]:
    if deep > DEEPEST:
        return
    if isinstance(value, list):
        for one in value:
            yield from _certificates(one, deep + 1)
    elif isinstance(value, dict):
        if str(value.get("url", "")).endswith(CERTIFICATE):
            for key, text in _strings(value):
                if key in {"valueBase64Binary", "data"}:
                    yield base64.b64decode(text, validate=False)
            return
        for one in value.values():
            yield from _certificates(one, deep + 1)


def _strings(value: Any, key: str = "", deep: int = 0) -> Iterator[tuple[str, str]]:
    if deep > DEEPEST:
        return
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, key, deep + 1)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _strings(one, str(name), deep + 1)


def _list(resource: dict[str, Any], key: str) -> list[dict[str, Any]]:
    held = resource.get(key)
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
