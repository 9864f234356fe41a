"""SoftHSM tokens of this run's own, written to by another process: one login counts for a whole process."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dcc.smime.keys import KeyPair
from throwaway import pem_key

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"
GATEWAY_PIN = "code-de-la-passerelle"
# SoftHSM sees only the tokens that were there when a process loaded it
LABELS = {
    "essai": PIN, "autre": PIN, "une-fois": PIN, "carte": PIN, "carte-bloquee": PIN, "passerelle": GATEWAY_PIN,
    "courbes": PIN, "carte-courbe": PIN, "passerelle-courbe": GATEWAY_PIN,
}  # fmt: skip
WRITE = """
import json
import sys
from pathlib import Path
from dcc.smime.keys import load_pkcs8
from dcc.smime.token import Token
from dcc.smime.tokenstore import put
module, token, pin, label, certificate = sys.argv[1:]
key, leaf, *chain = (bytes.fromhex(one) for one in json.load(sys.stdin))
pair = load_pkcs8(key, leaf, chain)
put(Token(Path(module), token, pin, writable=True), label, pair, certificate_label=certificate or None)
"""


@cache
def home() -> Path:
    """Where this process's tokens lie; SoftHSM reads its variable when it is first loaded."""
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n", encoding="ascii")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    for label, pin in LABELS.items():
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "12345678"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    return folder


@dataclass(frozen=True)
class HsmToken:
    """One token by its label."""

    label: str
    pin: str

    @classmethod
    def make(cls, label: str) -> HsmToken:
        """One of the tokens, empty when it is first asked for."""
        assert label in LABELS
        home()
        return cls(label, LABELS[label])

    def put(self, label: str, pair: KeyPair, certificate: str = "") -> None:
        """Write a key and its certificate, from a process of its own."""
        octets = (pem_key(pair), pair.certificate, *pair.chain)
        done = subprocess.run(
            [sys.executable, "-c", WRITE, str(MODULE), self.label, self.pin, label, certificate],
            input=json.dumps([one.hex() for one in octets]).encode(), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
