"""The main job, told as a story: a gateway is started, real mails are sent to it, and what became of them is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import BIOLOGY, PATHOLOGY, RCP, Draft, deposit, tampered
from dcc.gateway.instance import initialise, open_keys
from dcc.gateway.running import serving
from dcc.gateway.settings import Settings
from dcc.gateway.submission import submit, wait_for_end, wait_for_mails
from dcc.mailbox import audit, outbox
from dcc.mailbox.database import Database
from dcc.mailbox.records import Delivery, Message
from dcc.router.reasons import reason

END_SECONDS = 60.0
Say = Callable[[str], None]
Make = Callable[[Cast, datetime], bytes]


@dataclass(frozen=True, slots=True)
class Step:
    """One mail of the story and the end it must have."""

    title: str
    sender: str
    folder: str
    make: Make
    state: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one step."""

    step: Step
    message: Message | None

    @property
    def as_expected(self) -> bool:
        """Whether the end is the one that the story tells."""
        found = self.message
        return found is not None and found.state.value == self.step.state and found.reason_code == self.step.code


def _sent(draft: Draft) -> Make:
    return lambda cast, at: deposit(cast, draft, at)


STEPS = (
    Step("Une coordinatrice envoie une fiche RCP, depuis Thunderbird", "coordinator", "main",
         _sent(Draft("coordinator", "main", RCP)), "filed"),
    Step("Un pathologiste envoie un compte rendu, depuis Outlook", "pathologist", "main",
         _sent(Draft("pathologist", "main", PATHOLOGY, structured=False, shape="outlook")), "filed"),
    Step("L'automate d'un laboratoire relaie un résultat", "automaton", "main",
         _sent(Draft("automaton", "main", BIOLOGY)), "filed"),
    Step("Une carte opposée", "opposed_card", "cards", _sent(Draft("opposed_card", "cards")), "refused", "D2R-CRL02"),
    Step("Un patient qui a retiré son consentement", "oncologist", "withdrawn",
         _sent(Draft("oncologist", "withdrawn")), "refused", "D2R-CNS02"),
    Step("Un médecin que le patient n'a pas mandaté", "no_mandate", "main", _sent(Draft("no_mandate", "main")), "refused",
         "D2R-MAN01"),
    Step("Un mail modifié après sa signature", "oncologist", "main",
         lambda cast, at: tampered(cast, Draft("oncologist", "main"), at), "refused", "D2R-SIG02"),
)  # fmt: skip
STATES = {"filed": "classé", "refused": "refusé", "held": "en attente", "done": "fait"}
KINDS = {
    "report": "le compte rendu, scellé pour lui seul",
    "notice": "un avis sans contenu (pas de certificat de chiffrement)",
    "acknowledgement": "un accusé : classé",
    "refusal": "un refus, avec son motif",
    "held": "une mise en attente",
}


def run_demo(directory: Path, say: Say, now: datetime) -> dict[str, Any]:
    """Play the story in an instance of its own; returns what `--json` prints, `ok` among it."""
    say("1. Une instance de démonstration : une IGC factice, treize personnes et leurs cartes, six dossiers.")
    settings = initialise(directory, demo=True, now=now)
    cast = Cast.load(directory)
    database = Database(settings.database_url)
    try:
        with serving(directory / "dcc.toml", log=directory / "run" / "journal.log") as ready:
            say(f"   La passerelle écoute sur {ready['smtp']}.\n")
            say("2. Ce qui est envoyé, et ce que la passerelle en décide :")
            told = [_play(step, number, cast, ready, database, say) for number, step in enumerate(STEPS, 1)]
            delivered = wait_for_mails(database, seconds=END_SECONDS)
        return _ending(settings, cast, database, told, delivered, say)
    finally:
        database.close()


def _play(step: Step, number: int, cast: Cast, ready: dict[str, Any], database: Database, say: Say) -> Told:
    at = datetime.now(UTC).replace(microsecond=0)
    mail = step.make(cast, at)
    sender = cast.person(step.sender)["mailbox"]
    message_id = submit(ready["smtp"], mail, sender=sender, recipient=cast.folder(step.folder)["address"])
    told = Told(step, wait_for_end(database, message_id, seconds=END_SECONDS))
    end = "sans fin" if told.message is None else STATES[told.message.state.value]
    say(f"   {number}. {step.title} : {end.upper()}{'' if told.as_expected else '  (INATTENDU)'}")
    if told.message is not None and told.message.reason_code is not None:
        why = reason(told.message.reason_code, **dict(told.message.reason_parameters))
        say(f"      {why.code} : {why.sender_fr}")
    return told


def _ending(
    settings: Settings, cast: Cast, database: Database, told: list[Told], delivered: bool, say: Say
) -> dict[str, Any]:
    with database.read() as conn:
        deliveries = outbox.deliveries(conn)
        verified = audit.verify(conn, open_keys(settings).signing.certificate)
    say("\n3. Qui a reçu quoi :")
    for line in _received(deliveries, cast):
        say(f"   {line}")
    silent = [
        one for one in told if one.message is not None and not any(d.message == one.message.id for d in deliveries)
    ]
    for one in silent:
        say(f"   personne n'a été prévenu pour : {one.step.title}")
    filed = sum(one.message is not None and one.message.state.value == "filed" for one in told)
    refused = sum(one.message is not None and one.message.state.value == "refused" for one in told)
    say(f"\n4. La trace : {verified.count} enregistrements, {'intacte' if verified.ok else 'ROMPUE'}.")
    ok = all(one.as_expected for one in told) and delivered and verified.ok
    say(
        f"\n{filed} envois classés, {refused} refusés ; {'tout est comme attendu' if ok else 'ÉCHEC : voir ci-dessus'}."
    )
    return {
        "ok": ok,
        "steps": [
            {
                "title": one.step.title, "expected": one.step.state,
                "state": None if one.message is None else one.message.state.value,
                "reason": None if one.message is None else one.message.reason_code,
                "message": None if one.message is None else one.message.id,
            }
            for one in told
        ],
        "deliveries": [{"mailbox": d.mailbox, "kind": d.kind, "state": d.state.value} for d in deliveries],
        "audit": {"ok": verified.ok, "count": verified.count},
    }  # fmt: skip


def _received(deliveries: list[Delivery], cast: Cast) -> list[str]:
    names = {person["mailbox"]: person["name"] for person in cast.told["people"]}
    counted: dict[tuple[str, str, str], int] = {}
    for one in deliveries:
        key = (one.mailbox, one.kind, one.state.value)
        counted[key] = counted.get(key, 0) + 1
    return [
        f"{names.get(mailbox, mailbox)} : {count} × {KINDS.get(kind, kind)} ({state})"
        for (mailbox, kind, state), count in sorted(
            counted.items(), key=lambda item: (names.get(item[0][0], ""), item[0])
        )
    ]
