"""A running gateway and its lists: new ones count at once, ages are measured, 36 hours are said, a responder is asked."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from dcc.gateway import logs
from dcc.gateway.crlfetch import ListFetcher
from dcc.gateway.crlwatch import ListRounds, ListWatch
from dcc.gateway.demo_deposits import Draft
from dcc.gateway.metrics import Metrics
from dcc.gateway.running import serving
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox.records import MessageState
from demoinstance import DemoInstance
from inprocess import Rooms
from listhost import ListHost, http, list_host
from terminal import dcc


@pytest.fixture
def host() -> Iterator[ListHost]:
    """Where lists are published and questions answered."""
    with list_host() as found:
        yield found


@pytest.fixture
def own(demo: DemoInstance, tmp_path: Path) -> Path:
    """An instance of the test's own, without any list."""
    directory = demo.copy(tmp_path / "instance")
    for path in (directory / "demo/crls").iterdir():
        path.unlink()
    return directory


def configure(directory: Path, *lines: str) -> Path:
    """Add to the section `trust`."""
    config = directory / "dcc.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[trust]\n", "[trust]\n" + "\n".join(lines) + "\n"), encoding="utf-8")
    return config


def publish(host: ListHost, demo: DemoInstance, *, age: float = 1, number: int = 5) -> str:
    """Put every authority's list on the host; the setting that fetches them."""
    lists = list(demo.lists(age=timedelta(hours=age), life=timedelta(days=6), number=number))
    host.answers = {f"/{place}.crl": http(der) for place, der in enumerate(lists)}
    return "crl_urls = [" + ", ".join(f'"{host.url(path)}"' for path in host.answers) + "]"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One series."""
    return metrics.registry.get_sample_value(name, labels)


def rounds(services: Services, metrics: Metrics, clock: Any) -> ListRounds:
    """The rounds of a gateway."""
    fetcher = ListFetcher(services.settings, services.judge.trust, os.urandom)
    return ListRounds(services, fetcher, metrics, clock)


def test_what_is_fetched_counts_at_once(host: ListHost, own: Path, demo: DemoInstance) -> None:
    """Without lists a mail is held; fetched, they are in force without a restart, and the mail is filed."""
    config = configure(own, publish(host, demo))
    with open_services(load_settings(config)) as services:
        rooms, metrics = Rooms(services), Metrics()
        before = rooms.deposit()
        rooms.work()
        assert rooms.message(before).reason_code == "D2R-CRL03"
        done = rounds(services, metrics, rooms.clock).fetch_due()
        assert {one.reason for one in done} == {None}
        assert value(metrics, "dcc_crl_fetches_total", result="taken") == len(host.answers)
        after = rooms.deposit()
        rooms.work()
        assert rooms.message(after).state is MessageState.FILED
        assert rounds(services, metrics, rooms.clock).fetch_due() == ()


def test_ages_and_the_warning(host: ListHost, own: Path, demo: DemoInstance) -> None:
    """Ages by authority; at 36 hours a line in the log, once, and `dcc crl list` and `check-config` say it too."""
    config = configure(own, publish(host, demo, age=30))
    with open_services(load_settings(config)) as services:
        rooms, metrics = Rooms(services), Metrics()
        rounds(services, metrics, rooms.clock).fetch_due()
        written = io.StringIO()
        logs.configure(written)
        watch = ListWatch(services, metrics)
        watch.measure(rooms.clock())
        assert written.getvalue() == ""
        watch.measure(rooms.clock() + timedelta(hours=7))
        watch.measure(rooms.clock() + timedelta(hours=7, seconds=5))
        (line,) = [json.loads(one) for one in written.getvalue().splitlines()]
        assert (line["event"], line["hours"]) == ("crl_old", 36)
        assert "TEST AC IGC-SANTE FORT PERSONNES" in " ".join(line["sources"])
        ages = [one for one in metrics.crl_ages.collect()[0].samples if one.labels["kind"] == "base"]
        assert len(ages) == len(host.answers)
        assert all(36.5 < one.value < 37.5 for one in ages)
        assert 6.5 < (value(metrics, "dcc_crl_silence_hours") or 0) < 7.5
        assert value(metrics, "dcc_crl_override") == 0
    assert all(one["old"] is False and one["fetched_at"] for one in dcc("crl", "list", "-c", config, "--json").json)


def test_update_without_a_file_fetches(host: ListHost, own: Path, demo: DemoInstance) -> None:
    """`dcc crl update` alone fetches everything now: 0 taken, 1 one is refused, 3 a host does not answer, 78 no URL."""
    assert dcc("crl", "update", "-c", own / "dcc.toml").code == 78
    config = configure(own, publish(host, demo))
    done = dcc("crl", "update", "-c", config, "--json")
    assert (done.code, {one["result"] for one in done.json}) == (0, {"taken"})
    assert dcc("crl", "list", "-c", config).code == 0
    publish(host, demo, number=4)
    refused = dcc("crl", "update", "-c", config)
    assert refused.code == 1
    assert "numéro inférieur à celui de la liste déjà connue (5)" in refused.out
    host.ended.set()
    with list_host() as gone:
        url = gone.url("/a")
    alone = dcc("crl", "update", "-c", config, environment={"DCC_TRUST__CRL_URLS": f'["{url}"]'})
    assert (alone.code, "hôte injoignable" in alone.out) == (3, True)
    warned = dcc("check-config", "-c", config, "--json", environment={"DCC_TRUST__CRL_URLS": f'["{url}"]'})
    assert any(one.startswith("trust.crl_urls") for one in warned.json["warnings"])


def test_serve_fetches(host: ListHost, own: Path, demo: DemoInstance, tmp_path: Path) -> None:
    """`dcc serve` fetches what was never fetched as soon as it starts, and ends in order."""
    config = configure(own, publish(host, demo))
    arrived = []
    with serving(config, "worker", tmp_path / "log"):
        for _ in range(600):
            arrived = list((own / "demo/crls").glob("*.crl"))
            if len(arrived) == len(host.answers):
                break
            host.ended.wait(0.1)
    assert len(arrived) == len(host.answers)


def responder(demo: DemoInstance, status: Any, at: Any) -> bytes:
    """The authority's own answer about the coordinator's card."""
    card = demo.issued.people["coordinator"]["card"]
    assert card is not None
    own = x509.load_der_x509_certificate(card.certificate)
    parent = next(one for one in demo.issued.pki.authorities.values() if one.name == own.issuer)
    issuing = x509.load_der_x509_certificate(parent.der)
    revoked = at - timedelta(days=1) if status is ocsp.OCSPCertStatus.REVOKED else None
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=own, issuer=issuing, algorithm=hashes.SHA1(), cert_status=status, this_update=at - timedelta(minutes=5),
        next_update=at + timedelta(hours=1), revocation_time=revoked, revocation_reason=None,
    )  # fmt: skip
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuing).sign(parent.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("mode", "status", "lists", "ended"),
    [
        ("never", "GOOD", False, "D2R-CRL03"),
        ("unknown", "GOOD", False, None),
        ("unknown", "UNKNOWN", False, "D2R-CRL03"),
        ("unknown", "REVOKED", False, "D2R-CRL02"),
        ("unknown", "REVOKED", True, None),
        ("always", "REVOKED", True, "D2R-CRL02"),
        ("always", "GOOD", True, None),
    ],
)
def test_a_responder_is_asked(
    mode: str, status: str, lists: bool, ended: str | None, host: ListHost, own: Path, demo: DemoInstance
) -> None:
    """Never, where lists do not tell, or each time; its answer decides, is kept as proof, and is asked for once."""
    config = configure(own, f'ocsp = "{mode}"', f'ocsp_url = "{host.url("/ocsp")}"')
    kept = list(demo.lists(age=timedelta(hours=1), life=timedelta(days=6), number=2))
    # The authorities are judged by lists in any case: only the cards' own list may be missing
    for place, der in enumerate(kept):
        if lists or b"PERSONNES" not in x509.load_der_x509_crl(der).issuer.public_bytes():
            (own / "demo/crls" / f"{place}.crl").write_bytes(der)
    with open_services(load_settings(config)) as services:
        rooms = Rooms(services)
        host.answers["/ocsp"] = http(responder(demo, getattr(ocsp.OCSPCertStatus, status), rooms.clock()))
        messages = [rooms.deposit(Draft("coordinator", "main")) for _ in range(2)]
        rooms.work()
        assert {rooms.message(one).reason_code for one in messages} == {ended}
    asked = mode == "always" or (mode == "unknown" and not lists)
    repeated = status == "UNKNOWN"  # an answer that does not decide is not kept
    assert len(host.asked) == (0 if not asked else 2 if repeated else 1)
    proved = dcc("message", "reverify", messages[0], "-c", config, "--json")
    assert (proved.code, proved.json["confirmed"]) == (0, True)
    if asked and status == "GOOD":
        assert any("ocsp_this_update" in one for one in proved.json["checks"])


def test_a_silent_responder_is_left_alone_for_a_minute(host: ListHost, own: Path) -> None:
    """Mails do not wait one after another for a responder that fails; a minute later it is asked again."""
    config = configure(own, 'ocsp = "unknown"', f'ocsp_url = "{host.url("/ocsp")}"')
    host.answers["/ocsp"] = http(b"", "503 Service Unavailable")
    with open_services(load_settings(config)) as services:
        rooms = Rooms(services)
        for _ in range(3):
            rooms.deposit()
        rooms.work()
        assert len(host.asked) == 1
        rooms.clock.later(minutes=1)
        rooms.deposit()
        rooms.work()
        assert len(host.asked) == 2
