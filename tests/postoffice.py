"""A private Postfix: mail for the gateway goes to its door, mail for the care team into Maildirs (facts: mail §7)."""

from __future__ import annotations

import contextlib
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60
MASTER = """\
{port}    inet  n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {own}/queue
data_directory = {own}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = post.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_forbid_bare_newline = reject
smtpd_forbid_bare_newline_exclusions =
relayhost = [{host}]:{door}
smtp_tls_security_level = none
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {own}/boxes
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
message_size_limit = 200000000
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
alias_maps =
alias_database =
biff = no
maillog_file = {own}/postfix.log
maillog_file_prefixes = {own}
"""


def free_port() -> int:
    """A port that nobody listens on now, below those that the system gives to outgoing connections."""
    while True:
        port = 20000 + secrets.randbelow(10000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


class PostOffice:
    """Postfix with its own configuration, queue, log and mailboxes; needs root."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._folder = Path(tempfile.mkdtemp(prefix="dcc-post", dir="/tmp"))
        self._folder.chmod(0o755)  # its workers are not root, and must reach their own folders

    @contextmanager
    def open(self, door: str, domains: Sequence[str]) -> Iterator[None]:
        """Run it while inside; `door` is where mail for everybody else goes."""
        owner = pwd.getpwnam("postfix")
        host, _, number = door.rpartition(":")
        for name in ("etc", "queue", "data", "boxes"):
            (self._folder / name).mkdir(parents=True)
        for name in ("data", "boxes"):
            shutil.chown(self._folder / name, owner.pw_uid, owner.pw_gid)
        etc = self._folder / "etc"
        (etc / "master.cf").write_text(MASTER.format(port=f"127.0.0.1:{self._port}"))
        (etc / "main.cf").write_text(MAIN.format(
            own=self._folder, host=host, door=number, domains=", ".join(domains), uid=owner.pw_uid, gid=owner.pw_gid,
        ))  # fmt: skip
        try:
            self._postfix("start")
            self._await_listening()
            yield
        finally:
            self._postfix("stop")
            shutil.rmtree(self._folder, ignore_errors=True)

    def _postfix(self, verb: str) -> None:
        command = ["/usr/sbin/postfix", "-c", str(self._folder / "etc"), verb]
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
        if done.returncode and verb == "start":
            raise AssertionError(f"postfix {verb}: {done.stderr.decode()} {self.log()}")

    def _await_listening(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"postfix does not listen: {self.log()}")

    def log(self) -> str:
        """What it wrote."""
        file = self._folder / "postfix.log"
        return file.read_text() if file.exists() else ""

    def swaks(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Hand a mail to Postfix with swaks; gives the gateway's id once Postfix has handed it on."""
        file = self._folder / "mail.eml"
        file.write_bytes(raw)
        before = len(_QUEUED.findall(self.log()))
        command = ["swaks", "--server", "127.0.0.1", "--port", str(self._port), "--helo", "chd.example",
                   "--from", sender, "--to", recipient, "--data", f"@{file}", "--suppress-data"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
        if done.returncode:
            raise AssertionError(done.stdout.decode())
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found: list[str] = _QUEUED.findall(self.log())
            if len(found) > before:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not take it: {self.log()}")

    def mails(self, count: int, seconds: float) -> list[tuple[str, bytes]]:
        """(mailbox, octets with CRLF) of every mail, once there are `count`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            files = sorted((self._folder / "boxes").glob("**/new/*"))
            if len(files) >= count:
                return [_delivered(one.read_bytes()) for one in files]
            time.sleep(0.05)
        raise AssertionError(f"not all mails arrived: {self.log()}")


_QUEUED = re.compile(r"250 2\.0\.0 queued as (\w[\w-]*)\)")


def _delivered(octets: bytes) -> tuple[str, bytes]:
    """A Maildir file has bare line feeds, and says itself whom it was delivered to."""
    found = re.search(rb"^Delivered-To: (\S+)", octets, re.MULTILINE)
    assert found is not None
    return found[1].decode(), octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
