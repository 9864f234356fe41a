"""What people ask for by signed mail, and what changes nothing; whole stories stand in tests/scenarios, 40 and following."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from correspondence import DEPOT, INSCRIPTION, Correspondence
from dcc.gateway.clients import report_entity
from dcc.gateway.demo_deposits import Draft
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import folders, people
from dcc.mailbox.records import AccountState, ConsentState, MessageState
from dcc.smime.headerprotection import MailHeaders
from dcc.smime.seal import key_signer, seal
from goldenmail import unseal
from presenceproof import presence_proof

IDENTITY = """INS : 297022A02077878
Nom de naissance : PAT-NEUF
Prénoms : JEANNE ROSE
Sexe : F
Date de naissance : 14/02/1997
Lieu de naissance : 2A020
Formulaire : {form}
Identité contrôlée : oui
"""


@pytest.fixture
def post(instance: Path) -> Iterator[Correspondence]:
    """A demo instance with its correspondence."""
    with open_services(load_settings(instance / "dcc.toml")) as services:
        yield Correspondence(services)


def registered(post: Correspondence) -> str:
    """The newcomer has asked and confirmed; returns the administrator's secret."""
    assert post.write("no_account", "INSCRIPTION", to=INSCRIPTION) is MessageState.DONE
    secret = post.secret("no_account")
    assert post.write("no_account", f"CONFIRMER\n\nRéseaux : rca\n\n[{secret}]", to=INSCRIPTION) is MessageState.DONE
    return post.secret("administrator")


def test_the_language_that_was_asked_for(post: Correspondence) -> None:
    """Who asks in English, or confirms so, is written to in English from then on, in every network asked for."""
    assert post.write("no_account", "INSCRIPTION\nLangue : en", to=INSCRIPTION) is MessageState.DONE
    assert "What to do" in post.read("no_account")[1]
    answer = f"CONFIRM\nNetworks: rca, perinat\nLanguage: (fr or en)\n\n[{post.secret('no_account')}]"
    assert post.write("no_account", answer, to=INSCRIPTION) is MessageState.DONE
    assert "Your address is confirmed" in post.read("no_account")[1]
    assert {post.account("no_account", one).language for one in ("rca", "perinat")} == {"en"}


def test_a_language_chosen_at_the_confirmation(post: Correspondence) -> None:
    """The confirmation may choose another language; the trail says so."""
    assert post.write("no_account", "INSCRIPTION", to=INSCRIPTION) is MessageState.DONE
    answer = f"CONFIRMER\nRéseaux : perinat\nLangue : English\n\n[{post.secret('no_account')}]"
    assert post.write("no_account", answer, to=INSCRIPTION) is MessageState.DONE
    assert {post.account("no_account", one).language for one in ("rca", "perinat")} == {"en"}
    assert post.audited("mail:account:language_chosen") == [None]


def test_the_same_decision_again(post: Correspondence) -> None:
    """The administrator's very mail again, whatever is around it, is the same request: nothing is done twice."""
    secret = registered(post)
    again = post.made("administrator", f"VALIDER [{secret}]", "Re:", to=DEPOT, from_="luc.garnier@rca.dcc.example")
    assert post.write("administrator", "", raw=again) is MessageState.DONE
    assert post.write("administrator", "", raw=again) is MessageState.DONE
    assert post.code() == "D2R-ASK06"
    assert post.account("no_account").state is AccountState.VALIDATED


@pytest.mark.parametrize("sealed", [True, False])
def test_the_reason_of_a_refusal_is_told_under_a_seal(post: Correspondence, instance: Path, sealed: bool) -> None:
    """What follows REFUSER is told to the person where the mail can be sealed; else the support tells it."""
    secret = registered(post)
    if sealed:
        with post.services.database.begin() as conn:
            certificate = post.cast.pair("gp", "encryption").certificate
            people.set_encryption_certificate(conn, post.account("no_account").id, certificate)
    assert post.write("administrator", f"REFUSER : vous n'êtes pas de la région\n\n[{secret}]") is MessageState.DONE
    assert post.account("no_account").state is AccountState.REFUSED
    raw = post.post.to(post.cast.person("no_account")["mailbox"])[-1]
    key = post.cast.pair("gp", "encryption") if sealed else None
    inner = unseal(raw, key, post.services.keys.signing.certificate).inner
    text = b"".join(one.get_payload(decode=True) or b"" for one in inner.walk() if not one.is_multipart()).decode()
    assert ("vous n'êtes pas de la région" in text) is sealed
    assert ("elle vous en dira la raison" in text) is not sealed
    stored = b"".join(one.read_bytes() for one in (instance / "var").rglob("*") if one.is_file())
    assert "pas de la région".encode() not in stored, "nobody's words lie in the store in clear"


def test_registration_from_another_address_is_told_to_the_known_one(post: Correspondence) -> None:
    """Somebody with a stolen card and another address learns nothing there; the holder is told."""
    before = len(post.post.mails)
    stranger = "autre@ailleurs.example"
    assert post.write("gp", "INSCRIPTION", to=INSCRIPTION, from_=stranger) is MessageState.REFUSED
    assert post.code() == "D2R-REG02"
    assert {box for box, _ in post.post.mails[before:]} == {post.cast.person("gp")["mailbox"]}


def test_a_bad_card_registers_nothing(post: Correspondence) -> None:
    """An opposed card at the registration address: no account, and no answer to an address that nobody knows."""
    stranger = "nouveau@ailleurs.example"
    assert post.write("opposed_card", "INSCRIPTION", to=INSCRIPTION, from_=stranger) is MessageState.REFUSED
    assert post.post.to(stranger) == []


def test_folder_is_opened_fed_and_withdrawn(post: Correspondence) -> None:
    """A folder opens by a form; its reference files a plain report; a withdrawal stops queued notices."""
    assert post.write("gp", "OUVRIR DOSSIER\n" + IDENTITY.format(form="1999-9")) is MessageState.REFUSED
    assert post.code() == "D2R-CNS03"
    assert post.write("gp", "OUVRIR DOSSIER\n" + IDENTITY.format(form="2009-1")) is MessageState.DONE
    subject, text = post.read("gp")
    (reference,) = set(re.findall(r"D-[0-9A-Z]{4}-[0-9A-Z]{4}", subject))
    assert "PAT-NEUF" not in text
    with post.services.database.read() as conn:
        folder = folders.folder(conn, reference)
        assert folder is not None
        assert folder.consent is ConsentState.GIVEN
        assert [one.origin.value for one in folders.mandates_of(conn, folder.id)] == ["creator"]
    mandate = f"MANDATER\nDossier : {reference}\nProfessionnel : {post.cast.person('oncologist')['mailbox']}\nFormulaire : 2009-1"
    assert post.write("gp", mandate) is MessageState.DONE
    pdf = ("cr.pdf", "application/pdf", b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n")
    octets = protected(post, "gp", f"[{reference}] CONSULT", "CONSULT\nBonjour", [pdf])
    post.last = post.take(octets, post.cast.person("gp")["mailbox"], DEPOT)
    post.work()
    assert post.message(post.last).state is MessageState.FILED, post.code()
    assert "report" in post.kinds("oncologist")
    assert post.write("gp", f"RETRAIT CONSENTEMENT\nDossier : {reference}") is MessageState.DONE
    withheld = [one for one in post.deliveries("oncologist") if one.kind == "report"]
    assert [(one.state.value, one.reason) for one in withheld] == [("withheld", "D2R-CNS02")]


def test_opening_twice_is_for_a_person(post: Correspondence) -> None:
    """A known patient, or a second folder: held with one sentence that does not tell which."""
    post.write("gp", "OUVRIR DOSSIER\n" + IDENTITY.format(form="2009-1"))
    assert post.write("oncologist", "OUVRIR DOSSIER\n" + IDENTITY.format(form="2009-1")) is MessageState.HELD
    other = IDENTITY.format(form="2009-1").replace("PAT-NEUF", "PAT-DIX")
    assert post.write("oncologist", "OUVRIR DOSSIER\n" + other) is MessageState.HELD
    assert post.code() == "D2R-FLD02"


def test_incomplete_form_says_what_is_missing(post: Correspondence) -> None:
    """A form with empty lines comes back with their names."""
    assert post.write("gp", "OUVRIR DOSSIER\nINS : 297022A02077878\nSexe :") is MessageState.REFUSED
    assert post.code() == "D2R-FRM01"
    assert "Nom de naissance" in post.read("gp")[1]


def test_machine_form(post: Correspondence) -> None:
    """Software sends the same as a JSON attachment."""
    folder = post.cast.folder("main")["reference"]
    told = {"demande": "oppose", "champs": {"folder": folder, "person": post.cast.person("pathologist")["mailbox"]}}
    form = ("demande-dcc.json", "application/json", json.dumps(told).encode())
    assert post.write("oncologist", "Voir le fichier joint.", attachments=[form]) is MessageState.DONE
    filed = post.deposit(Draft("pathologist", "main"))
    post.work()
    assert post.message(filed).reason_code == "D2R-OPP01"


@pytest.mark.parametrize("who", ["no_mandate", "nurse", "administrator"])
def test_a_folder_that_is_not_ones_own_looks_absent(post: Correspondence, who: str) -> None:
    """Without a mandate, a folder that exists and one that does not give the same answer."""
    real, invented = post.cast.folder("main")["reference"], "D-2222-2222"
    answers = []
    for reference in (real, invented):
        form = (
            f"MANDATER\nDossier : {reference}\nProfessionnel : {post.cast.person('gp')['mailbox']}\nFormulaire : 2009-1"
        )
        state = post.write(who, form)
        subject, text = post.read(who)
        answers.append((state, post.code(), subject, text.replace(post.last, "")))
    assert answers[0] == answers[1]
    assert answers[0][1] == "D2R-FRM03"


@pytest.mark.parametrize(
    ("who", "changes"),
    [
        ("gp", {}),
        ("no_mandate", {"digest": "0" * 64}),
        ("no_mandate", {"read_at": "2020-01-01T12:00:00+00:00"}),
        ("no_mandate", {"folder": "D-2222-2222"}),
    ],
)
def test_a_false_proof_of_presence_gives_nothing(post: Correspondence, who: str, changes: dict[str, str]) -> None:
    """Signed by another card, about another patient, too old, or for another folder."""
    ask = f"MANDAT VITALE\nDossier : {post.cast.folder('main')['reference']}"
    assert post.write("no_mandate", ask) is MessageState.DONE
    nonce = re.search(r"    ([0-9A-Z-]{20,})", post.read("no_mandate")[1])
    assert nonce is not None
    proof = presence_proof(post.cast, who, "main", nonce[1], post.clock.at, **changes)
    assert post.write("no_mandate", ask, attachments=[proof]) is MessageState.REFUSED
    assert post.code() == "D2R-PRS01", post.message(post.last).reason_parameters
    with post.services.database.read() as conn:
        assert not [one for one in folders.mandates_of(conn, post.cast.folder("main")["id"]) if one.proof_grade]


def test_secrets_do_not_lie_in_the_database(post: Correspondence, instance: Path) -> None:
    """What was sent as a one-time secret is nowhere in the store, neither as people copy it nor without hyphens."""
    secret = registered(post)
    stored = b"".join(one.read_bytes() for one in (instance / "var").glob("dcc.sqlite*"))
    assert secret.encode() not in stored
    assert secret.replace("-", "").encode() not in stored


def protected(post: Correspondence, person: str, subject: str, text: str, attachments: Any) -> bytes:
    """As a client with protected headers makes it (RFC 9788)."""
    import io

    entity = report_entity(text, attachments)
    head, _, body = entity.partition(b"\r\n\r\n")
    fields = [tuple(one.split(": ", 1)) for one in head.decode().replace("\r\n ", " ").split("\r\n")]
    out = io.BytesIO()
    headers = MailHeaders(
        post.cast.person(person)["mailbox"], DEPOT, subject, post.clock.at, f"<{os.urandom(8).hex()}@client.example>"
    )
    seal(
        headers, [body], fields, signer=key_signer(post.cast.pair(person)), out=out, random_bytes=os.urandom,
        recipient=post.cast.gateway_certificate(),
    )  # fmt: skip
    return out.getvalue()
