"""`dcc serve`: what it says when it listens, what it does at SIGTERM, and its roles."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcc.gateway.cast_reader import Cast
from terminal import dcc

START_SECONDS = 90.0  # generous: the machine may be busy
STOP_SECONDS = 30.0  # the contract's


@contextmanager
def served(instance: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The gateway as a service manager starts it; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dcc.gateway.cli", "serve", "-c", str(instance / "dcc.toml"), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(instance: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What `run/ready.json` says, once it is there."""
    path = instance / "run" / "ready.json"
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    found: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    return found


def host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def test_from_ready_to_sigterm(instance: Path) -> None:
    """`run/ready.json` tells pid and true ports when it listens; SIGTERM dismisses an idle session and ends with 0."""
    with served(instance) as process:
        told = ready(instance, process)
        assert set(told) >= {"pid", "smtp", "portal", "portal_card", "metrics"}
        assert told["pid"] == process.pid
        assert (told["portal"], told["portal_card"]) == (None, None)  # no portal in this version
        with smtplib.SMTP(*host_port(told["smtp"]), timeout=60) as client:
            client.ehlo()
            assert client.has_extn("starttls")
            assert not client.has_extn("auth")
            assert int(client.esmtp_features["size"]) >= 150_000_000
            with urllib.request.urlopen(f"http://{told['metrics']}/metrics", timeout=60) as answer:
                assert b"dcc_messages_received_total 0.0" in answer.read()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code, _ = client.getreply()
            assert code == 421
        out, err = process.communicate(timeout=STOP_SECONDS)
        assert time.monotonic() - began < STOP_SECONDS
        assert process.returncode == 0
        assert out == b""
        events = [json.loads(line)["event"] for line in err.splitlines()]
        assert (events[0], events[-1]) == ("ready", "stopped")
        assert not (instance / "run" / "ready.json").exists()


def test_a_mail_under_way_is_finished(instance: Path) -> None:
    """At SIGTERM a mail in DATA is still taken, and its 250 is true: the message is in the database."""
    cast = Cast.load(instance)
    with served(instance, "--role", "smtp") as process:
        told = ready(instance, process)
        client = smtplib.SMTP(*host_port(told["smtp"]), timeout=60)
        try:
            client.ehlo()
            client.mail(cast.person("gp")["mailbox"])
            client.rcpt(cast.folder("main")["address"])
            assert client.docmd("DATA")[0] == 354
            client.send(b"From: a@b.example\r\nSubject: x\r\n\r\nhalf of a line")
            process.send_signal(signal.SIGTERM)
            _wait_refusal(host_port(told["smtp"]))
            client.send(b", and the rest\r\n.\r\n")
            code, text = client.getreply()
        finally:
            client.close()
        assert code == 250
        message_id = text.decode().rpartition(" ")[2]
        process.communicate(timeout=STOP_SECONDS)
        assert process.returncode == 0
    shown = dcc("message", "show", message_id, "-c", instance / "dcc.toml", "--json")
    assert shown.json["state"] == "received"


def _wait_refusal(address: tuple[str, int]) -> None:
    """Until the port takes no new connection: the gateway has seen the signal."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(address, 5).close()
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("still listening")


def test_roles_apart(instance: Path) -> None:
    """`--role worker,relay` opens no door; `--json` prints what ready.json says as one document; SIGINT ends it too."""
    with served(instance, "--role", "worker,relay", "--json") as process:
        told = ready(instance, process)
        assert told["smtp"] is None
        assert told["metrics"] is not None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=STOP_SECONDS)
        assert json.loads(out) == told
        assert process.returncode == 0


def test_processes_beside_each_other(instance: Path) -> None:
    """A worker started and ended beside the door leaves the door's address where scripts look for it."""
    path = instance / "run" / "ready.json"
    with served(instance, "--role", "smtp") as door:
        address = ready(instance, door)["smtp"]
        for options in (("--role", "worker"), ("--role", "smtp")):
            with served(instance, *options) as other:
                other_told = _ready_of(other, instance)
                assert (other_told["smtp"] == address) is ("worker" in options)
                other.send_signal(signal.SIGTERM)
                other.communicate(timeout=STOP_SECONDS)
            assert ready(instance, door)["smtp"] == address
        with served(instance, "--role", "worker") as other:
            _ready_of(other, instance)
            door.send_signal(signal.SIGTERM)
            door.communicate(timeout=STOP_SECONDS)
            left = json.loads(path.read_text(encoding="ascii"))
            assert (left["pid"], left["smtp"]) == (other.pid, None)
            other.send_signal(signal.SIGTERM)
            other.communicate(timeout=STOP_SECONDS)
    assert not path.exists()


def _ready_of(process: subprocess.Popen[bytes], instance: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while (told := ready(instance, process))["pid"] != process.pid:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return told


def test_ready_file_of_the_killed(instance: Path) -> None:
    """What a killed process has left is not handed on."""
    with served(instance, "--role", "smtp") as door:
        ready(instance, door)
        door.kill()
        door.wait()
    with served(instance, "--role", "worker") as other:
        assert _ready_of(other, instance)["smtp"] is None


def test_a_role_of_later_is_said(instance: Path) -> None:
    """Roles that this version lacks are accepted and said; alone they leave nothing to do, which is a usage error."""
    done = dcc("serve", "-c", instance / "dcc.toml", "--role", "portal")
    assert done.code == 2
    assert done.err.splitlines()[0] == "le rôle portal n'existe pas encore dans cette version : il est ignoré"
    assert dcc("serve", "-c", instance / "dcc.toml", "--role", "smtp,cuisine").code == 2
    assert dcc("serve", "-c", instance / "dcc.toml", "--role", "").code == 2


def test_a_port_that_is_taken(instance: Path) -> None:
    """A port in use is one line and exit 78, whichever port it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for variable, section in (("DCC_SMTP__PORT", "smtp"), ("DCC_METRICS__PORT", "metrics")):
            done = dcc("serve", "-c", instance / "dcc.toml", environment={variable: port})
            assert done.code == 78
            said = [line for line in done.err.splitlines() if not line.startswith("{")]
            assert said == [f"{section}.port : on ne peut pas écouter sur 127.0.0.1:{port} (port pris, ou réservé)"]
    assert not (instance / "run" / "ready.json").exists()
