"""Thunderbird under Xvfb, driven over Marionette: a profile with one account, mails read, a mail sent."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thunderbird_scripts import CHOOSE, COMMON, LISTEN, READ, SEND, SIGN_IN, TYPE_THE_CODE, WINDOWS

START_SECONDS = 90.0
STEP_SECONDS = 90.0
PREFS = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "extensions.update.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "mail.provider.enabled": False,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mail.inappnotifications.enabled": False,
    "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    # Nothing leaves the machine: whatever is not local goes to a proxy that is not there
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_remote_dns": True,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "network.proxy.no_proxies_on": "localhost, 127.0.0.1",
    "security.OCSP.enabled": 0,  # the made-up authority has no responder
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.defaultaccount": "account1",
    "mail.account.account1.identities": "id1,id2",
    "mail.account.account1.server": "server1",
    "mail.server.server1.type": "imap",
    "mail.server.server1.hostname": "127.0.0.1",
    "mail.server.server1.socketType": 0,
    "mail.server.server1.authMethod": 3,
    # The password box at start-up would hold everything up: signed in later, once the password is stored
    "mail.server.server1.login_at_startup": False,
    "mail.server.server1.check_new_mail": False,
    "mail.smtpservers": "smtp1",
    "mail.smtp.defaultserver": "smtp1",
    "mail.smtpserver.smtp1.hostname": "127.0.0.1",
    "mail.smtpserver.smtp1.authMethod": 1,
    "mail.smtpserver.smtp1.try_ssl": 0,
    "mail.compose.warn_public_recipients.aggressive": False,
    "mail.e2ee.auto_enable": False,
    "intl.locale.requested": "",
}


IDENTITY = {
    "smtpServer": "smtp1",
    "valid": True,
    "compose_html": False,
    "fcc": False,
    "e2etechpref": 1,  # S/MIME
    "sign_mail": True,
    "encryptionpolicy": 2,
    "attachPgpKey": False,
    "autoEncryptDrafts": False,
}


class ScriptFailed(Exception):
    """A script raised inside Thunderbird, or did not end in time."""


class NotSent(Exception):
    """Thunderbird refused to send: what it said to the person."""


def bootstrap(told: Path, script: str, argument: str, alive: subprocess.Popen[bytes]) -> None:
    """Run one script over Marionette (length-prefixed JSON over TCP), and leave.

    `told` is where Thunderbird writes the port that the system gave it: one that is chosen beforehand may be another's by
    the time it listens, and then it quits. Only to get in: Marionette gives a script up when a modal box opens, such as the
    one that asks for a card's code.
    """
    deadline = time.monotonic() + START_SECONDS
    while not (port := told.read_text(encoding="ascii") if told.exists() else ""):
        if alive.poll() is not None or time.monotonic() > deadline:
            raise ConnectionError(f"Thunderbird did not open its remote control (exit code {alive.poll()})")
        time.sleep(0.05)
    connection = socket.create_connection(("127.0.0.1", int(port)), timeout=STEP_SECONDS)
    with connection, connection.makefile("rwb") as stream:

        def receive() -> Any:
            size = b""
            while (octet := stream.read(1)) != b":":
                if not octet:
                    raise ConnectionError("Thunderbird closed its remote control")
                size += octet
            return json.loads(stream.read(int(size)))

        receive()
        for number, (name, parameters) in enumerate(
            (
                ("WebDriver:NewSession", {"capabilities": {}}),
                ("Marionette:SetContext", {"value": "chrome"}),
                ("WebDriver:ExecuteScript", {"script": script, "args": [argument], "sandbox": "system"}),
                ("WebDriver:DeleteSession", {}),
            )
        ):
            text = json.dumps([0, number, name, parameters]).encode()
            stream.write(b"%d:%s" % (len(text), text))
            stream.flush()
            error = receive()[2]
            if error:
                raise ScriptFailed(f"{error['error']}: {error['message']}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the message window shows: the images of its two marks ("" where there is none) and the text."""

    signed: str
    encrypted: str
    text: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the certificate picker offered, what was chosen, and where it is kept."""

    offered: list[str]
    chosen: str
    address: str
    token: str


@dataclass
class Thunderbird:
    """A running Thunderbird with a profile and a display of its own."""

    folder: Path
    prefs: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    code: str = ""  # of the card, typed whenever a window asks
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    display: str = ""
    _scripts: int = 0

    @property
    def profile(self) -> Path:
        return self.folder / "profile"

    def start(self) -> None:
        """Write the preferences, open a display, start, and take the remote control."""
        self.profile.mkdir(parents=True, exist_ok=True)
        told = self.profile / "MarionetteActivePort"
        told.unlink(missing_ok=True)
        both = {f"mail.identity.{key}.{name}": value for key in ("id1", "id2") for name, value in IDENTITY.items()}
        prefs = {**PREFS, **both, **self.prefs, "marionette.port": 0}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items()]
        (self.profile / "user.js").write_text("".join(lines), encoding="utf-8")
        self._open_display()
        log = (self.folder / "thunderbird.log").open("wb")
        environment = {
            **os.environ, "DISPLAY": self.display, "HOME": str(self.folder), "MOZ_CRASHREPORTER_DISABLE": "1",
            "NO_AT_BRIDGE": "1", "LIBGL_ALWAYS_SOFTWARE": "1", "MOZ_DISABLE_CONTENT_SANDBOX": "1", "LC_ALL": "C.UTF-8",
            "DBUS_SESSION_BUS_ADDRESS": "disabled:", **self.environment,
        }  # fmt: skip
        environment.pop("XDG_RUNTIME_DIR", None)
        with log:
            process = subprocess.Popen(
                ["thunderbird", "--profile", str(self.profile), "--no-remote", "--marionette", "--remote-allow-system-access"],
                env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._processes.append(process)
        (self.folder / "scripts").mkdir()
        bootstrap(told, LISTEN, str(self.folder / "scripts"), process)
        self.run(TYPE_THE_CODE, self.code)

    def _open_display(self) -> None:
        reading, writing = os.pipe()
        self._processes.append(
            subprocess.Popen(
                ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"],
                pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        os.close(writing)
        try:
            number = b""
            while not number.endswith(b"\n") and select.select([reading], [], [], START_SECONDS)[0]:
                piece = os.read(reading, 32)
                if not piece:
                    break
                number += piece
        finally:
            os.close(reading)
        if not number.endswith(b"\n"):
            raise ConnectionError("Xvfb did not start")
        self.display = f":{number.decode().strip()}"

    def run(self, body: str, *arguments: Any) -> Any:
        """What the body of an asynchronous function returns, run in Thunderbird's own process."""
        self._scripts += 1
        base = self.folder / "scripts" / str(self._scripts)
        text = f"(async () => {{ const args = {json.dumps(arguments)}; {COMMON} {body} }})()"
        base.with_suffix(".written").write_text(text, encoding="utf-8")
        base.with_suffix(".written").rename(base.with_suffix(".js"))
        deadline = time.monotonic() + STEP_SECONDS
        while not base.with_suffix(".json").exists():
            if time.monotonic() > deadline or self._processes[-1].poll() is not None:
                raise ScriptFailed(f"no outcome: {body[:200]}\n{self._state()}")
            time.sleep(0.01)
        told = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
        if "error" in told:
            raise ScriptFailed(f"{told['error']}\n{self._state()}")
        return told["value"]

    def _state(self) -> str:
        """What a failure is explained with: exit code, open windows and what their boxes say, the end of the log."""
        lines = [f"exit code: {self._processes[-1].poll()}"]
        base = self.folder / "scripts" / f"{self._scripts + 1}"
        self._scripts += 1
        base.with_suffix(".written").write_text(f"(async () => {{ {COMMON} {WINDOWS} }})()", encoding="utf-8")
        base.with_suffix(".written").rename(base.with_suffix(".js"))
        deadline = time.monotonic() + 5
        while not base.with_suffix(".json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if base.with_suffix(".json").exists():
            lines += json.loads(base.with_suffix(".json").read_text(encoding="utf-8")).get("value") or []
        log = (self.folder / "thunderbird.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join([*lines, *log.splitlines()[-20:]])

    def trust(self, roots: list[Path]) -> None:
        """The profile's certificates before it starts: trusted roots, and nothing else."""
        self.profile.mkdir(parents=True, exist_ok=True)
        self._nss("certutil", "-N", "--empty-password")
        for root in roots:
            self._nss("certutil", "-A", "-n", root.stem, "-t", "CT,C,C", "-i", str(root))

    def add_token(self, library: str, token: str, card: Path, password: str, config: Path) -> None:
        """Register a PKCS#11 module, and put a key and its certificate into its token."""
        self.environment["SOFTHSM2_CONF"] = str(config)
        self._nss("modutil", "-add", "carte", "-libfile", library, "-force", database="-dbdir")
        self._nss("pk12util", "-i", str(card), "-W", password, "-h", token, "-K", self.code)

    def _nss(self, program: str, *arguments: str, database: str = "-d") -> None:
        command = [program, *arguments, database, f"sql:{self.profile}"]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def sign_in(self, user: str, password: str) -> None:
        """Store the mailbox's password, as a person does once."""
        self.run(SIGN_IN, user, password)

    def fetch(self, message_ids: list[str]) -> None:
        """Get mail until these messages are in the inbox."""
        self.run("await arrived(args[0]);", [one.strip("<>") for one in message_ids])

    def read(self, message_id: str, text: str, *, encrypted: bool = True, patience: float = STEP_SECONDS / 2) -> Shown:
        """Open one message in a window and wait for its marks and this text; after `patience` seconds: what is there."""
        wanted = {"encrypted": encrypted, "text": text}
        return Shown(*self.run(READ, message_id.strip("<>"), wanted, patience))

    def import_key(self, path: Path, password: str) -> int:
        """Import a PKCS#12 file as the certificate manager does; 0 when it was taken."""
        body = """const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
            file.initWithPath(args[0]);
            return certificates.importPKCS12File(file, args[1]);"""
        outcome: int = self.run(body, str(path), password)
        return outcome

    def choose(self, identity: str, usage: str, name: str) -> Chosen:
        """Select a certificate for "signing" or "encryption" in the picker of the account's settings."""
        return Chosen(**self.run(CHOOSE, identity, usage, name))

    def send(self, identity: str, to: str, subject: str, text: str, files: list[Path]) -> None:
        """Write a mail and send it, signed and encrypted by the identity's settings. Raises NotSent."""
        said = self.run(SEND, identity, to, subject, text, [str(one) for one in files])
        if said is not None:
            raise NotSent(said)

    def codes_asked(self) -> list[str]:
        """What the windows said that asked for a card's code, from the start."""
        asked: list[str] = self.run("return codes.asked;")
        return asked

    def knows(self, address: str) -> list[str]:
        """Names of the people's certificates that it has learnt for an address."""
        body = """return certificates.getCerts().filter(c => c.certType & Ci.nsIX509Cert.EMAIL_CERT
            && c.getEmailAddresses().includes(args[0])).map(c => c.commonName);"""
        found: list[str] = self.run(body, address)
        return found

    def screenshot(self, path: Path) -> None:
        """What a person would see on the display now."""
        subprocess.run(
            ["import", "-display", self.display, "-window", "root", str(path)],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def stop(self) -> None:
        """End Thunderbird, then its display."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.profile / "startupCache", ignore_errors=True)
