"""Metrics: every series exists at 0 before the first event; no address and no patient in a label."""

from __future__ import annotations

import socket
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from dcc.mailbox.records import ENDS, DeliveryState, MessageState
from dcc.router.reasons import table

REPLIES = ("250", "421", "451", "452", "500", "501", "502", "503", "530", "550", "552", "553", "554", "555")
FETCHES = ("taken", "refused", "unreachable")
USES = ("signing", "decryption")  # the first decryption key: the one that is announced
LOST = ("expired", "rejected", "bounced", "waiting")
LOOK_SECONDS = 0.05  # how long the end of the metrics' server takes at most
STAGES = ("opened", "identified", "read", "decided", "settled")


class Metrics:
    """The series of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = Counter("dcc_messages_received", "Messages answered with 250", registry=self.registry)
        self.rejected = Counter("dcc_smtp_rejected", "SMTP refusals by code", ["code"], registry=self.registry)
        self.connections = Gauge("dcc_smtp_connections", "Open SMTP connections", registry=self.registry)
        self.refused_connections = Counter(
            "dcc_smtp_connections_refused", "Connections refused for being too many", registry=self.registry
        )
        self.ended = Counter(
            "dcc_messages_ended", "Messages by end and reason", ["state", "code"], registry=self.registry
        )
        self.deliveries = Counter("dcc_deliveries", "Outgoing mails by state", ["state"], registry=self.registry)
        self.lost = Counter(
            "dcc_deliveries_lost", "Outgoing mails finally not delivered, by why", ["why"], registry=self.registry
        )
        self.queue = Gauge("dcc_queue_depth", "Messages by state", ["state"], registry=self.registry)
        self.queue_age = Gauge(
            "dcc_queue_oldest_seconds", "Age of the oldest message by state", ["state"], registry=self.registry
        )
        self.outbox = Gauge("dcc_outbox_depth", "Mails owed", registry=self.registry)
        self.outbox_age = Gauge("dcc_outbox_oldest_seconds", "Age of the oldest mail owed", registry=self.registry)
        self.crl_age = Gauge("dcc_crl_oldest_hours", "Age of the oldest opposition list held", registry=self.registry)
        self.crl_ages = Gauge(
            "dcc_crl_age_hours", "Age of the opposition list in force", ["authority", "kind"], registry=self.registry
        )
        self.crl_silence = Gauge(
            "dcc_crl_silence_hours", "Hours since the list fetched longest ago was fetched", registry=self.registry
        )
        self.crl_fetches = Counter(
            "dcc_crl_fetches", "Fetchings of opposition lists by result", ["result"], registry=self.registry
        )
        self.crl_override = Gauge(
            "dcc_crl_override", "1 while stale opposition lists are overridden", registry=self.registry
        )
        self.own_certificate = Gauge(
            "dcc_own_certificate_days", "Days until the gateway's own certificate ends", ["use"], registry=self.registry
        )
        self.free_disk = Gauge("dcc_spool_free_bytes", "Free disk of the spool", registry=self.registry)
        self.stage = Histogram("dcc_stage_seconds", "Duration of a stage", ["stage"], registry=self.registry)
        for code in REPLIES[1:]:
            self.rejected.labels(code=code)
        for state in ENDS:
            self.ended.labels(state=state.value, code="")
        for code, entry in table().items():
            if entry.outcome in {"refused", "held"}:
                self.ended.labels(state=entry.outcome, code=code)
        for delivery_state in DeliveryState:
            self.deliveries.labels(state=delivery_state.value)
        for why in LOST:
            self.lost.labels(why=why)
        for message_state in MessageState:
            self.queue.labels(state=message_state.value)
            self.queue_age.labels(state=message_state.value)
        for result in FETCHES:
            self.crl_fetches.labels(result=result)
        for use in USES:
            self.own_certificate.labels(use=use)
        for stage in STAGES:
            self.stage.labels(stage=stage)

    def answered(self, reply: str) -> None:
        """Count the reply to one message."""
        if reply.startswith("250"):
            self.received.inc()
        else:
            self.rejected.labels(code=reply[:3]).inc()

    def count_end(self, state: MessageState, code: str | None) -> None:
        """Count the end of one message."""
        self.ended.labels(state=state.value, code=code or "").inc()

    def count_lost(self, why: str) -> None:
        """Count one outgoing mail that was finally not delivered."""
        self.lost.labels(why=why).inc()


class _Quiet(WSGIRequestHandler):
    """Says nothing of who asks: standard error belongs to the log."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def start_metrics(host: str, port: int, metrics: Metrics) -> tuple[WSGIServer, Thread, str]:
    """Serve the series over HTTP on a local port; returns (server, thread, "host:port"). Raises OSError."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    kind = type("MetricsServer", (ThreadingWSGIServer,), {"address_family": family})
    server: WSGIServer = make_server(host, port, make_wsgi_app(metrics.registry), kind, _Quiet)
    # The library's own thread looks for the end twice a second, and the gateway's end would wait for it
    thread = Thread(target=server.serve_forever, args=(LOOK_SECONDS,), name="metrics", daemon=True)
    thread.start()
    return server, thread, f"{host}:{server.server_port}"
