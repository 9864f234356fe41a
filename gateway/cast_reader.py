"""The demo cast read back from `demo/cast.json`: people with their keys, patients, folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dcc.gateway.clients import ClientIdentity
from dcc.mailbox.records import Patient
from dcc.router.request import Professional
from dcc.smime.keys import KeyPair, load_pkcs12


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything that the cast file tells, with its keys at hand."""

    directory: Path
    told: dict[str, Any]

    @classmethod
    def load(cls, directory: Path) -> Cast:
        """Read the cast of a demo instance. Raises OSError, ValueError."""
        return cls(directory, json.loads((directory / "demo" / "cast.json").read_text(encoding="utf-8")))

    def person(self, key: str) -> dict[str, Any]:
        """One entry of `people`."""
        return next(one for one in self.told["people"] if one["key"] == key)

    def folder(self, key: str) -> dict[str, Any]:
        """One entry of `folders`."""
        return next(one for one in self.told["folders"] if one["key"] == key)

    def patient(self, key: str) -> Patient:
        """The patient of a folder."""
        one = next(one for one in self.told["patients"] if one["key"] == key)
        return Patient(
            key, one["ins"], one["oid"], one["birth_name"], tuple(one["given_names"]), one["sex"],
            date.fromisoformat(one["birth_date"]), one["birth_place"], one["status"],
        )  # fmt: skip

    def pair(self, key: str, which: str = "card") -> KeyPair:
        """One of a person's keys: "card", "authentication" or "encryption"."""
        entry = self.person(key)[which]
        return load_pkcs12((self.directory / entry["p12"]).read_bytes(), entry["password"].encode())

    def identity(self, key: str, which: str = "card") -> ClientIdentity:
        """What a person's mail client signs with."""
        pair = self.pair(key, which)
        return ClientIdentity(pair.certificate, pair.key, pair.chain)

    def gateway_certificate(self) -> bytes:
        """The certificate (DER) that clients encrypt to."""
        pem = (self.directory / self.told["gateway"]["certificate"]).read_bytes()
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)

    def professional(self, key: str) -> Professional:
        """A person as the author of a document."""
        entry = self.person(key)
        if entry["card_type"] is None:
            return Professional(f"{entry['structure']}/AUTOMATE", None, entry["structure"], entry["name"])
        given, _, family = entry["name"].partition(" ")
        profession = f"G15_{entry['profession']}/SM36" if entry["profession"] == "10" else None
        return Professional(entry["idnps"], profession, entry["structure"], None, family, given)
