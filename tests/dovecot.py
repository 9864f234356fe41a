"""A private Dovecot: one folder holds its settings and its mail, nothing of the system's is touched."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 60.0
PASSWORD = "secret"
SETTINGS = """base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


class Dovecot:
    """IMAP on 127.0.0.1 for any mailbox, the password always the same; mail is dropped in as files."""

    def __init__(self, port: int) -> None:
        # Its processes are not root. Below pytest's folder they lose their mail whenever another run of pytest begins,
        # which makes the folder its owner's alone again.
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="dcc-d", dir="/tmp")), port
        folder = self.folder
        root = os.geteuid() == 0
        # As root the mail's owner must not be root; without root everything is one's own
        owner = pwd.getpwnam("mail") if root else pwd.getpwuid(os.geteuid())
        self._uid, self._gid = owner.pw_uid, owner.pw_gid
        folder.chmod(0o711)
        (folder / "mail").mkdir(mode=0o755)
        self._own(folder / "mail")
        names = ("dovecot", "dovenull", "dovecot") if root else (owner.pw_name, owner.pw_name, str(owner.pw_gid))
        text = SETTINGS.format(
            folder=folder, internal=names[0], login=names[1], group=names[2], password=PASSWORD, uid=self._uid,
            gid=self._gid, port=port,
        )  # fmt: skip
        (folder / "dovecot.conf").write_text(text)
        program = shutil.which("dovecot") or "/usr/sbin/dovecot"
        self._process = subprocess.Popen(
            [program, "-F", "-c", str(folder / "dovecot.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _own(self, path: Path) -> None:
        os.chown(path, self._uid, self._gid)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
                if line.recv(64).startswith(b"* OK"):  # it is this program that listens, and it serves
                    return
            time.sleep(0.05)
        log = self.folder / "dovecot.log"
        raise ConnectionError(log.read_text() if log.exists() else "dovecot did not start")

    def deliver(self, mailbox: str, name: str, mail: bytes) -> None:
        """Put one mail into a mailbox."""
        box = self.folder / "mail" / mailbox
        for one in (box, box / "tmp", box / "new", box / "cur"):
            if not one.exists():
                one.mkdir(mode=0o700)
                self._own(one)
        aside = box / "tmp" / name
        aside.write_bytes(mail)
        self._own(aside)
        aside.rename(box / "new" / name)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
