"""The other S/MIME programs, each asked the same two things: read this mail, make such a mail."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Protocol

from interop import Case, NotAskable, Unable
from throwaway import ENTITY, FIELDS, PASSWORD, multipart, p12, pair, part

SECONDS = 60
# gpg-agent.conf. By itself it makes every use of a key cost 100 ms, against people who guess passphrases
GPG_AGENT = "allow-loopback-pinentry\ns2k-count 65536\n"
JARS = [f"/usr/share/java/{name}.jar" for name in ("bcmail", "bcpkix", "bcprov", "bcutil", "javax.mail")]
ACTIVATION = "/usr/share/java/javax.activation.jar"
FROM_TO = ("-from", "gateway@dcc.example", "-to", "reader@dcc.example", "-subject", "[...]")


class Peer(Protocol):
    """A program that reads and makes S/MIME mail."""

    def read(self, mail: bytes, case: Case, folder: Path) -> bytes:
        """Decrypt, verify under the root, and give the signed entity. Raises Unable."""

    def make(self, case: Case, folder: Path) -> bytes:
        """A whole mail made as the case says. Raises Unable, NotAskable."""


def run(*command: str | Path, data: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
    """Standard output; it counts only when the program ends with 0 (facts: openssl writes garbage, then fails)."""
    done = subprocess.run(
        list(map(str, command)), input=data, capture_output=True, check=False, timeout=SECONDS,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if done.returncode:
        raise Unable(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}")
    return done.stdout


def key_file(store: Path, kind: str, use: str, who: str, name: str) -> bytes:
    """PKCS#12 in the old protection; by openssl where `cryptography` makes none (X25519)."""
    if kind != "x25519":
        return p12(pair(kind, use, who), name.encode(), legacy=True)
    base = store / f"{kind}-{use}"
    keys = ["-inkey", str(base.with_suffix(".key")), "-in", str(base.with_suffix(".pem")), "-name", name]
    export = ["openssl", "pkcs12", "-export", *keys, "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES"]
    return run(*export, "-passout", f"pass:{PASSWORD}")


def import_into_gpgsm(make: Callable[[], bytes], file: Path, home: Path) -> None:
    """Let gpgsm import what `make` makes, a PKCS#12 with new salts each time. Raises Unable.

    A fault of gpgsm (2.2.40), not of the file: its derivation of the 3DES key (RFC 7292 §B.2, step 6 C) adds two numbers of
    64 octets and writes the sum without its leading zeros, at the front. One salt in 64 makes such a sum for one of the two
    bags; openssl, NSS and Java read the same file. Only that refusal asks for other salts; any other one is raised.
    """
    environment = {"GNUPGHOME": str(home), "LC_ALL": "C"}
    command = ("gpgsm", "--batch", "--pinentry-mode", "loopback", "--passphrase-fd", "0", "--import", file)
    for left in reversed(range(5)):
        file.write_bytes(make())
        try:
            run(*command, data=PASSWORD.encode() + b"\n", environment=environment)
        except Unable as error:
            if not left or "error parsing or decrypting the PKCS#12 file" not in str(error):
                raise
        else:
            return


class OpenSsl:
    """`openssl cms`."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def read(self, mail: bytes, case: Case, folder: Path) -> bytes:
        (folder / "mail.eml").write_bytes(mail)
        if case.recipient:
            kind = case.recipient
            key = ("-recip", self._store / f"{kind}-encrypt.pem", "-inkey", self._store / f"{kind}-encrypt.key")
            run("openssl", "cms", "-decrypt", "-in", folder / "mail.eml", *key, "-out", folder / "plain.eml")
            (folder / "mail.eml").write_bytes((folder / "plain.eml").read_bytes())
        root = ("-CAfile", self._store / "root.pem", "-purpose", "smimesign")
        return run("openssl", "cms", "-verify", "-in", folder / "mail.eml", *root)

    def make(self, case: Case, folder: Path) -> bytes:
        (folder / "entity").write_bytes(ENTITY)
        pss = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-1") if case.pss else ()
        form = {"detached": (), "opaque": ("-nodetach",), "stream": ("-nodetach", "-stream")}[case.form]
        signed = run(
            "openssl", "cms", "-sign", "-in", folder / "entity", "-md", case.digest, *form,
            "-signer", self._store / f"{case.signer}-sign.pem", "-inkey", self._store / f"{case.signer}-sign.key", *pss,
            "-certfile", self._store / "chain.pem", *(("-keyid",) if case.signer_by_key else ()),
            *(() if case.recipients else FROM_TO),
        )  # fmt: skip
        if not case.recipients:
            return signed
        (folder / "signed.eml").write_bytes(signed)
        cipher = "-" + case.cipher.replace("-cbc", "").replace("aes", "aes-" if case.cipher.endswith("gcm") else "aes")
        how = ["-keyid"] if case.recipient_by_key else []
        more = ["-stream"] if case.stream else []
        to: list[str | Path] = []
        for kind in case.recipients:
            to += [
                "-recip",
                self._store / f"{kind}-encrypt.pem",
                *(x for o in _recipient(case, kind) for x in ("-keyopt", o)),
            ]
        return run("openssl", "cms", "-encrypt", cipher, *more, *how, "-in", folder / "signed.eml", *FROM_TO, *to)


def _recipient(case: Case, kind: str) -> list[str]:
    if kind == "rsa":
        return ["rsa_padding_mode:oaep", f"rsa_oaep_md:{case.oaep}"] if case.oaep else []
    cofactor = ["ecdh_cofactor_mode:1"] if case.cofactor else []
    return [f"ecdh_kdf_md:{case.kdf}", *cofactor] if kind.startswith("p") else []


def decoded(mail: bytes) -> bytes:
    """The octets of a mail's only part, in base64."""
    return base64.b64decode(mail.partition(b"\r\n\r\n")[2])


def signed_parts(plain: bytes) -> tuple[bytes | None, bytes]:
    """The signed entity of a multipart/signed and its signature; (None, SignedData) of an opaque mail."""
    parsed = message_from_bytes(plain)
    if not parsed.is_multipart():
        whole = parsed.get_payload(decode=True)
        assert isinstance(whole, bytes)
        return None, whole
    boundary = (parsed.get_boundary() or "").encode()
    entity = plain.split(b"--" + boundary)[1][2:-2]
    signature = parsed.get_payload()[1].get_payload(decode=True)  # type: ignore[union-attr, index]
    assert isinstance(signature, bytes)
    return entity, signature


def inner_mail(case: Case, signature: bytes) -> bytes:
    """The MIME entity around a bare SignedData of a program that makes no MIME."""
    if case.form == "detached":
        return multipart(ENTITY, signature)
    return part("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", signature)


def outer_mail(case: Case, made: bytes) -> bytes:
    """The mail around a bare EnvelopedData of a program that makes no MIME."""
    return FIELDS + part("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", made)


class GpgSm:
    """gpgsm, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def _run(self, *arguments: str | Path) -> bytes:
        secret = ("--pinentry-mode", "loopback", "--passphrase-fd", "0")
        environment = {"GNUPGHOME": str(self._home)}
        return run("gpgsm", "--batch", *secret, *arguments, data=b"secret\n", environment=environment)

    def read(self, mail: bytes, case: Case, folder: Path) -> bytes:
        plain = mail
        if case.recipient:
            (folder / "mail.der").write_bytes(decoded(mail))
            plain = self._run("--decrypt", folder / "mail.der")
        entity, signature = signed_parts(plain)
        (folder / "signature").write_bytes(signature)
        if entity is None:
            return self._run("--output", "-", "--verify", folder / "signature")
        (folder / "entity").write_bytes(entity)
        self._run("--verify", folder / "signature", folder / "entity")
        return entity

    def make(self, case: Case, folder: Path) -> bytes:
        if case.pss or case.oaep or case.cofactor or case.signer_by_key or case.recipient_by_key:
            raise NotAskable  # it has no such option
        (folder / "entity").write_bytes(ENTITY)
        fingerprint = hashlib.sha1(pair(case.signer).certificate).hexdigest()  # the address names several certificates
        form = "--detach-sign" if case.form == "detached" else "--sign"
        how = ("-u", fingerprint, "--include-certs", "2", "--digest-algo", case.digest)
        inner = inner_mail(case, self._run(*how, form, folder / "entity"))
        if not case.recipients:
            return FIELDS + inner
        (folder / "inner").write_bytes(inner)
        to = [hashlib.sha1(pair(kind, "encrypt", "reader").certificate).hexdigest() for kind in case.recipients]
        cipher = case.cipher.removesuffix("-cbc").upper().replace("AES128", "AES")
        names = [x for one in to for x in ("-r", one)]
        return outer_mail(case, self._run("--encrypt", "--cipher-algo", cipher, *names, folder / "inner"))


class Nss:
    """NSS, the library of Thunderbird, through cmsutil."""

    def __init__(self, database: Path) -> None:
        self._database = f"sql:{database}"

    def _run(self, *arguments: str | Path) -> bytes:
        return run("cmsutil", *arguments, "-d", self._database)

    def read(self, mail: bytes, case: Case, folder: Path) -> bytes:
        plain = mail
        if case.recipient:
            (folder / "mail.der").write_bytes(decoded(mail))
            plain = self._run("-D", "-i", folder / "mail.der")
        entity, signature = signed_parts(plain)
        (folder / "signature").write_bytes(signature)
        if entity is None:
            return self._run("-D", "-i", folder / "signature", "-u", "4")
        (folder / "entity").write_bytes(entity)
        self._run("-D", "-c", folder / "entity", "-i", folder / "signature", "-u", "4")
        return entity

    def make(self, case: Case, folder: Path) -> bytes:
        if case.pss or case.oaep or case.cofactor or case.signer_by_key or case.recipient_by_key:
            raise NotAskable  # it has no such option
        (folder / "entity").write_bytes(ENTITY)
        form = ("-T",) if case.form == "detached" else ()
        how = ("-N", f"{case.signer}-sign", "-G", "-P", "-Y", "announced", "-H", case.digest.upper())
        inner = inner_mail(case, self._run("-S", *form, *how, "-i", folder / "entity"))
        if not case.recipients:
            return FIELDS + inner
        (folder / "inner").write_bytes(inner)
        to = ",".join(f"{kind}-encrypt" for kind in case.recipients)
        return outer_mail(case, self._run("-E", "-r", to, "-i", folder / "inner"))


class BouncyCastle:
    """BouncyCastle's mail API, in one Java process that answers line by line."""

    def __init__(self, store: Path) -> None:
        source = Path(__file__).parent / "peers" / "BouncyCastle.java"
        path = ":".join([*JARS, ACTIVATION])
        # One compiler, one collector: the process lives a few seconds
        fast = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
        self._process = subprocess.Popen(
            ["java", *fast, "-cp", path, str(source), str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, encoding="utf-8",
        )  # fmt: skip

    def _ask(self, *words: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().rstrip("\n")
        if answer != "yes":
            raise Unable(answer or "the Java process ended")

    def read(self, mail: bytes, case: Case, folder: Path) -> bytes:
        (folder / "mail.eml").write_bytes(mail)
        self._ask("read", folder / "mail.eml", folder / "entity", case.recipient or "-")
        return (folder / "entity").read_bytes()

    def make(self, case: Case, folder: Path) -> bytes:
        (folder / "entity").write_bytes(ENTITY)
        self._ask(
            "make", folder / "entity", folder / "made.eml", case.signer, case.digest, case.pss, case.form,
            case.signer_by_key, ",".join(case.recipients) or "-", case.cipher, case.oaep or "-", case.kdf,
            case.cofactor, case.recipient_by_key,
        )  # fmt: skip
        return (folder / "made.eml").read_bytes()

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
