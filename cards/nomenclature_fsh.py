"""The CodeSystems of a FHIR Shorthand source, as FHIR resources: what ANS publishes its tables in (FSH 3.0 §3.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STRING = r'"((?:[^"\\]|\\.)*)"'
_ENTITY = re.compile(r"^([A-Z][A-Za-z]+):[ \t]*(.*)$", re.MULTILINE)
_NAMED = {"Id", "Title", "Description", "Parent"}  # what a CodeSystem says of itself on a line of its own
_LONG = re.compile(r'"""(.*?)"""', re.DOTALL)
_FIELD = re.compile(r"^\* \^([A-Za-z.]+)(?:\[[^\]]*\])?((?:\.[A-Za-z]+)?)[ \t]*=[ \t]*(.+)$")
_CONCEPT = re.compile(r'^[ \t]*\* ((?:#(?:"[^"]+"|[^\s"^]+)[ \t]+)+)' + _STRING)
_PROPERTY = re.compile(
    r'^[ \t]*\* ((?:#(?:"[^"]+"|[^\s"^]+)[ \t]+)+)\^property(?:\[([^\]]*)\])?\.([A-Za-z]+)[ \t]*=[ \t]*(.+)$'
)


def code_systems(text: str) -> Iterator[dict[str, Any]]:
    """Each CodeSystem of the source, as far as `published` reads one; other entities are passed over."""
    text = _LONG.sub(lambda found: '"' + re.sub(r'["\\]', "", found[1]).replace("\n", " ") + '"', text)
    starts = [found for found in _ENTITY.finditer(text) if found[1] not in _NAMED]
    for place, found in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(text)
        if found[1] == "CodeSystem":
            yield _code_system(found[2].strip(), text[found.end() : end])


def _code_system(name: str, body: str) -> dict[str, Any]:
    told: dict[str, Any] = {"resourceType": "CodeSystem", "name": name}
    concepts: dict[str, dict[str, Any]] = {}
    for line in body.splitlines():
        if concept := _CONCEPT.match(line):
            code = _code(concept[1])
            row = {"code": code, "display": _unescaped(concept[2]), "property": []}
            # Twice the same code: both are kept under names of their own, so that the reader refuses the table
            concepts[code if code not in concepts else f"{code} {len(concepts)}"] = row
        elif prop := _PROPERTY.match(line):
            _property(concepts.get(_code(prop[1])), prop[2], prop[3], _value(prop[4]))
        elif named := _ENTITY.match(line):
            told[named[1].lower()] = _value(named[2])
        elif one := _FIELD.match(line):
            _field(told, one[1] + one[2], _value(one[3]))
    told["concept"] = list(concepts.values())
    return told


def _property(concept: dict[str, Any] | None, place: str | None, field: str, value: Any) -> None:
    """`[+]`, a number or nothing begins one at its code; `[=]` goes on with the last."""
    if concept is None:
        return
    if field == "code" and (place != "=" or not concept["property"]):
        concept["property"].append({})
    if concept["property"]:
        concept["property"][-1][field] = value


def _field(told: dict[str, Any], path: str, value: Any) -> None:
    if path == "identifier.value":
        told.setdefault("identifier", []).append({"value": value})
    elif path == "count":
        told["count"] = int(value) if str(value).isdigit() else value
    elif path in {"version", "date", "content", "copyright", "title"}:
        told[path] = value


def _code(written: str) -> str:
    """The last of `#parent #child`."""
    return str(re.findall(r'#("[^"]+"|[^\s"^]+)', written)[-1]).strip('"')


def _value(written: str) -> Any:
    """A string, a code, a boolean, or the text itself."""
    written = written.strip()
    if string := re.match(_STRING, written):
        return _unescaped(string[1])
    if written.startswith("#"):
        return written[1:].split()[0].strip('"') if written[1:].strip() else ""
    return {"true": True, "false": False}.get(written, written)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t", "r": "\r"}.get(found[1], found[1]), text)
