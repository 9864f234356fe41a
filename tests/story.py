"""What a story folder says: which mails are sent, how each must end, and who receives what (`story.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "scenarios"
PEERS = {"openssl": ("openssl",), "gpgsm": ("gpgsm",), "nss": ("nss",)}


@dataclass(frozen=True)
class Send:
    """One mail of a story. What is not said is what an ordinary deposit is."""

    end: str  # filed, done, held or refused
    by: str = "coordinator"
    code: str | None = None
    folder: str = "main"
    to: str = "folder"  # "gateway": the gateway's own address; "network", "registration": those of `network`
    network: str = "rca"
    words: str | None = None  # a request instead of a deposit; {secret_of_KEY} is the code in that person's last mail
    presence: str | None = (
        None  # the request's proof of presence: "new", with the code last sent; "again", the same file
    )
    before: str | None = None  # a command that an operator gives first
    codes_expire: bool = False  # so much time has passed that the codes sent until now are good for nothing
    relay_away: bool = False  # the next host takes no mail before the following message has ended
    type: str = "34794-8"
    structured: bool = True
    client: str = "thunderbird"  # thunderbird, outlook, openssl, gpgsm, nss
    # "authentication": the card's other certificate; "forged": the same names, an unknown root; "renewed": a new card
    card: str = "card"
    signed: bool = True
    encrypted: bool = True
    receipt: bool = False  # a receipt is asked for (RFC 8098)
    from_person: str | None = None  # whose address stands in From
    from_address: str | None = None
    author: str | None = None
    patient: str | None = None  # whose document it is; None: the folder's patient
    metadata_patient: str | None = None  # whom METADATA names, when the document says somebody else
    damage: str | None = None  # "content": after signing; "ciphertext"; "recipient": encrypted to somebody else
    repeat: str | None = None  # the first mail again: "octets" as it was, "content" signed and encrypted anew
    mail: str | None = None  # a file of the folder, sent as it is; {…} are filled in
    envelope_from: str | None = None  # "": the null sender
    after_fresh_lists: str | None = None  # its end once new opposition lists are there

    @property
    def last_end(self) -> str:
        """How it ends at last."""
        return self.after_fresh_lists or self.end


@dataclass(frozen=True)
class Story:
    """One folder."""

    path: Path
    title: str
    text: str
    sends: tuple[Send, ...]
    receives: dict[str, list[str]] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)
    holds: dict[str, list[str]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)  # the state of an account at the end, by "network.person"
    trail: dict[str, int] = field(default_factory=dict)  # tags of the trail that the story is about, and how many
    lists: str = "fresh"  # "stale": the opposition lists are past their date at first
    via: str | None = None  # "postfix": in and out through a real Postfix

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def peers(self) -> tuple[str, ...]:
        """The programs it needs."""
        found = [peer for send in self.sends for peer in PEERS.get(send.client, ())]
        return (*found, *(("postfix", "swaks") if self.via == "postfix" else ()))


def read_story(path: Path) -> Story:
    """The story of one folder. An unknown word is an error."""
    told: dict[str, Any] = tomllib.loads((path / "story.toml").read_text(encoding="utf-8"))
    sends = tuple(Send(**one) for one in told.pop("send"))
    return Story(path=path, sends=sends, **told)


def stories() -> list[Story]:
    """Every story, in order."""
    return [read_story(path.parent) for path in sorted(FOLDER.glob("*/story.toml"))]
