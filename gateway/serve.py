"""The running gateway: doors, workers and relay in one process, put together here and taken apart in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import structlog

from dcc.gateway import logs
from dcc.gateway.alive import Alive
from dcc.gateway.announce import Announcer
from dcc.gateway.crlfetch import ListFetcher
from dcc.gateway.crlwatch import ListRounds
from dcc.gateway.housekeeping import Housekeeper
from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics, start_metrics
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.ready import ReadyFile
from dcc.gateway.relay import relay_of
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import Settings
from dcc.gateway.smtp import SmtpDoor, server_context
from dcc.gateway.worker import WorkerGroup

STEP_SECONDS = 7.0  # the door's sessions, its commits, the workers, the relay: four steps within 30 s
log = structlog.get_logger("dcc.serve")


class CannotListen(Exception):
    """A port is taken, or not ours to open; the text is the sentence for the operator."""

    def __init__(self, section: str, host: str, port: int) -> None:
        super().__init__(f"{section}.port : on ne peut pas écouter sur {host}:{port} (port pris, ou réservé)")


def utc_now() -> datetime:
    """The clock of the process: the one place where the gateway reads it."""
    return datetime.now(UTC)


async def run(
    settings: Settings, roles: frozenset[str], ready: Callable[[dict[str, object]], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; ends within 30 s, with everything in flight finished.

    Raises ConfigurationError, CannotListen.
    """
    logs.configure()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with open_services(settings) as services:
        services.database.migrate()
        with services.database.begin() as conn:
            services.audit.open(conn, utc_now())
        async with AsyncExitStack() as stack:
            told = await start(services, roles, stack)
            stack.callback(ReadyFile(settings.directory / "run", told).remove)
            if ready is not None:
                ready(told)
            log.info("ready", roles=sorted(roles))
            await stop.wait()
            log.info("stopping")
    log.info("stopped")


async def start(services: Services, roles: frozenset[str], stack: AsyncExitStack) -> dict[str, object]:
    """Start these roles; the stack stops them, in order. Returns what `ready.json` says. Raises CannotListen."""
    settings = services.settings
    metrics = Metrics()
    services.count_end = metrics.count_end
    services.count_lost = metrics.count_lost
    told: dict[str, object] = {"pid": os.getpid(), "smtp": None, "portal": None, "portal_card": None, "metrics": None}
    try:
        server, _, address = start_metrics(settings.metrics.host, settings.metrics.port, metrics)
    except OSError as error:
        raise CannotListen("metrics", settings.metrics.host, settings.metrics.port) from error
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    told["metrics"] = address
    alive = Alive(settings.directory / "run", services.owner)
    stack.callback(alive.leave)
    housekeeper = Housekeeper(services, metrics, roles, alive, utc_now)
    await asyncio.to_thread(housekeeper.take_over)  # before the workers look for work
    finish: Callable[[], None] | None = None
    if "relay" in roles:
        announcer = Announcer(services, relay_of(settings), utc_now, metrics)
        stack.push_async_callback(_stop_group, alive, WorkerGroup(
            "relay", announcer.run_once, services.wake_relay, settings.relay.connections, announcer.close
        ).start())  # fmt: skip
        finish = announcer.finish
    if "worker" in roles:
        pipeline = Pipeline(services, utc_now)
        stack.push_async_callback(_stop_group, alive, WorkerGroup(
            "worker", pipeline.run_once, services.wake, settings.worker.threads).start())  # fmt: skip
    shortest = timedelta(seconds=min(settings.worker.lease_seconds, settings.relay.lease_seconds))
    beat = asyncio.create_task(services.leases.run(services.database, utc_now, shortest))
    stack.callback(beat.cancel)
    housekeeping = asyncio.create_task(housekeeper.run())
    stack.callback(housekeeping.cancel)
    if "worker" in roles and settings.trust.crl_urls:
        fetcher = ListFetcher(settings, services.judge.trust, services.random_bytes)
        rounds = asyncio.create_task(ListRounds(services, fetcher, metrics, utc_now).run())
        stack.callback(rounds.cancel)
    if "smtp" in roles:
        tls = None
        if settings.smtp.certificate is not None and settings.smtp.private_key is not None:
            tls = server_context(
                str(settings.path(settings.smtp.certificate)), str(settings.path(settings.smtp.private_key))
            )
        hostname = settings.gateway.address.rpartition("@")[2]
        door = SmtpDoor(settings.smtp, Intake(services, utc_now), tls, metrics, hostname)
        try:
            told.update(await door.start())
        except OSError as error:
            raise CannotListen("smtp", settings.smtp.host, settings.smtp.port) from error
        stack.push_async_callback(door.stop, STEP_SECONDS)
    if finish is not None:
        stack.callback(finish)  # called first: no further mail is begun while the door and the workers end
    return told


async def _stop_group(alive: Alive, group: WorkerGroup) -> None:
    if not await asyncio.to_thread(group.stop, STEP_SECONDS):
        alive.unfinished = True
        log.error("worker_did_not_stop")  # what it holds is taken over once this process has gone: nothing is lost
