"""OpenLDAP with one authority's opposition list, as IGC-Santé's directory publishes them."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
database mdb
suffix "o=dcc"
directory {folder}/data
maxsize 268435456
"""
ENTRIES = """dn: o=dcc
objectClass: organization
o: dcc

dn: cn=AC TEST,o=dcc
objectClass: organizationalRole
objectClass: pkiCA
cn: AC TEST
certificateRevocationList;binary:: {list}
"""


@contextmanager
def list_directory(folder: Path, crl: bytes) -> Iterator[int]:
    """The port where `cn=AC TEST,o=dcc` holds this list, until the end of the block."""
    (folder / "data").mkdir(parents=True)
    configuration = folder / "slapd.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder), encoding="ascii")
    entries = folder / "entries.ldif"
    entries.write_text(ENTRIES.format(list=base64.b64encode(crl).decode()), encoding="ascii")
    program = shutil.which("slapd") or "/usr/sbin/slapd"
    add = [program, "-T", "add", "-f", str(configuration), "-l", str(entries)]
    subprocess.run(add, check=True, capture_output=True, timeout=60)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "-f", str(configuration), "-h", f"ldap://127.0.0.1:{port}", "-d", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(server, port)
            yield int(port)
        finally:
            server.terminate()
            server.wait(30)


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError("slapd ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("slapd does not listen")
