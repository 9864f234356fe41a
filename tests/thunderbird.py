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

START_SECONDS = 90.0
STEP_SECONDS = 60.0
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


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class ScriptFailed(Exception):
    """A script raised inside Thunderbird, or did not end in time."""


def bootstrap(port: int, script: str, argument: str, alive: subprocess.Popen[bytes]) -> None:
    """Run one script over Marionette (length-prefixed JSON over TCP), and leave.

    Only to get in: Marionette gives a script up when a modal box opens, such as the one that asks for a card's code.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=STEP_SECONDS)
            break
        except OSError:
            if alive.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
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


# From then on scripts are files: N.js is run once it is there, its outcome is N.json
LISTEN = """
const sandbox = new Cu.Sandbox(Services.scriptSecurityManager.getSystemPrincipal(), { freshCompartment: true });
Object.assign(sandbox, { Services, Cc, Ci, Cu, ChromeUtils, IOUtils, folder: arguments[0] });
ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs").MailServices.sandboxOfTests = sandbox;
Cu.evalInSandbox(`
  const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
  let number = 1;
  const look = async () => {
    try {
      const base = folder + "/" + number;
      if (await IOUtils.exists(base + ".js")) {
        number++;
        const told = x => IOUtils.writeJSON(base + ".json", x, { tmpPath: base + ".part" });
        Cu.evalInSandbox(await IOUtils.readUTF8(base + ".js"), globalThis)
          .then(x => told({ value: x ?? null }), e => told({ error: String(e) + " " + (e.stack ?? "") }));
      }
    } catch (e) { Cu.reportError(e); }
    setTimeout(look, 15);
  };
  look();
`, sandbox);
"""
COMMON = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MailUtils } = ChromeUtils.importESModule("resource:///modules/MailUtils.sys.mjs");
const certificates = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const account = MailServices.accounts.accounts.find(a => a.incomingServer.type == "imap");
const windows = () => [...Services.wm.getEnumerator(null)].filter(w => w.document.readyState == "complete");
const until = async (what, seconds = 50) => {
  for (const end = Date.now() + seconds * 1000; ;) {
    const found = await what();
    if (found) return found;
    if (Date.now() > end) throw new Error("not in time: " + what);
    await new Promise(r => setTimeout(r, 20));
  }
};
const inbox = () => account.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const messages = () => { try { return [...inbox().messages]; } catch { return []; } };  // not there yet
"""
# Types the card's code whenever a window asks for it, as a person would; counts, and remembers what was asked
TYPE_THE_CODE = """
const watcher = { asked: [], observe(w, topic) {
  if (topic != "domwindowopened") return;
  w.addEventListener("load", () => {
    const box = w.document.getElementById("password1Textbox");
    if (!w.location.href.includes("commonDialog") || !box || box.closest("[hidden]")) return;
    w.byCode = true;
    watcher.asked.push(w.document.getElementById("infoBody").textContent);
    setTimeout(() => { box.value = args[0]; w.document.querySelector("dialog").acceptDialog(); }, 100);
  }, { once: true });
} };
Services.ww.registerNotification(watcher);
globalThis.codes = watcher;
"""
SIGN_IN = """
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init("imap://127.0.0.1", null, "imap://127.0.0.1", args[0], args[1], "", "");
await Services.logins.initializationPromise;
await Services.logins.addLoginAsync(login);
await until(() => windows().some(w => w.location.href.endsWith("messenger.xhtml")));
"""
FETCH = """
account.incomingServer.performExpand(null);
let asked = 0;
await until(() => {
  const box = inbox();
  if (box && Date.now() - asked > 2000) { asked = Date.now(); box.getNewMessages(null, null); box.updateFolder(null); }
  return messages().length >= args[0];
});
"""
# What the header pane shows: the file of each mark that is visible, and the text of the body
READ = """
const header = await until(() => messages().find(m => m.messageId == args[0]));
const reader = () => windows().find(w => w.location.href.includes("messageWindow"));
reader()?.close();
await until(() => !reader());
MailUtils.openMessageInNewWindow(header);
const pane = await until(() => {
  const about = reader()?.document.getElementById("messageBrowser")?.contentDocument;
  return about?.readyState == "complete" && about.defaultView.gMessage?.messageId == args[0] ? about : null;
});
const mark = id => { const e = pane.getElementById(id); return e.hidden ? "" : e.getAttribute("src").split("/").pop(); };
const body = () => pane.getElementById("messagepane").contentDocument;
const [wanted, patience] = [args[1], args[2]];
await until(() => pane.defaultView.msgLoaded && body(), Math.max(patience, 4)).catch(() => {});
const shown = () => [mark("signedHdrIcon"), mark("encryptedHdrIcon"), body()?.body?.textContent ?? ""];
// Decryption and verification end after the text is there; what they will not do, they will not do later either
const complete = () => shown()[0] != "" && (shown()[1] != "" || !wanted.encrypted) && shown()[2].includes(wanted.text);
await until(complete, patience).catch(() => {});
return shown();
"""
# The picker of the account's settings (End-To-End Encryption, Select), answered by its first choice
CHOOSE = """
const [key, usage, name] = args;
const identity = [...account.identities].find(i => i.key == key);
const offered = [];
(async () => {
  const w = await until(() => windows().find(w => w.location.href.includes("certpicker")));
  await until(() => w.document.querySelectorAll("menuitem").length);
  offered.push(...[...w.document.querySelectorAll("menuitem")].map(m => m.label));
  w.document.getElementById("nicknames").selectedIndex = offered.findIndex(l => l.includes(name));
  w.onCertSelected?.();
  w.document.querySelector("dialog").acceptDialog();
})();
const picker = Cc["@mozilla.org/user_cert_picker;1"].createInstance(Ci.nsIUserCertPicker);
const chosen = picker.pickByUsage(windows()[0], "", usage == "signing" ? 4 : 5, false, true, identity.email, {});
// What the settings page stores: without the key of the database the certificate "is not valid for this"
identity.setUnicharAttribute(usage + "_cert_name", chosen.displayName);
identity.setCharAttribute(usage + "_cert_dbkey", chosen.dbKey);
return { offered, chosen: chosen.displayName, address: chosen.emailAddress, token: chosen.tokenName };
"""
SEND = """
const [key, to, subject, text, files] = args;
const identity = [...account.identities].find(i => i.key == key);
const make = (name, type) => Cc["@mozilla.org/messengercompose/" + name + ";1"].createInstance(type);
const params = make("composeparams", Ci.nsIMsgComposeParams);
const fields = make("composefields", Ci.nsIMsgCompFields);
[fields.to, fields.subject, fields.body] = [to, subject, text];
for (const path of files) {
  const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
  file.initWithPath(path);
  const attachment = make("attachment", Ci.nsIMsgAttachment);
  [attachment.url, attachment.name] = [Services.io.newFileURI(file).spec, file.leafName];
  fields.addAttachment(attachment);
}
[params.type, params.format, params.identity, params.composeFields] =
  [Ci.nsIMsgCompType.New, Ci.nsIMsgCompFormat.PlainText, identity, fields];
MailServices.compose.OpenComposeWindowWithParams(null, params);
const w = await until(() => windows().find(w => w.location.href.includes("messengercompose.xhtml")));
await until(() => w.gMsgCompose && w.gSendSigned && w.gSendEncrypted);
await until(() => w.document.getElementById("attachmentBucket").itemCount == files.length);
await until(() => w.document.getElementById("toAddrContainer").querySelector("mail-address-pill"));
await until(() => !w.document.getElementById("button-send").disabled);
w.goDoCommand("cmd_sendNow");
const box = () => windows().find(w => w.location.href.includes("commonDialog") && !w.byCode);
await until(() => w.closed || box());
if (!w.closed) throw new Error(box().document.getElementById("infoBody").textContent);
"""


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
        port = free_port()
        both = {f"mail.identity.{key}.{name}": value for key in ("id1", "id2") for name, value in IDENTITY.items()}
        prefs = {**PREFS, **both, **self.prefs, "marionette.port": port}
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
        bootstrap(port, LISTEN, str(self.folder / "scripts"), process)
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
                raise ScriptFailed(f"no outcome: {body[:200]}")
            time.sleep(0.01)
        told = json.loads(base.with_suffix(".json").read_text(encoding="utf-8"))
        if "error" in told:
            raise ScriptFailed(told["error"])
        return told["value"]

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

    def fetch(self, count: int) -> None:
        """Get mail until so many messages are in the inbox."""
        self.run(FETCH, count)

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
        """Write a mail and send it, signed and encrypted by the identity's settings."""
        self.run(SEND, identity, to, subject, text, [str(one) for one in files])

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
