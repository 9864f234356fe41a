"""Whole stories, mail in and golden mail out: each folder beside this file is one, played through the real doors.

`DCC_WRITE_GOLDEN=1` writes the golden pages anew; read the difference before you keep it.
"""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from dcc.router.doctypes import LOINC, document_type
from dcc.smime.keys import KeyPair
from demoinstance import DemoInstance
from goldenmail import BrokenSeal, page, unseal
from secrets_of import of_patients, of_people
from story import FOLDER, Story, stories
from storyplay import Played, Received
from terminal import dcc

STORIES = stories()
SECRET = re.compile(r"\b[0-9A-Z]{5}(?:-[0-9A-Z]{5}){4}-[0-9A-Z]\b")  # a one-time code
KEY = re.compile(r"\b(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}\b|(?<=secret=)[A-Z2-7]{32}")  # of a second factor
Play = Callable[[Story], Played]


def named(name: str) -> Story:
    """One story by the beginning of its folder's name."""
    return next(one for one in STORIES if one.name.startswith(name))


def _parameter(story: Story):  # type: ignore[no-untyped-def]
    marks = [pytest.mark.peer(one) for one in story.peers]
    if "postfix" in story.peers:
        marks.append(pytest.mark.skipif(os.geteuid() != 0, reason="a private Postfix must start as root"))
    return pytest.param(story, id=story.name, marks=marks)


every_story = pytest.mark.parametrize("story", [_parameter(one) for one in STORIES])


@every_story
def test_story(story: Story, played: Play) -> None:
    """Each mail ends as the story says, and exactly these people receive exactly these mails."""
    left = played(story)
    assert left.first_ends == [one.end for one in story.sends]
    assert [one["state"] for one in left.messages] == [one.last_end for one in story.sends]
    codes = [None if one["reason"] is None else one["reason"]["code"] for one in left.messages]
    assert codes == [None if one.after_fresh_lists else one.code for one in story.sends]
    kinds: dict[str, list[str]] = {}
    for mail in left.received:
        kinds.setdefault(mail.person, []).append(mail.delivery.kind)
    assert kinds == story.receives
    withheld = {one.mailbox: one.reason for one in left.deliveries if one.state.value == "withheld"}
    assert withheld == {left.cast.person(key)["mailbox"]: code for key, code in story.withheld.items()}
    assert {
        key: [f"{one['type_code']} {one['status']}" for one in folder["documents"]]
        for key, folder in left.folders.items()
        if folder["documents"]
    } == story.holds
    assert {key: left.accounts.get(key) for key in story.accounts} == story.accounts
    tags = Counter(one["tag"] for one in left.records)
    assert {tag: tags[tag] for tag in story.trail} == story.trail


@every_story
def test_story_is_audited(story: Story, played: Play) -> None:
    """The trace verifies, and tells of each message its end and reason, and of each mail what came of it (I2, I7)."""
    left = played(story)
    certificate = left.directory / "demo" / "passerelle-signature.pem"
    verified = dcc("audit", "verify", "--certificate", certificate, "-c", left.directory / "dcc.toml", "--json")
    assert verified.json["ok"], verified.out
    for message in left.messages:
        assert message["settled_at"] is not None
        code = None if message["reason"] is None else message["reason"]["code"]
        ends = [
            one for one in left.records if one["message"] == message["id"] and one["tag"].startswith("gateway:message:")
        ]
        assert (ends[-1]["decision"], ends[-1]["code"]) == (message["state"], code)
    told = Counter(one["mail_message_id"] for one in left.records if one["tag"] == "gateway:delivery:sent")
    assert told == Counter(f"<{one.delivery.id}@dcc.example>" for one in left.received)


@every_story
def test_mails_out(story: Story, played: Play, demo: DemoInstance) -> None:
    """What each person reads after unsealing, and what the way saw, is the golden page of the story."""
    left = played(story)
    gateway = demo.issued.gateway.signing.certificate
    found = {}
    for mail in left.received:
        unsealed = unseal(mail.raw, demo.reader(mail.person), gateway)
        name = f"{mail.person}-{mail.delivery.kind}"
        place = sum(one.startswith(name) for one in found) + 1
        known = {sha: whose for one in left.made for sha, whose in one.attached.items()}
        text = KEY.sub("{key}", SECRET.sub("{secret}", page(unsealed, _names(left, mail), known, gateway)))
        found[name if place == 1 else f"{name}-{place}"] = text
    golden = story.path / "out"
    if os.environ.get("DCC_WRITE_GOLDEN") == "1":
        for old in golden.glob("*.txt"):
            old.unlink()
        if found:
            golden.mkdir(exist_ok=True)
        for name, text in found.items():
            (golden / f"{name}.txt").write_text(text, encoding="utf-8")
    kept = {one.stem: one.read_text(encoding="utf-8") for one in golden.glob("*.txt")}
    assert sorted(found) == sorted(kept)
    for name, text in found.items():
        assert text == kept[name], name


def _names(left: Played, mail: Received) -> dict[str, str]:
    """What differs from one run to the next, and what it is."""
    names = {mail.delivery.id: "{delivery}"}
    for number, (message, made) in enumerate(zip(left.messages, left.made, strict=True), 1):
        names[message["id"]] = f"{{message {number}}}"
        said = message_from_bytes(made.raw)["Message-ID"]
        names.setdefault(said.strip("<>"), f"{{Message-ID of mail {number}}}")
    for folder in left.cast.told["folders"]:
        names[folder["reference"]] = f"{{reference of {folder['key']}}}"
        names[folder["address"]] = f"{{address of {folder['key']}}}"
    for opened in left.opened:
        names[opened.reference] = "{reference of the new folder}"
        names[opened.address] = "{address of the new folder}"
    return names


def test_every_story_is_told() -> None:
    """docs/flow.md has a row for each story, with its title."""
    text = (FOLDER.parents[1] / "docs" / "flow.md").read_text(encoding="utf-8")
    for story in STORIES:
        assert f"[{story.name}](../tests/scenarios/{story.name}) | {story.title} |" in text


def test_each_mail_opens_for_its_reader_alone(played: Play, demo: DemoInstance) -> None:
    """A mail sealed for one reader opens with the key of no other, not even of the depositor or the gateway."""
    left = played(named("01-"))
    gateway = demo.issued.gateway
    sealed = [one for one in left.received if demo.reader(one.person) is not None]
    assert len(sealed) == 6
    keys = {one.person: demo.reader(one.person) for one in sealed}
    keys["gateway"] = KeyPair(gateway.encryption.certificate, gateway.encryption.key)
    for mail in sealed:
        assert unseal(mail.raw, keys[mail.person], gateway.signing.certificate).encrypted
        for other in keys.keys() - {mail.person}:
            with pytest.raises(BrokenSeal, match="D2R-OPN02"):
                unseal(mail.raw, keys[other], gateway.signing.certificate)


NEUTRAL = ("09-", "11-", "12-", "28-", "29-")


@pytest.mark.parametrize("name", NEUTRAL)
def test_no_oracle(name: str, played: Play) -> None:
    """Unsigned, altered, forged, damaged or not for us: from outside all look the same (I5)."""
    first, other = played(named(NEUTRAL[0])), played(named(name))
    assert [_outside(one) for one in first.received] == [_outside(one) for one in other.received]
    page_of = "out/coordinator-refusal.txt"
    assert (first.story.path / page_of).read_text() == (other.story.path / page_of).read_text()


def _outside(mail: Received) -> tuple[str, list[str], int]:
    """What the way can compare: the reader, the names of the fields, and the length."""
    return mail.person, message_from_bytes(mail.raw).keys(), len(mail.raw)


def test_another_networks_folder_looks_absent(played: Play) -> None:
    """A folder of another network and one that does not exist get one and the same answer (I5)."""
    folder = played(named("50-")).story.path / "out"
    real, invented = ((folder / f"oncologist-refusal-{number}.txt").read_text() for number in (2, 3))
    assert real.replace("{message 2}", "") == invented.replace("{message 3}", "")


def test_strangers_get_nothing(played: Play) -> None:
    """Whatever an unknown address sends, nobody is written to (I5)."""
    for name in ("14-", "30-"):
        assert played(named(name)).deliveries == []


def test_clear_mail_is_not_kept_in_clear(played: Play) -> None:
    """What came without encryption stays under a key only: no line of it stands in any file (I3, I6)."""
    for name, place in (("10-", 0), ("23-", 1), ("23-", 2)):
        left = played(named(name))
        lines = [one for one in left.made[place].raw.split(b"\r\n") if len(one) >= 50]
        assert lines
        for file in _files(left, sink=False):
            octets = file.read_bytes()
            assert not any(one in octets for one in lines), file.name
        assert not list((left.directory / "var" / "spool").rglob(f"{left.messages[place]['id']}*"))


@every_story
def test_nothing_in_clear(story: Story, played: Play) -> None:
    """No identity and no clinical content in an outer header, a log, a metric, a file name, a file, a clear mail (I3)."""
    left = played(story)
    patients, people = of_patients(left.cast), of_people(left.cast)
    for text in (left.log, left.metrics, "\n".join(_names_of_files(left))):
        assert patients.in_text(text) == people.in_text(text) == []
    for mail in left.received:
        assert patients.in_octets(mail.raw) == []
        shown = _readable(mail.raw).replace(left.cast.person(mail.person)["mailbox"], "")
        assert patients.in_text(shown) == people.in_text(shown) == []
        assert not [send.type for send in story.sends if (label := label_of(send.type)) and label in shown]
    for file in _files(left):
        assert patients.in_octets(file.read_bytes()) == [], file.name
    assert list((left.directory / "var" / "work").iterdir()) == list(left.temporary.iterdir()) == []


def test_the_search_finds(played: Play, demo: DemoInstance) -> None:
    """What the search must find, it finds: in the report once it is unsealed, plain and in base64."""
    left = played(named("01-"))
    patients = of_patients(left.cast)
    mail = next(one for one in left.received if one.delivery.kind == "report")
    inner = unseal(mail.raw, demo.reader(mail.person), demo.issued.gateway.signing.certificate).inner
    assert patients.in_text(str(inner["Subject"])) == ["PAT-TROIS", "DOMINIQUE", "28/03/1979"]
    for shift in range(3):
        assert patients.in_octets(base64.encodebytes(b"x" * shift + b"un mot, puis PAT-TROIS DOMINIQUE, et la suite"))
    assert of_people(left.cast).in_text("de Claire Lavigne (claire.lavigne@chd.example)")


def label_of(code: str) -> str | None:
    """What a type of document is called: clinical content."""
    found = document_type(code, LOINC)
    return None if found is None else found.label


def _readable(raw: bytes) -> str:
    """Everything that can be read of a mail without any key."""
    shown = []
    for part in message_from_bytes(raw).walk():
        shown += [str(make_header(decode_header(str(value)))) for value in part.values()]
        octets = part.get_payload(decode=True)
        if part.get_content_maintype() == "text" and isinstance(octets, bytes):
            shown.append(octets.decode("utf-8"))
    return "\n".join(shown)


def _names_of_files(left: Played) -> list[str]:
    """Names under the instance. The demo's sink has one folder a mailbox, by contract; what is in it has no such name."""
    sink = left.directory / "sink"
    found = [one.relative_to(left.directory) for one in _files(left, sink=False)]
    return [*map(str, found), *(str(one.relative_to(box)) for box in sink.iterdir() for one in box.rglob("*"))]


def _files(left: Played, *, sink: bool = True) -> list[Path]:
    """Every file that the instance and its process hold, apart from the demo's own material and the database."""
    instance = left.directory
    apart = {instance / "demo", *(() if sink else (instance / "sink",))}
    found = [one for one in instance.rglob("*") if one.is_file() and not apart & set(one.parents)]
    found = [one for one in found if not one.name.startswith("dcc.sqlite")]
    return [*found, *(one for one in left.temporary.rglob("*") if one.is_file())]
