"""What people ask for by signed mail, from a newcomer's first mail to a filed report; and what changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from correspondence import DEPOT, INSCRIPTION, Correspondence
from dcc.gateway.clients import report_entity, signed_entity
from dcc.gateway.demo_deposits import Draft
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import delegations, folders, people
from dcc.mailbox.records import AccountState, ConsentState, MessageState
from dcc.mailbox.schema_people import tokens
from dcc.smime.headerprotection import MailHeaders
from dcc.smime.seal import key_signer, seal

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


def test_registration_to_first_deposit(post: Correspondence) -> None:
    """A newcomer's first mail, the address that answers, the administrator's answer, a mandate, a filed report."""
    assert post.write("no_account", "Bonjour, je souhaite participer.", to=INSCRIPTION) is MessageState.DONE
    subject, text = post.read("no_account")
    assert post.account("no_account").state is AccountState.REQUESTED
    assert "CONFIRMER" in text
    assert "05 00 00 00 00" in text
    assert "MOREL" not in text, "the mail is not encrypted: no identity in it"
    answer = f"CONFIRMER\nRéseaux : rca, perinat\n\nLe 3 mai, le réseau a écrit :\n> {subject}\n"
    assert post.write("no_account", f"{answer}\n{subject}", f"Re: {subject}", to=INSCRIPTION) is MessageState.DONE
    assert {post.account("no_account", one).state for one in ("rca", "perinat")} == {AccountState.ADDRESS_VERIFIED}
    _, told = post.read("administrator")
    person = post.cast.person("no_account")
    assert "MOREL" in told
    assert person["idnps"] in told
    assert post.write("administrator", "Valider.", f"Re: [{post.secret('administrator')}]") is MessageState.DONE
    assert post.account("no_account").state is AccountState.VALIDATED
    assert post.account("no_account", "perinat").state is AccountState.ADDRESS_VERIFIED
    assert "validé" in post.read("no_account")[1]
    reference = post.cast.folder("main")["reference"]
    mandate = f"MANDATER\nDossier : {reference}\nProfessionnel : {person['mailbox']}\nFormulaire : 2009-1\n"
    assert post.write("oncologist", mandate) is MessageState.DONE
    filed = post.deposit(Draft("no_account", "main"))
    post.work()
    assert post.message(filed).state is MessageState.FILED
    assert post.audited("mail:account:validated") == [None]


def test_identity_is_the_cards(post: Correspondence) -> None:
    """Nothing typed counts: name, profession and national identifier come from the certificate."""
    form = "INSCRIPTION\nNom : AUTRE\nProfession : 60\nIdentifiant : 899700000000"
    post.write("no_account", form, to=INSCRIPTION)
    made = post.account("no_account")
    assert (made.family_name, made.profession, made.role) == ("MOREL", "10", "professional")


def test_an_administrator_refuses(post: Correspondence) -> None:
    """REFUSER with a reason: the account is refused, the person is told whom to call."""
    secret = registered(post)
    assert post.write("administrator", f"REFUSER hors du réseau\n\n[{secret}]") is MessageState.DONE
    assert post.account("no_account").state is AccountState.REFUSED
    assert "n'a pas validé" in post.read("no_account")[1]


@pytest.mark.parametrize("who", ["oncologist", "secretary"])
def test_only_an_administrator_decides(post: Correspondence, who: str) -> None:
    """The same answer by somebody else changes nothing, and is in the trail."""
    secret = registered(post)
    assert post.write(who, f"VALIDER\n[{secret}]") is MessageState.REFUSED
    assert post.code() == "D2R-ADM01"
    assert post.account("no_account").state is AccountState.ADDRESS_VERIFIED
    assert post.audited("gateway:message:refused") == ["D2R-ADM01"]


def test_an_answer_decides_once_and_in_time(post: Correspondence) -> None:
    """A repeated, a late and an invented answer change nothing, each with its own reason."""
    secret = registered(post)
    assert post.write("administrator", "VALIDER\n[AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A]") is MessageState.REFUSED
    assert post.code() == "D2R-TOK01"
    with post.services.database.begin() as conn:
        conn.execute(update(tokens).values(expires_at=post.clock.at - timedelta(seconds=1)))
    assert post.write("administrator", f"VALIDER\n[{secret}]") is MessageState.REFUSED
    assert post.code() == "D2R-TOK03"
    with post.services.database.begin() as conn:
        conn.execute(update(tokens).values(expires_at=post.clock.at + timedelta(days=1)))
    again = post.made("administrator", f"VALIDER [{secret}]", "Re:", to=DEPOT, from_="luc.garnier@rca.dcc.example")
    assert post.write("administrator", "", raw=again) is MessageState.DONE
    assert post.write("administrator", "", raw=again) is MessageState.DONE
    assert post.code() == "D2R-ASK06", "the same signature again is the same request"
    assert post.write("administrator", f"REFUSER trop tard\n[{secret}]") is MessageState.REFUSED
    assert post.code() == "D2R-TOK02"
    assert post.account("no_account").state is AccountState.VALIDATED


def test_a_suspended_administrator_decides_nothing(post: Correspondence) -> None:
    """A suspended account is no account."""
    secret = registered(post)
    with post.services.database.begin() as conn:
        people.set_account_state(conn, post.account("administrator").id, AccountState.SUSPENDED)
    assert post.write("administrator", f"VALIDER [{secret}]") is MessageState.REFUSED
    assert post.account("no_account").state is AccountState.ADDRESS_VERIFIED


def test_an_address_that_never_answers(post: Correspondence) -> None:
    """Without its answer nobody is asked to decide; the secret runs out."""
    post.write("no_account", "INSCRIPTION", to=INSCRIPTION)
    secret = post.secret("no_account")
    assert post.kinds("administrator") == []
    with post.services.database.begin() as conn:
        conn.execute(update(tokens).values(expires_at=post.clock.at))
    assert post.write("no_account", f"CONFIRMER [{secret}]", to=INSCRIPTION) is MessageState.REFUSED
    assert post.code() == "D2R-TOK03"
    assert post.account("no_account").state is AccountState.REQUESTED
    assert post.kinds("administrator") == []


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


def test_secretary_under_a_delegation(post: Correspondence) -> None:
    """A delegation lets a secretary file for its giver, and no longer when it has ended."""
    secretary = post.cast.person("secretary")["mailbox"]
    with post.services.database.begin() as conn:
        for mandate in folders.mandates_of(conn, post.cast.folder("main")["id"]):
            if mandate.account == post.account("secretary").id:
                folders.revoke_mandate(conn, mandate.id, at=post.clock.at - timedelta(minutes=1))
    assert post.write("coordinator", f"DELEGUER\nSecrétaire : {secretary}\nTypes : 34794-8") is MessageState.DONE
    with post.services.database.read() as conn:
        (given,) = delegations.held_by_secretary(conn, post.account("secretary").id)
    assert given.types == ("34794-8",)
    draft = Draft("secretary", "main", author="coordinator")
    filed = post.deposit(draft)
    post.work()
    assert post.message(filed).state is MessageState.FILED, post.message(filed).reason_code
    assert post.write("coordinator", f"FIN DELEGATION\nSecrétaire : {secretary}") is MessageState.DONE
    post.clock.later(seconds=1)
    refused = post.deposit(draft)
    post.work()
    assert post.message(refused).reason_code == "D2R-MAN02"


def presence(post: Correspondence, person: str, about: str, nonce: str, **changes: str) -> tuple[str, str, bytes]:
    """The proof that a business software makes: signed with the card, about this patient."""
    patient = post.cast.patient(about)
    salt = os.urandom(16)
    named = f"{patient.ins}{patient.birth_date:%Y%m%d}".encode()
    told = {
        "version": "1", "nonce": nonce, "folder": post.cast.folder(about)["reference"], "salt": salt.hex(),
        "digest": hashlib.sha256(salt + named).hexdigest(), "read_at": post.clock.at.isoformat(), "reader": "lecteur-1",
        "vitale": "0123456789", "rank": "1", **changes,
    }  # fmt: skip
    entity = b"Content-Type: application/json\r\n\r\n" + json.dumps(told).encode()
    signed = signed_entity(entity, post.cast.identity(person), opaque=True)
    body = signed.partition(b"\r\n\r\n")[2]
    import base64

    return ("presence.p7m", "application/octet-stream", base64.b64decode(body))


def test_mandate_by_presence(post: Correspondence) -> None:
    """The patient's card gives a mandate with its grade, once; a replayed, foreign, old or false proof gives none."""
    folder = post.cast.folder("main")["reference"]
    ask = f"MANDAT VITALE\nDossier : {folder}"
    assert post.write("no_mandate", ask) is MessageState.DONE
    text = post.read("no_mandate")[1]
    nonce = re.search(r"    ([0-9A-Z-]{20,})", text)
    assert nonce is not None
    wrong = [
        presence(post, "gp", "main", nonce[1]),
        presence(post, "no_mandate", "main", nonce[1], digest="0" * 64),
        presence(post, "no_mandate", "main", nonce[1], read_at=(post.clock.at - timedelta(hours=25)).isoformat()),
        presence(post, "no_mandate", "main", nonce[1], folder="D-2222-2222"),
    ]
    for proof in wrong:
        assert post.write("no_mandate", ask, attachments=[proof]) is MessageState.REFUSED
        assert post.code() == "D2R-PRS01", post.message(post.last).reason_parameters
    good = presence(post, "no_mandate", "main", nonce[1])
    assert post.write("no_mandate", ask, attachments=[good]) is MessageState.DONE, post.message(post.last)
    with post.services.database.read() as conn:
        mine = [one for one in folders.mandates_of(conn, post.cast.folder("main")["id"]) if one.proof_grade]
    assert [(one.origin.value, one.proof_grade) for one in mine] == [("vitale", "vitale_declared")]
    assert post.write("no_mandate", ask + "\n", attachments=[good]) is MessageState.REFUSED
    assert post.code() == "D2R-TOK02"


def test_renewed_card_keeps_the_account(post: Correspondence) -> None:
    """Another good certificate of the same national identifier is the one that counts from now on."""
    with post.services.database.begin() as conn:
        people.set_card(conn, post.account("gp").id, post.cast.pair("nurse").certificate)
    filed = post.deposit(Draft("gp", "main"))
    post.work()
    assert post.message(filed).state is MessageState.FILED
    assert post.account("gp").card_certificate == post.cast.pair("gp").certificate
    assert len(post.audited("mail:account:card_seen")) == 1


def test_two_networks_never_see_each_other(post: Correspondence) -> None:
    """A professional of one network changes nothing in the other, whatever the reference."""
    second = post.cast.folder("second")["reference"]
    form = f"RETRAIT CONSENTEMENT\nDossier : {second}"
    assert post.write("oncologist", form) is MessageState.REFUSED
    assert post.code() == "D2R-FRM03"
    assert post.folder("second").consent is ConsentState.GIVEN
    assert post.write("gp", form, to="depot@perinat.dcc.example") is MessageState.DONE
    assert post.folder("second").consent is ConsentState.WITHDRAWN


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
