"""Every mail that the gateway sends, opened in a real browser: narrow and wide, on a light and on a dark screen.

One picture of each kind is drawn into a temporary folder; `DCC_KEEP_PAGES=FOLDER` draws them all there, to be looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from browser import Browser, chromium
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.router.carried import Secrets
from dcc.templates.render import KINDS
from inprocess import Rooms
from instancecopy import copied
from mailsent import LANGUAGES, Page, Writer, wordings

WIDTHS = (360, 1024)  # a telephone, a mail program's window
SCHEMES = ("light", "dark")
SUPPORT = ("05 00 00 00 00", "support@rca.dcc.example")
NEXT = {"fr": ("Que faire ?", "Vous n'avez rien à faire"), "en": ("What to do", "There is nothing for you to do")}
HOLES = re.compile(r"[{}]|</?[a-z]|\bNone\b|\(\?\)|\?\?| \?[,.)]|\[\]|\(\)")
# What a page is once it is laid out: WCAG 2.1 (1.3.1 headings, 1.4.3 contrast, 1.4.10 reflow, 2.4.4 links)
LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(made: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    """Every wording in both languages."""
    directory = tmp_path_factory.mktemp("mails") / "instance"
    copied(made, directory)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        writer = Writer(Rooms(services))
        told = list(wordings(Secrets(os.urandom, services.seal_secret, services.unseal_secret)))
        return [writer.page(one, language) for language in LANGUAGES for one in told]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all pages."""
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


def test_every_kind_is_there(made: Path) -> None:
    """No kind of mail is left out, and each kind has a folder with its texts in both languages."""
    folder = Path(__file__).parents[2] / "templates"
    found = {one.name for one in folder.iterdir() if one.is_dir() and list(one.glob("*.j2"))}
    told = {one.kind for one in wordings(Secrets(os.urandom, bytes.hex, bytes.fromhex))}
    assert found == set(KINDS) == told
    for kind in KINDS:
        assert len(list((folder / kind).glob("*.j2"))) == 2 * len(LANGUAGES)


def test_words_of_every_mail(pages: list[Page]) -> None:
    """Each mail tells what happened, what to do next and whom to call, in its language, and has no hole."""
    for page in pages:
        name = (page.name, page.language)
        first, *_ = page.text.split("\n\n")
        assert len(first) > 20, name
        assert any(one in page.text for one in NEXT[page.language]), name
        others = NEXT["en" if page.language == "fr" else "fr"]
        assert not any(one in page.text for one in others), name
        assert all(one in page.text for one in SUPPORT), name
        assert not HOLES.search(page.text + page.subject), (name, HOLES.findall(page.text))
        assert not re.search(r"[^\S\n]$", page.text, re.MULTILINE), name
        assert len(page.subject) <= 110, name


@pytest.mark.peer("chromium")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_mail_in_a_browser(pages: list[Page], browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    """Each page has a language, a title, headings in order, readable contrast, live links, and no line cut off."""
    asked = os.environ.get("DCC_KEEP_PAGES")
    kept = Path(asked or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    wrong = {}
    drawn = set()
    for page in pages:
        browser.show(page.html, width=width, scheme=scheme)
        found = browser.evaluate(LOOK)
        told = {
            "language": found["language"] == page.language, "title": len(found["title"]) > 5,
            "headings": headings(found["headings"]), "overflow": found["scroll"] <= width, "cut": found["cut"] == [],
            "contrast": found["contrast"] == [], "support": all(one in found["text"] for one in SUPPORT),
            "links": len(found["links"]) == 2 and all(text.strip() and address for text, address in found["links"]),
            "holes": not HOLES.search(found["text"]), "dark": (found["canvas"] < 0.2) is (scheme == "dark"),
        }  # fmt: skip
        bad = [name for name, good in told.items() if not good]
        if bad:
            wrong[page.name, page.language] = bad, found
        kind = page.name.partition("-")[0]
        if asked or kind not in drawn:
            drawn.add(kind)
            picture = kept / f"{page.name}.{page.language}.{width}.{scheme}.png"
            browser.draw(picture)
            assert picture.stat().st_size > 2_000
    assert not wrong, next(iter(wrong.items()))


def headings(levels: list[int]) -> bool:
    """One first heading, and no level is left out on the way down (WCAG 2.1, 1.3.1)."""
    return levels.count(1) == 1 and levels[0] == 1 and all(two <= one + 1 for one, two in pairwise(levels))


@pytest.mark.peer("chromium")
def test_the_look_finds_faults(browser: Browser) -> None:
    """What the look must find, it finds: pale words, a line that is cut off, a heading left out, an empty link."""
    head = '<!DOCTYPE html><html lang="fr"><head><meta name="viewport" content="width=device-width"><title>t</title></head>'
    faults = '<h1>un</h1><h3>trois</h3><p style="color:#999">pâle</p><div style="width:500px">long</div><a href=""></a>'
    browser.show(f"{head}<body>{faults}</body></html>", width=360)
    found = browser.evaluate(LOOK)
    assert [one["words"] for one in found["contrast"]] == ["pâle"]
    assert found["scroll"] > 360 or found["cut"]
    assert not headings(found["headings"])
    assert found["links"] == [["", ""]]
