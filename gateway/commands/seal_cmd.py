"""`dcc seal`: sign and encrypt one mail, as the gateway does for its readers."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dcc.gateway.commands.common import EXIT_NO, EXIT_USAGE, JsonOption, now_utc, print_json, stop

CIPHERS = ("aes256-cbc", "aes128-cbc", "aes256-gcm")
EXAMPLES = """Signe et chiffre un courriel (Sign and encrypt one mail).

Exemples :\n
  dcc seal mail.eml --signer moi.p12 --password secret --recipient lecteur.pem --out scelle.eml\n
  dcc seal mail.eml --signer moi.p12 --password secret --recipient a.pem --recipient b.pem --key-transport oaep\n
  dcc seal mail.eml --pkcs11 auto --recipient passerelle.pem --out scelle.eml   (avec la carte CPS)

FILE est un courriel (en-têtes et corps). Le Subject ne paraît pas dehors ; Date et signingTime sont la même lecture
de l'horloge (la Date du fichier est gardée si elle est à moins d'une heure). Code 0 : scellé ; 1 : refusé ; 2 : usage.
"""


def register(app: typer.Typer) -> None:
    """Add `seal` to the command line."""
    app.command("seal", help=EXAMPLES)(seal_command)


def seal_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Le courriel à sceller (en-têtes et corps).")],
    recipient: Annotated[
        list[Path],
        typer.Option("--recipient", metavar="CERT", help="Certificat de chiffrement d'un lecteur (PEM/DER)."),
    ],
    signer: Annotated[
        Path | None, typer.Option("--signer", metavar="P12", help="Clé et certificat de signature (PKCS#12, ou PEM).")
    ] = None,
    password: Annotated[str | None, typer.Option("--password", metavar="W", help="Mot de passe de ce fichier.")] = None,
    pkcs11: Annotated[
        str | None,
        typer.Option("--pkcs11", metavar="MODULE", help="Signer avec une carte : sa bibliothèque, ou auto."),
    ] = None,
    token: Annotated[str | None, typer.Option("--token", help="Le nom du jeton, s'il y en a plusieurs.")] = None,
    pin_file: Annotated[
        Path | None, typer.Option("--pin-file", help="Le fichier du code ; sinon DCC_PIN, sinon il est demandé.")
    ] = None,
    card_unblocked: Annotated[
        bool, typer.Option("--card-unblocked", help="La carte a été débloquée : oublier les codes faux.")
    ] = False,
    chain: Annotated[
        list[Path] | None, typer.Option("--chain", metavar="PEM", help="Autorités intermédiaires à joindre.")
    ] = None,
    announce: Annotated[
        Path | None, typer.Option("--announce", metavar="CERT", help="Certificat de chiffrement à faire connaître.")
    ] = None,
    cipher: Annotated[str, typer.Option("--cipher", help=" | ".join(CIPHERS))] = "aes256-cbc",
    key_transport: Annotated[str, typer.Option("--key-transport", help="rsa | oaep")] = "rsa",
    digest: Annotated[
        str | None, typer.Option("--digest", help="sha256 (défaut) | sha384 | sha512 (défaut d'Ed25519 et ML-DSA)")
    ] = None,
    pss: Annotated[bool, typer.Option("--pss", help="Signature RSASSA-PSS.")] = False,
    detached: Annotated[
        bool, typer.Option("--detached/--opaque", help="multipart/signed (défaut), ou signature opaque.")
    ] = True,
    header_protection: Annotated[str, typer.Option("--header-protection", help="rfc9788 | wrapped")] = "rfc9788",
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Permettre ML-DSA (signature) et ML-KEM (lecteurs).")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Résultat ; sinon la sortie standard.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Seal FILE for the recipients; see the help text."""
    from dcc.gateway.cardsigner import AUTO, CardRequest
    from dcc.gateway.sealing import SealingRefused, SealingRequest, seal_file

    for value, allowed, option in (
        (cipher, CIPHERS, "--cipher"),
        (key_transport, ("rsa", "oaep"), "--key-transport"),
        (digest or "sha256", ("sha256", "sha384", "sha512"), "--digest"),
        (header_protection, ("rfc9788", "wrapped"), "--header-protection"),
    ):
        if value not in allowed:
            stop(f"{option} : {value!r} n'est pas parmi {', '.join(allowed)}.", EXIT_USAGE)
    if as_json and out is None:
        stop("--json demande --out : la sortie standard porte déjà le courriel.", EXIT_USAGE)
    if (signer is None) == (pkcs11 is None):
        stop("Dites --signer P12, ou --pkcs11 MODULE (auto : les emplacements connus).", EXIT_USAGE)
    request = SealingRequest(
        file=file, signer=signer or CardRequest(pkcs11 or AUTO, token, partial(_pin, pin_file), card_unblocked),
        password=password, chain=tuple(chain or ()), recipients=tuple(recipient),
        announce=announce, cipher=cipher, key_transport=key_transport, digest=digest, pss=pss, detached=detached,
        header_protection=header_protection, post_quantum=post_quantum, out=out,
    )  # fmt: skip
    try:
        sealed, sha256 = seal_file(request, now=now_utc())
    except SealingRefused as error:
        stop(str(error), EXIT_USAGE if error.usage else EXIT_NO)
    if as_json:
        print_json({"message_id": sealed.message_id, "size": sealed.size, "sha256": sha256, "out": str(out)})


def _pin(file: Path | None) -> str:
    """The PIN, never an argument that other users of the machine could see. It is given to the card once."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            stop(f"{file} : illisible.", EXIT_USAGE)
    if "DCC_PIN" in os.environ:
        return os.environ["DCC_PIN"]
    if not sys.stdin.isatty():
        stop("Le code de la carte : --pin-file FICHIER, ou la variable DCC_PIN.", EXIT_USAGE)
    return str(typer.prompt("Code de la carte", hide_input=True, err=True))
