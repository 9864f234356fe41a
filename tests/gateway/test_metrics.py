"""The metrics over HTTP: for any address of this machine, and nothing of who asks on standard error."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from dcc.gateway.metrics import Metrics, start_metrics


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_served_quietly_until_the_end(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Every series is told, nothing is written of it, and after the end nobody answers."""
    try:
        socket.getaddrinfo(host, 0, flags=socket.AI_ADDRCONFIG)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except OSError:
        pytest.skip("this machine has no such address")
    server, thread, _ = start_metrics(host, 0, Metrics())
    where = f"http://[{host}]:{server.server_port}" if ":" in host else f"http://{host}:{server.server_port}"
    with urllib.request.urlopen(f"{where}/metrics", timeout=30) as answer:
        assert b"dcc_messages_received_total 0.0" in answer.read()
    server.shutdown()
    server.server_close()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{where}/metrics", timeout=30)
    told = capfd.readouterr()
    assert told.out == told.err == ""
