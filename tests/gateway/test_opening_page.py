"""The verification report as a page: what it tells, to whom it can be read, and that nothing in it is live."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit, tampered
from dcc.gateway.opening_rules import RULES
from dcc.gateway.services import Services
from dcc.router.reasons import reason
from dcc.router.sender import CARD_REASONS
from dcc.smime.verdict import Problem
from inprocess import Rooms
from terminal import dcc
from throwaway import NOW


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def cast(made: Path) -> Cast:
    """Who signs."""
    return Cast.load(made)


@pytest.fixture
def written(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Page]:
    """The page that `dcc open --html` writes of a mail."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trust = [one for path in cast.told["anchors"] for one in ("--trust", str(cast.directory / path))]
    crls = [one for path in cast.told["crls"] for one in ("--crl", str(cast.directory / path))]
    key = ["--key", str(cast.directory / "keys/dechiffrement.p12"), "--password", "demonstration"]

    def call(mail: bytes, *, lists: bool = True) -> Page:
        (tmp_path / "mail.eml").write_bytes(mail)
        dcc("open", tmp_path / "mail.eml", *trust, *(crls if lists else []), *key, "--html", tmp_path / "r.html")
        assert (tmp_path / "r.html").stat().st_mode & 0o077 == 0
        return Page((tmp_path / "r.html").read_text(encoding="utf-8"))

    return call


def test_authentic(cast: Cast, written: Callable[..., Page]) -> None:
    """An authentic mail: who signed, layers with algorithms, chain, the lists with their numbers, the clock."""
    page = written(deposit(cast, Draft("oncologist", "main"), NOW, os.urandom))
    for words in (
        "Authentique", "chiffré et signé par Hélène ROUSSEAU", "contenu : aes128-cbc", "empreinte : sha256",
        "TEST AC RACINE IGC-SANTE FORT", "numéro de la liste :", "prochaine liste le :", "Date de signature", "octets",
    ):  # fmt: skip
        assert words in page.text
    assert "La règle en cause" not in page.text


@pytest.mark.parametrize(
    ("make", "lists", "words"),
    [
        (lambda cast: deposit(cast, Draft("opposed_card", "main"), NOW, os.urandom), True,
         ("À ne pas croire", "D2R-CRL02", "R-REVOC", "RFC 5280 §6.3", "Que faire ?", "opposé depuis")),
        (lambda cast: deposit(cast, Draft("oncologist", "main"), NOW, os.urandom), False,
         ("On ne peut pas le dire", "D2R-CRL03", "dcc crl update")),
        (lambda cast: tampered(cast, Draft("oncologist", "main"), NOW), True,
         ("À ne pas croire", "D2R-SIG02", "R-SIGNERS", "RFC 5652 §5.4")),
        (lambda _: b"From: a@b.example\r\nFrom: c@d.example\r\n\r\nx\r\n", True, ("D2R-MAL02", "R-FROM")),
    ],
    ids=["opposed", "no list", "tampered", "ambiguous"],
)  # fmt: skip
def test_not_authentic(
    make: Callable[[Cast], bytes], lists: bool, words: tuple[str, ...], cast: Cast, written: Callable[..., Page]
) -> None:
    """What failed: the rule with its reference, and what to do about it."""
    page = written(make(cast), lists=lists)
    for one in words:
        assert one in page.text


def test_readable_without_eyes_and_mouse(cast: Cast, written: Callable[..., Page]) -> None:
    """French is declared, one h1, no level skipped, tables with captions and scoped heads, regions that take focus."""
    page = written(deposit(cast, Draft("opposed_card", "main"), NOW, os.urandom))
    assert page.open == []
    assert page.all("html") == [{"lang": "fr"}]
    assert [name for name, _ in page.found if re.fullmatch(r"h\d", name)][:2] == ["h1", "h2"]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert not page.all("h3")
    assert len(page.all("caption")) == len(page.all("table")) > 3
    assert all(one.get("scope") in {"row", "col"} for one in page.all("th"))
    assert all(one.get("aria-label") and one.get("tabindex") == "0" for one in page.all("div") if one.get("role"))
    ids = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    assert all(one["aria-labelledby"] in ids for one in page.all("section"))
    assert [one["href"] for one in page.all("a")] == ["#resultat"]


def test_nothing_live(written: Callable[..., Page]) -> None:
    """Whatever a mail says is text: no script, no image, no address that is fetched (R-NOFETCH)."""
    mail = b"Date: <script src=//192.0.2.1></script><img src=x onerror=a()>\r\nFrom: a@b.example\r\n\r\nx\r\n"
    page = written(mail)
    assert "<script src=//192.0.2.1>" in page.text
    assert not any(page.all(tag) for tag in ("script", "img", "link", "iframe", "form", "object"))
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)


def test_every_reason_has_its_rule() -> None:
    """Each code that `dcc open` can end with is explained, and known to the table of reasons."""
    codes = {one.value for one in Problem} | set(CARD_REASONS.values()) | {"D2R-ACC02"}
    assert codes == set(RULES)
    assert all(reason(code).code == code for code in RULES)
    assert all(rule.todo.endswith((".", "].")) for rule in RULES.values())


def test_of_a_stored_message(services: Services, tmp_path: Path) -> None:
    """`dcc message report ID` judges what was received with the instance's own keys, anchors and lists."""
    rooms = Rooms(services)
    message = rooms.deposit()
    rooms.work()
    config = services.settings.directory / "dcc.toml"
    done = dcc("message", "report", message, "-c", config, "--json", "--html", tmp_path / "r.html")
    assert (done.code, done.json["outcome"]) == (0, "authentic")
    assert "Authentique" in Page((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert dcc("message", "report", message, "-c", config).out.startswith("Ce message est authentique")
    assert dcc("message", "report", "absent", "-c", config).code == 1
    services.spool.path(message).unlink()
    assert dcc("message", "report", message, "-c", config).code == 3


@pytest.mark.peer("chromium")
def test_in_a_browser(cast: Cast, written: Callable[..., Page], tmp_path: Path) -> None:
    """Chromium reads the page as it was meant, and draws it."""
    written(deposit(cast, Draft("opposed_card", "main"), NOW, os.urandom))
    program = shutil.which("chromium")
    assert program is not None
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    page = (tmp_path / "r.html").as_uri()
    shown = subprocess.run([*command, "--dump-dom", page], capture_output=True, text=True, check=True, timeout=120)
    assert "<strong>À ne pas croire</strong>" in shown.stdout
    picture = tmp_path / "r.png"
    subprocess.run([*command, f"--screenshot={picture}", page], capture_output=True, check=True, timeout=120)
    assert picture.stat().st_size > 10_000
