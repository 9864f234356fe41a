"""An SMTP door in an event loop of its own, for tests that talk to it over a socket."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from datetime import UTC, datetime

from dcc.gateway.intake import Intake
from dcc.gateway.metrics import Metrics
from dcc.gateway.services import Services
from dcc.gateway.settings import SmtpSettings
from dcc.gateway.smtp import SmtpDoor, server_context


@dataclasses.dataclass
class RunningDoor:
    """A door in an event loop of its own thread."""

    door: SmtpDoor
    services: Services
    host: str
    port: int
    tls_port: int
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread

    def stop(self, grace: float = 5.0) -> None:
        """Stop it and end the loop."""
        asyncio.run_coroutine_threadsafe(self.door.stop(grace), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


def open_door(services: Services, **changes: object) -> RunningDoor:
    """Open a door with these SMTP settings changed."""
    base = services.settings.smtp.model_dump() | {"port": 0, "tls_port": 0, "free_disk_bytes": 0} | changes
    smtp = SmtpSettings(**base)
    certificate, key = services.settings.smtp.certificate, services.settings.smtp.private_key
    assert certificate is not None
    assert key is not None
    tls = server_context(str(services.settings.path(certificate)), str(services.settings.path(key)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    changed = services.settings.model_copy(update={"smtp": smtp})
    services.settings = changed
    intake = Intake(services, lambda: datetime.now(UTC))
    door = SmtpDoor(smtp, intake, tls, Metrics(), "dcc.example")
    told = asyncio.run_coroutine_threadsafe(door.start(), loop).result(10)
    host, _, port = told["smtp"].rpartition(":")
    return RunningDoor(door, services, host, int(port), int(told["smtps"].rpartition(":")[2]), loop, thread)
