"""The running gateway: doors, workers and relay in one process, put together here and taken apart in order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from dcc.gateway import logs
from dcc.gateway.announce import Announcer
from dcc.gateway.held import recheck_due
from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics, start_metrics
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.relay import relay_of
from dcc.gateway.services import Services, load_crls, open_services
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.smtp import SmtpDoor, server_context
from dcc.gateway.worker import WorkerGroup
from dcc.mailbox import messages, outbox

STEP_SECONDS = 7.0  # the door's sessions, its commits, the workers, the relay: four steps within 30 s
HOUSEKEEPING_SECONDS = 5.0
ORPHAN_AGE = timedelta(hours=24)
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
            told = await _start(services, roles, stack)
            _write_ready(settings, told)
            stack.callback(_remove_ready, settings)
            if ready is not None:
                ready(told)
            log.info("ready", roles=sorted(roles))
            await stop.wait()
            log.info("stopping")
    log.info("stopped")


async def _start(services: Services, roles: frozenset[str], stack: AsyncExitStack) -> dict[str, object]:
    settings = services.settings
    metrics = Metrics()
    services.count_end = metrics.count_end
    told: dict[str, object] = {"pid": os.getpid(), "smtp": None, "portal": None, "portal_card": None, "metrics": None}
    try:
        server, _, address = start_metrics(settings.metrics.host, settings.metrics.port, metrics)
    except OSError as error:
        raise CannotListen("metrics", settings.metrics.host, settings.metrics.port) from error
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    told["metrics"] = address
    if "relay" in roles:
        announcer = Announcer(services, relay_of(settings), utc_now, metrics)
        stack.push_async_callback(_stop_group, WorkerGroup(
            "relay", announcer.run_once, services.wake_relay, settings.relay.connections).start())  # fmt: skip
    if "worker" in roles:
        pipeline = Pipeline(services, utc_now)
        stack.push_async_callback(_stop_group, WorkerGroup(
            "worker", pipeline.run_once, services.wake, settings.worker.threads).start())  # fmt: skip
    housekeeping = asyncio.create_task(_housekeeping(services, metrics, roles))
    stack.callback(housekeeping.cancel)
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
    return told


async def _stop_group(group: WorkerGroup) -> None:
    if not await asyncio.to_thread(group.stop, STEP_SECONDS):
        log.error("worker_did_not_stop")  # its message is leased and will be claimed again: nothing is lost


async def _housekeeping(services: Services, metrics: Metrics, roles: frozenset[str]) -> None:
    """Timers that fall due, new opposition lists, orphans, gauges."""
    while True:
        try:
            await asyncio.to_thread(_keep_house, services, metrics, roles)
        except Exception as error:  # noqa: BLE001
            # Housekeeping must outlive a database that is gone for a while; the next round tries again.
            log.error("housekeeping_failed", error=type(error).__name__)  # noqa: TRY400
        await asyncio.sleep(HOUSEKEEPING_SECONDS)


def _keep_house(services: Services, metrics: Metrics, roles: frozenset[str]) -> None:
    now = utc_now()
    try:
        load_crls(services.settings, services.judge.crls)
    except ConfigurationError as error:
        log.error("crl_unreadable", count=len(error.problems))  # noqa: TRY400  the other lists and the timers go on
    if "worker" in roles:
        recheck_due(services, now)
    with services.database.read() as conn:
        by_state = messages.depth_by_state(conn)
        owed, oldest = outbox.queued(conn)
    for state, (count, since) in by_state.items():
        metrics.queue.labels(state=state.value).set(count)
        metrics.queue_age.labels(state=state.value).set(0 if since is None else (now - since).total_seconds())
    metrics.outbox.set(owed)
    metrics.outbox_age.set(0 if oldest is None else (now - oldest).total_seconds())
    metrics.free_disk.set(services.spool.free_bytes())
    lists = services.judge.crls.infos()
    metrics.crl_age.set(max(((now - one.this_update).total_seconds() / 3600 for one in lists), default=0))
    if "smtp" in roles:
        _clear_orphans(services, now)


def _clear_orphans(services: Services, now: datetime) -> None:
    """Files that no row names and that nobody was told of: their senders send them again (I1)."""
    names = list(services.spool.orphans(now - ORPHAN_AGE))
    if not names:
        return
    with services.database.read() as conn:
        known = messages.known_ids(conn, [Path(name).stem for name in names])
    for name in names:
        if Path(name).stem not in known or name.endswith(".part"):
            services.spool.discard_file(name)


def _write_ready(settings: Settings, told: dict[str, object]) -> None:
    folder = settings.directory / "run"
    folder.mkdir(exist_ok=True)
    aside = folder / f"ready.{time.monotonic_ns()}"
    aside.write_text(json.dumps(told) + "\n", encoding="ascii")
    aside.replace(folder / "ready.json")


def _remove_ready(settings: Settings) -> None:
    (settings.directory / "run" / "ready.json").unlink(missing_ok=True)
