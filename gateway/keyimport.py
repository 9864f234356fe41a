"""A new key of the gateway's own brought in: checked, kept, and named in `dcc.toml` (R-KEYS)."""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.usage import Usage
from dcc.gateway.ownkeys import refused_for, unread
from dcc.gateway.settings import ConfigurationError, Settings, load_settings
from dcc.smime.keys import KeyPair, KeyUnreadable, load_key_file, written
from dcc.smime.token import Token
from dcc.smime.tokenkey import TokenAway
from dcc.smime.tokenstore import put

USES = {"signing": Usage.SIGNATURE, "decryption": Usage.CONFIDENTIALITY}


class ImportRefused(Exception):
    """The key is not taken; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was taken, and where it lies: a file relative to the instance, or a label of the token."""

    use: str
    certificate: CardCertificate
    place: str
    in_token: bool
    warnings: tuple[str, ...]


def import_key(settings: Settings, data: bytes, password: bytes | None, *, use: str, now: datetime) -> Imported:
    """Keep a PKCS#12, or a PEM with its certificate; nothing uses it before `name_it`.

    Raises ImportRefused, ConfigurationError, OSError.
    """
    try:
        pair = load_key_file(data, password)
        read = read_certificate(pair.certificate)
    except (KeyUnreadable, Unparseable) as error:
        raise ImportRefused("le fichier ne s'ouvre pas : mot de passe faux, ou fichier abîmé") from error
    if read.usage is not USES[use]:
        raise ImportRefused(f"le certificat a l'usage {read.usage}, il faut {USES[use]}")
    if not read.not_before <= now <= read.not_after:
        raise ImportRefused(f"le certificat ne vaut que du {read.not_before:%d/%m/%Y} au {read.not_after:%d/%m/%Y}")
    why = refused_for(settings, pair)
    if why is not None:
        raise ImportRefused(why)
    told = unread(use, pair)
    warnings = [] if told is None else [told]
    if use == "signing" and read.holder is not None and read.holder.kind == "person":
        # Gateway mail carries the signature of its organisation, never a person's (facts/clinical §12)
        told = "c'est la signature d'une personne : il faut le certificat de signature de l'organisation"
        if settings.gateway.environment == "production":
            raise ImportRefused(told)
        warnings.append(told)
    if read.environment == "test" and settings.gateway.environment == "production":
        warnings.append("c'est un certificat de test, et l'instance est de production : ses lecteurs le refuseront")
    if settings.gateway.address not in read.addresses:
        warnings.append(f"le certificat ne nomme pas {settings.gateway.address}")
    name = f"{use}-{read.not_before:%Y-%m-%d}-{read.sha256[:8]}"
    if settings.keys.pkcs11_module is None:
        return Imported(use, read, _keep(settings, name, pair), False, tuple(warnings))
    try:
        token = Token(
            settings.path(settings.keys.pkcs11_module), settings.keys.token, settings.token_pin, writable=True
        )  # fmt: skip
        try:
            put(token, name, pair)
        finally:
            token.close()
    except KeyUnreadable as error:
        raise ImportRefused(str(error)) from error
    except TokenAway as error:
        raise ImportRefused("le jeton ne répond pas") from error
    return Imported(use, read, name, True, tuple(warnings))


def _keep(settings: Settings, name: str, pair: KeyPair) -> str:
    """Under the password of the instance's other keys, for its owner's eyes."""
    octets, ending = written(pair, name, settings.key_password)
    relative = f"keys/{name}.{ending}"
    try:
        handle = os.open(settings.path(Path(relative)), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ImportRefused(f"{relative} existe déjà : rien n'a été changé") from None
    with os.fdopen(handle, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    return relative


def name_it(config: Path, imported: Imported) -> None:
    """Let `dcc.toml` name the new key first, the old decryption keys behind it. Raises ImportRefused, OSError."""
    text = config.read_text(encoding="utf-8")
    changed = edited(text, imported)
    part = config.with_name(f".{config.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(changed)
        file.flush()
        os.fsync(file.fileno())
    try:
        load_settings(part)
    except ConfigurationError as error:
        part.unlink()
        raise ImportRefused("; ".join(error.problems)) from error
    part.chmod(config.stat().st_mode & 0o777)
    part.replace(config)


def edited(text: str, imported: Imported) -> str:
    """The text of `dcc.toml` with the key named, and nothing else changed. Raises ImportRefused."""
    before = tomllib.loads(text)
    keys = dict(before["keys"])
    setting = imported.use + ({"signing": "_label", "decryption": "_labels"}[imported.use] if imported.in_token else "")
    gone = {"signing", "signing_label"} - {setting} if imported.use == "signing" else set()
    value = imported.place if imported.use == "signing" else [imported.place, *keys.get(setting, ())]
    wanted = {name: one for name, one in keys.items() if name not in gone} | {setting: value}
    written = f"{setting} = {json.dumps(value, ensure_ascii=False)}"
    head = re.search(r"^\[keys\][^\n]*\n", text, re.MULTILINE)
    if head is not None:
        end = re.search(r"^\[", text[head.end() :], re.MULTILINE)
        stop = len(text) if end is None else head.end() + end.start()
        section = text[head.end() : stop]
        for name in gone:
            section = re.sub(_assignment(name) + r"[^\n]*\n", "", section, flags=re.MULTILINE)
        section, count = re.subn(_assignment(setting), lambda _: written, section, count=1, flags=re.MULTILINE)
        changed = text[: head.end()] + ("" if count else f"{written}\n") + section + text[stop:]
        if _reads_as(changed, {**before, "keys": wanted}):
            return changed
    # It is written in a way that is not known here: the person does it.
    raise ImportRefused(f"écrivez vous-même dans [keys] : {written}")


def _reads_as(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _assignment(name: str) -> str:
    return rf"^[ \t]*{name}[ \t]*=[ \t]*(?:\[[^\]]*\]|\"[^\"\n]*\"|'[^'\n]*')"
