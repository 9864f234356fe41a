"""A story played: a whole gateway in this process, mails through its SMTP door, and everything that it left behind."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyotp
import structlog
from sqlalchemy import update

from dcc.gateway import logs
from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import report_entity
from dcc.gateway.held import recheck_due
from dcc.gateway.serve import start, utc_now
from dcc.gateway.services import Services, load_crls, open_database, open_services
from dcc.gateway.settings import Settings, load_settings
from dcc.gateway.submission import submit, wait_for_end, wait_for_mails
from dcc.gateway.views import folder_view, message_view
from dcc.mailbox import audit, folders, messages, outbox, people
from dcc.mailbox.records import Delivery, Folder, MessageState
from dcc.mailbox.schema_people import tokens
from demoinstance import DemoInstance
from goldenmail import unseal
from postoffice import PostOffice, free_port
from presenceproof import presence_proof
from story import Send, Story
from storymail import Made, address_of, make, wrap
from terminal import dcc

SECRET = re.compile(r"\b([0-9A-Z]{5}(?:-[0-9A-Z]{1,5}){5})\b")
KEY = re.compile(r"^ {4}((?:[A-Z2-7]{4} ?){8})\r?$", re.MULTILINE)  # of a second factor
SECONDS = 60.0  # the longest wait for what normally takes a few hundredths
ROLES = frozenset({"smtp", "worker", "relay"})
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Received:
    """One mail in one mailbox."""

    person: str
    delivery: Delivery
    raw: bytes


@dataclass
class Played:
    """What a story left."""

    story: Story
    directory: Path
    temporary: Path
    cast: Cast
    made: list[Made] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)  # as `dcc message show --json` tells them
    first_ends: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)  # as `dcc folder show --json`
    opened: list[Folder] = field(default_factory=list)  # in the story
    records: list[dict[str, Any]] = field(default_factory=list)  # as `dcc audit export`
    log: str = ""
    metrics: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    proof: tuple[str, str, bytes] | None = None  # the last proof of presence
    away: ExitStack = field(default_factory=ExitStack)


@dataclass
class _Running:
    services: Services
    told: Mapping[str, object]


@contextmanager
def gateway(settings: Settings, log: StringIO) -> Iterator[_Running]:
    """Doors, workers and relay in this process, put together as `dcc serve` does it; every log line at DEBUG."""
    ready: Future[Mapping[str, object]] = Future()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def life(services: Services) -> None:
        ended = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ended))
        async with AsyncExitStack() as stack:
            ready.set_result(await start(services, ROLES, stack))
            await ended.wait()

    def run(services: Services) -> None:
        try:
            asyncio.run(life(services))
        except BaseException as error:  # whatever it is, the test must see it
            if not ready.done():
                ready.set_exception(error)
            raise

    with _logged(log), open_services(settings) as services:
        with services.database.begin() as conn:
            services.audit.open(conn, utc_now())
        thread = threading.Thread(target=run, args=(services,))
        thread.start()
        try:
            yield _Running(services, ready.result(SECONDS))
        finally:
            for loop, ended in stop:
                loop.call_soon_threadsafe(ended.set)
            thread.join(SECONDS)


@contextmanager
def _logged(log: StringIO) -> Iterator[None]:
    """Our own events and those of every library, from DEBUG on, as a process with the most talkative settings."""
    before, root = structlog.get_config(), logging.getLogger()
    level, handler = root.level, logging.StreamHandler(log)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logs.configure(log, logging.DEBUG)
    try:
        yield
    finally:
        structlog.configure(**before)
        root.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def _own_temporary(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def play(story: Story, demo: DemoInstance, folder: Path) -> Played:
    """Play a story in an instance of its own under `folder`."""
    directory = demo.copy(folder / "instance")
    cast = Cast.load(directory)
    cast.told["patients"].append(STRANGER)
    if story.lists == "stale":
        _put_lists(directory / "demo" / "crls", demo, age=40 * DAY, number=1)
    played = Played(story, directory, folder / "temporary", cast)
    log = StringIO()
    environment = {"DCC_WORKER__REVOCATION_RETRY_SECONDS": "0.5"}
    with ExitStack() as stack, played.away:
        post = None
        if story.via == "postfix":
            port = free_port()
            environment |= {"DCC_RELAY__KIND": "smtp", "DCC_RELAY__PORT": str(port)}
            post = PostOffice(port)
        settings = load_settings(directory / "dcc.toml", environment)
        stack.enter_context(_own_temporary(played.temporary))
        running = stack.enter_context(gateway(settings, log))
        if post is not None:
            stack.enter_context(post.open(str(running.told["smtp"]), _domains(cast)))
        for send in story.sends:
            _send(send, played, running, demo, post)
        played.received = _received(played, post)
        played.metrics = _metrics(str(running.told["metrics"]))
        _look(played, running.services)
    played.log = log.getvalue()
    return played


def _look(played: Played, services: Services) -> None:
    with services.database.read() as conn:
        for one in played.cast.told["folders"]:
            folder = folders.folder(conn, one["id"])
            assert folder is not None
            played.folders[one["key"]] = folder_view(conn, folder)
        told = {one["id"] for one in played.cast.told["folders"]}
        played.opened = [one for one in folders.list_folders(conn) if one.id not in told]
        played.records = list(audit.export(conn))
        keys = {one["mailbox"]: one["key"] for one in played.cast.told["people"]}
        for account in people.list_accounts(conn):
            played.accounts[f"{account.network}.{keys[account.mailbox]}"] = account.state.value


# Nobody's folder: an INS of the test range that no network knows
STRANGER: dict[str, Any] = {
    "key": "stranger", "ins": "255081416802538", "oid": "1.2.250.1.213.1.4.10", "birth_name": "PAT-NEUF",
    "given_names": ["SIMONE"], "sex": "F", "birth_date": "1955-08-22", "birth_place": "14168", "status": "QUAL",
}  # fmt: skip


def _send(send: Send, played: Played, running: _Running, demo: DemoInstance, post: PostOffice | None) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    cast, services = played.cast, running.services
    _prepare(send, played, services, demo)
    if send.mail is not None:
        raw = (played.story.path / send.mail).read_text(encoding="utf-8")
        made = Made(_filled(raw, played, send).replace("\n", "\r\n").encode(), b"", {})
    elif send.words is not None:
        inner = report_entity(_words(send.words, played, demo), _proof(send, played, demo, at))
        made = Made(wrap(send, inner, cast, demo, at), inner, {})
    elif send.repeat == "octets":
        made = played.made[0]
    elif send.repeat == "content":
        first = played.made[0]
        made = Made(wrap(send, first.inner, cast, demo, at), first.inner, first.attached)
    else:
        made = make(send, cast, demo, at)
    sender = send.envelope_from
    if sender is None:
        sender = send.from_address or cast.person(send.from_person or send.by)["mailbox"]
    to = address_of(send, cast)
    if post is None:
        message = submit(str(running.told["smtp"]), made.raw, sender=sender, recipient=to, timeout=SECONDS)
    else:
        message = post.swaks(made.raw, sender=sender, recipient=to)
    ended = wait_for_end(services.database, message, seconds=SECONDS)
    assert ended is not None, "the message has no end"
    if not send.relay_away:
        played.away.close()
        services.wake_relay.set()
        assert wait_for_mails(services.database, seconds=SECONDS), "mails are owed still"
    played.first_ends.append(ended.state.value)
    if send.after_fresh_lists is not None:
        _fresh_lists(played, services, demo)
        _judge_again(services, message)
        assert wait_for_mails(services.database, seconds=SECONDS), "mails are owed still"
    played.made.append(made)
    with services.database.read() as conn:
        found = messages.get(conn, message)
        assert found is not None
        played.messages.append(message_view(conn, found))


def _prepare(send: Send, played: Played, services: Services, demo: DemoInstance) -> None:
    """What happens before this mail is sent: time passes, an operator acts, the next host goes away."""
    if send.codes_expire:
        with services.database.begin() as conn:
            conn.execute(update(tokens).values(expires_at=utc_now() - timedelta(seconds=1)))
    if send.before is not None:
        words = shlex.split(_words(send.before, played, demo))
        done = dcc(*words, "-c", played.directory / "dcc.toml", "--operator", "A. Martin")
        assert done.code == 0, done.err
    if send.relay_away:
        played.away.enter_context(patch.object(outbox, "claim_due", lambda *_told, **_more: []))


def _proof(send: Send, played: Played, demo: DemoInstance, at: datetime) -> Sequence[tuple[str, str, bytes]]:
    """The proof of presence that goes with a request."""
    if send.presence is None:
        return ()
    if send.presence == "new" or played.proof is None:
        code = _told(played, demo)[f"secret_of_{send.by}"]
        played.proof = presence_proof(played.cast, send.by, send.folder, code, at)
    return (played.proof,)


def _fresh_lists(played: Played, services: Services, demo: DemoInstance) -> None:
    """The operator brings today's lists."""
    aside = played.directory.parent / "lists"
    aside.mkdir()
    files = _put_lists(aside, demo, age=timedelta(hours=1), number=2)
    done = dcc("crl", "update", *files, "-c", played.directory / "dcc.toml", "--json")
    assert done.code == 0, done.out
    load_crls(services.settings, services.judge.crls)


def _judge_again(services: Services, message_id: str) -> None:
    """Wait until the timer has put the message back and it is not held any more."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        recheck_due(services, utc_now())
        message = wait_for_end(services.database, message_id, seconds=SECONDS)
        if message is not None and message.state is not MessageState.HELD:
            return
        time.sleep(0.05)
    raise AssertionError("it is held still")


def _put_lists(folder: Path, demo: DemoInstance, *, age: timedelta, number: int) -> list[Path]:
    files = []
    for place, data in enumerate(demo.lists(age=age, life=30 * DAY, number=number)):
        files.append(folder / f"liste-{place}.crl")
        files[-1].write_bytes(data)
    return files


def _words(text: str, played: Played, demo: DemoInstance) -> str:
    """A request of the story: folders, people's addresses, and codes that people were sent."""
    return text.format(**_told(played, demo))


def _told(played: Played, demo: DemoInstance) -> dict[str, str]:
    told = {"story": str(played.story.path)}
    told |= {f"reference_of_{one['key']}": one["reference"] for one in played.cast.told["folders"]}
    told |= {f"mailbox_of_{one['key']}": one["mailbox"] for one in played.cast.told["people"]}
    gateway = demo.issued.gateway.signing.certificate
    for one in _received(played, None):
        inner = unseal(one.raw, demo.reader(one.person), gateway)
        words = next(part for part in inner.inner.walk() if part.get_content_type() == "text/plain")
        octets = words.get_payload(decode=True)
        assert isinstance(octets, bytes)
        found, key = SECRET.search(octets.decode()), KEY.search(octets.decode())
        if found is not None:
            told[f"secret_of_{one.person}"] = found[1]
        if key is not None:
            told[f"code_of_{one.person}"] = pyotp.TOTP(key[1].replace(" ", "")).now()
    return told


def _filled(text: str, played: Played, send: Send) -> str:
    """A mail of the story's folder: who it is for, and the Message-ID of what it answers."""
    told = {"folder": played.cast.folder(send.folder)["address"], "gateway": played.cast.told["gateway"]["address"]}
    for one in _received(played, None):
        told[f"report_to_{one.person}"] = f"{one.delivery.id}@dcc.example"
    return text.format(**told)


def _received(played: Played, post: PostOffice | None) -> list[Received]:
    """Every mail in every mailbox, in the order of the deliveries they carry out."""
    people = {one["mailbox"]: one["key"] for one in played.cast.told["people"]}
    with open_database(load_settings(played.directory / "dcc.toml", {})) as database, database.read() as conn:
        played.deliveries = outbox.deliveries(conn)
    sent = [one for one in played.deliveries if one.sent_at is not None]
    if post is not None:
        mails = post.mails(len(sent), SECONDS)
    else:
        sink = played.directory / "sink"
        mails = [(box.parent.name, file.read_bytes()) for box in sorted(sink.glob("*/new")) for file in box.iterdir()]
    found = []
    for mailbox, raw in mails:
        own = [one for one in sent if f"<{one.id}@".encode() in raw.partition(b"\r\n\r\n")[0]]
        assert len(own) == 1, "a mail that nobody owed, or owed twice"
        assert own[0].mailbox == mailbox, "a mail in somebody else's mailbox"
        found.append(Received(people[mailbox], own[0], raw))
    assert len(found) == len(sent), "a mail that was sent is nowhere"
    assert len({one.delivery.id for one in found}) == len(sent), "a mail is there twice"
    return sorted(found, key=lambda one: played.deliveries.index(one.delivery))


def _domains(cast: Cast) -> list[str]:
    """The domains of the care team's mailboxes; the gateway's own are elsewhere."""
    own = {one["domain"] for one in cast.told["networks"]}
    return sorted({one["mailbox"].partition("@")[2] for one in cast.told["people"]} - own)


def _metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS) as answer:
        text: str = answer.read().decode()
    return text
