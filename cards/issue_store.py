"""A test PKI kept in a folder: authorities with their keys, so that cards can be issued and opposed later."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from dcc.cards.issue import Authority, KeySource, LookAlikePki, new_key

STATE = "pki.json"
TEST = "TEST "  # how every authority of the look-alike is called


class NotATestPki(Exception):
    """The folder holds something else, or a part of a PKI."""


def save(pki: LookAlikePki, folder: Path) -> None:
    """Write every authority; keys for the owner's eyes. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    told: dict[str, dict[str, object]] = {}
    for kind, authorities in (("roots", pki.roots), ("authorities", pki.authorities)):
        told[kind] = {}
        for code, one in authorities.items():
            certificate = one.certificate.public_bytes(Encoding.PEM)
            key = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write(folder / f"{one.crl_name}.pem", certificate)
            _write(folder / f"{one.crl_name}.key", key)
            told[kind][code] = {
                "name": one.crl_name,
                "revoked": {str(s): t.isoformat() for s, t in one.revoked.items()},
            }
    _write(folder / STATE, json.dumps(told, indent=1).encode())


def load(folder: Path, *, key_source: KeySource = new_key) -> LookAlikePki:
    """The PKI that `save` wrote. Raises NotATestPki, OSError."""
    try:
        told = json.loads((folder / STATE).read_text(encoding="ascii"))
        roots, authorities = (
            {code: _authority(folder, one["name"], one["revoked"]) for code, one in told[kind].items()}
            for kind in ("roots", "authorities")
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotATestPki(f"{folder} ne contient pas une IGC de test") from error
    return LookAlikePki(roots, authorities, key_source)


def _authority(folder: Path, name: str, revoked: dict[str, str]) -> Authority:
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if not isinstance(key, rsa.RSAPrivateKey) or not common or not str(common[0].value).startswith(TEST):
        raise NotATestPki(f"{name} n'est pas une autorité de test")
    return Authority(
        certificate.subject, certificate, key, name, {int(s): datetime.fromisoformat(t) for s, t in revoked.items()}
    )


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    aside.replace(path)
