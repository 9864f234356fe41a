"""The demo cast: a look-alike PKI, people with cards, patients and folders, told in `demo/cast.json` (contract.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from dcc.cards.issue import IssuedCertificate, LookAlikePki, new_key
from dcc.gateway import cast_people as cast
from dcc.mailbox import consentforms, folders, people
from dcc.mailbox.records import Account, AccountState, ConsentForm, ConsentState, Folder, Mandate, Patient
from dcc.mailbox.references import new_folder_address, new_reference
from dcc.mailbox.rows import new_id

PASSWORD = "demonstration"  # noqa: S105  made-up people's keys, in clear beside it by contract
CRL_DAYS = 30
Identities = dict[str, IssuedCertificate | None]


@dataclass(frozen=True, slots=True)
class GatewayCertificates:
    """The gateway's own certificates in the demo PKI."""

    signing: IssuedCertificate
    encryption: IssuedCertificate
    server: IssuedCertificate


@dataclass(frozen=True, slots=True)
class Issued:
    """Everything that was issued: the PKI, the gateway's certificates, and three identities a person."""

    pki: LookAlikePki
    gateway: GatewayCertificates
    people: dict[str, Identities]


def issue(now: datetime) -> Issued:
    """Make the PKI and every certificate; keys are generated in threads."""
    count = 3 * len(cast.PEOPLE) + 12
    with ThreadPoolExecutor() as pool:
        keys = list(pool.map(lambda _: new_key(), range(count)))
    pki = LookAlikePki.create(now, key_source=lambda: keys.pop() if keys else new_key())
    made: dict[str, Identities] = {}
    for number, person in enumerate(cast.PEOPLE, 1):
        made[person.key] = _identities(pki, person, number, now)
        if person.card_state == "opposed":
            for name in ("card", "authentication"):
                issued = made[person.key][name]
                if issued is not None:
                    pki.revoke(issued, now - timedelta(days=2))
    return Issued(pki, _gateway(pki, now), made)


def _gateway(pki: LookAlikePki, now: datetime) -> GatewayCertificates:
    own = (one for network in cast.NETWORKS for one in (network.address, network.registration) if one is not None)
    addresses = (cast.GATEWAY_ADDRESS, *own)
    department, name, idnst = cast.NETWORK_OFFICE
    common: dict[str, Any] = {
        "idnst": idnst, "name": name, "department": department, "not_before": now - timedelta(days=1),
        "not_after": now + timedelta(days=1095),
    }  # fmt: skip
    return GatewayCertificates(
        pki.issue_organisation(common_name="passerelle-dcc-SIGN", usage="SIGN", addresses=addresses, **common),
        pki.issue_organisation(common_name="passerelle-dcc-CONF", usage="CONF", addresses=addresses, **common),
        pki.issue_organisation(common_name="localhost", usage="SSL", dns_names=("localhost",), **common),
    )


def _identities(pki: LookAlikePki, person: cast.Person, number: int, now: datetime) -> Identities:
    start, end = now - timedelta(days=30), now + timedelta(days=1000)
    if person.card_state == "expired":
        card_start, card_end = now - timedelta(days=340), now - timedelta(days=20)
    else:
        card_start, card_end = start, end
    if person.card is None and person.structure is not None:
        department, name, idnst = person.structure
        made = {
            usage: pki.issue_organisation(
                idnst=idnst, name=name, department=department, common_name=f"automate-{usage}", usage=usage,
                not_before=start, not_after=end,
            )
            for usage in ("SIGN", "CONF", "AUTH_CLI")
        }  # fmt: skip
        return {"card": made["SIGN"], "authentication": made["AUTH_CLI"], "encryption": made["CONF"]}
    pair = pki.issue_card(
        person.card or "CPS", idnps=person.idnps, family_name=person.family_name or "",  # type: ignore[arg-type]
        given_name=person.given_name or "", not_before=card_start, not_after=card_end,
        card_number=f"8025000001/28000000{number:02d}", profession=person.profession, specialties=person.specialties,
        structure=person.structure if person.card in {"CPE", "CPA"} else None,
    )  # fmt: skip
    encryption = None
    if person.encryption:
        encryption = pki.issue_person_software(
            idnps=person.idnps, family_name=person.family_name or "", given_name=person.given_name or "", usage="CONF",
            addresses=(person.mailbox,), not_before=start, not_after=end, profession=person.profession,
        )  # fmt: skip
    return {"card": pair.signature, "authentication": pair.authentication, "encryption": encryption}


def seed(conn: Connection, issued: Issued, now: datetime, random_bytes: Callable[[int], bytes]) -> dict[str, Folder]:
    """Networks, accounts, patients, folders, consents and mandates; returns the folders by key."""
    for network in cast.NETWORKS:
        people.add_network(conn, network)
        consentforms.add(conn, ConsentForm(network.id, cast.FORM, "fr", cast.FORM_TITLE, cast.FORM_TEXT, now))
    accounts: dict[tuple[str, str], Account] = {}
    for person in cast.PEOPLE:
        for network_id in person.networks:
            account = _account(person, network_id, issued.people[person.key], random_bytes)
            people.add_account(conn, account)
            accounts[person.key, network_id] = account
    opened: dict[str, Folder] = {}
    patients = {patient.key: _patient(conn, patient, random_bytes) for patient in cast.PATIENTS}
    for one in cast.FOLDERS:
        opened[one.key] = _folder(conn, one, patients[one.key], accounts, now, random_bytes)
    return opened


def _account(person: cast.Person, network: str, made: Identities, random_bytes: Callable[[int], bytes]) -> Account:
    card, encryption = made["card"], made["encryption"]
    return Account(
        id=new_id(random_bytes), network=network, kind="organisation" if person.card is None else "person",
        national_id=person.idnps, family_name=person.family_name, given_name=person.given_name,
        profession=None if person.profession is None else str(person.profession),
        structure=None if person.structure is None else person.structure[2], mailbox=person.mailbox, role=person.role,
        state=AccountState.VALIDATED, encryption_certificate=None if encryption is None else encryption.certificate,
        card_certificate=None if card is None else card.certificate,
    )  # fmt: skip


def _patient(conn: Connection, one: cast.DemoPatient, random_bytes: Callable[[int], bytes]) -> Patient:
    patient = Patient(
        id=new_id(random_bytes), ins=one.ins, oid=cast.TEST_OID, birth_name=one.birth_name, given_names=one.given_names,
        sex=one.sex, birth_date=one.birth_date, birth_place=one.birth_place, status=one.status,
    )  # fmt: skip
    folders.add_patient(conn, patient)
    return patient


def _folder(
    conn: Connection,
    one: cast.DemoFolder,
    patient: Patient,
    accounts: dict[tuple[str, str], Account],
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> Folder:
    network = next(network for network in cast.NETWORKS if network.id == one.network)
    opened = now - timedelta(days=10)
    folder = Folder(
        id=new_id(random_bytes), reference=new_reference(random_bytes),
        address=new_folder_address(random_bytes, network.domain), network=one.network, patient=patient.id,
        created_at=opened, consent=ConsentState.NONE,
    )  # fmt: skip
    folders.add_folder(conn, folder)
    if one.consent is not ConsentState.NONE:
        folders.record_consent(conn, folder.id, state=ConsentState.GIVEN, at=opened, form_version=cast.FORM)
    if one.consent is ConsentState.WITHDRAWN:
        folders.record_consent(conn, folder.id, state=ConsentState.WITHDRAWN, at=now - timedelta(days=1))
    for mandate in one.mandates:
        account = accounts[mandate.person, one.network]
        by_structure = account.kind == "organisation"
        until = None if mandate.days is None else _until(now, mandate.days)
        folders.add_mandate(
            conn,
            Mandate(
                id=new_id(random_bytes), folder=folder.id, account=None if by_structure else account.id,
                structure=account.structure if by_structure else None, origin=mandate.origin, start=opened, until=until,
            ),
        )  # fmt: skip
    return folder


def _until(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)


def write_files(directory: Path, issued: Issued, now: datetime) -> None:
    """Certificates, keys and lists under `demo/`, the gateway's own under `keys/`."""
    demo = directory / "demo"
    for name in ("pki", "crls", "people"):
        (demo / name).mkdir(parents=True, exist_ok=True)
    for code, root in issued.pki.roots.items():
        _write(demo / "pki" / f"racine-{code}.pem", _pem(root.der))
    for code, authority in issued.pki.authorities.items():
        _write(demo / "pki" / f"autorite-{code}.pem", _pem(authority.der))
    for number, crl in enumerate(issued.pki.crls(now - timedelta(hours=2), now + timedelta(days=CRL_DAYS))):
        _write(demo / "crls" / f"liste-{number}.crl", crl)
    for person in cast.PEOPLE:
        for name, identity in issued.people[person.key].items():
            if identity is not None:
                _write_identity(demo / "people" / f"{person.key}-{name}", identity)
    own = issued.gateway
    _write(directory / "keys" / "signature.p12", own.signing.p12(PASSWORD, "signature"))
    _write(directory / "keys" / "dechiffrement.p12", own.encryption.p12(PASSWORD, "dechiffrement"))
    _write(
        directory / "keys" / "smtp.pem",
        own.server.pem_certificate + b"".join(_pem(one) for one in own.server.chain[:1]),
    )
    _write(directory / "keys" / "smtp.key", own.server.pem_key)
    _write(demo / "passerelle-chiffrement.pem", own.encryption.pem_certificate)
    _write(demo / "passerelle-signature.pem", own.signing.pem_certificate)


def _write_identity(base: Path, identity: IssuedCertificate) -> None:
    _write(base.with_suffix(".pem"), identity.pem_certificate)
    _write(base.with_suffix(".key"), identity.pem_key)
    _write(base.with_suffix(".p12"), identity.p12(PASSWORD, base.name))


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def write_cast(directory: Path, opened: dict[str, Folder], now: datetime) -> None:
    """`demo/cast.json`, in the shape that design.md and contract.md fix; paths are relative to the instance."""
    demo = directory / "demo"
    anchors = sorted(f"demo/pki/{path.name}" for path in (demo / "pki").iterdir())
    document = {
        "gateway": {
            "address": cast.GATEWAY_ADDRESS,
            "certificate": "demo/passerelle-chiffrement.pem",
            "signing_certificate": "demo/passerelle-signature.pem",
        },
        "anchors": [one for one in anchors if "racine" in one] + [one for one in anchors if "autorite" in one],
        "crls": sorted(f"demo/crls/{path.name}" for path in (demo / "crls").iterdir()),
        "sink": "sink",
        "networks": [asdict(network) for network in cast.NETWORKS],
        "people": [_person_entry(demo, person) for person in cast.PEOPLE],
        "patients": [
            {
                "key": one.key, "ins": one.ins, "oid": cast.TEST_OID, "birth_name": one.birth_name,
                "given_names": list(one.given_names), "sex": one.sex, "birth_date": one.birth_date.isoformat(),
                "birth_place": one.birth_place, "status": one.status,
            }
            for one in cast.PATIENTS
        ],
        "folders": [_folder_entry(one, opened[one.key], now) for one in cast.FOLDERS],
    }  # fmt: skip
    text = json.dumps(document, ensure_ascii=False, indent=2)
    (demo / "cast.json").write_text(text + "\n", encoding="utf-8")


def _person_entry(demo: Path, person: cast.Person) -> dict[str, Any]:
    def identity(name: str) -> dict[str, str] | None:
        base = f"demo/people/{person.key}-{name}"
        if not (demo.parent / f"{base}.pem").exists():
            return None
        return {
            "certificate": f"{base}.pem", "private_key": f"{base}.key", "p12": f"{base}.p12", "password": PASSWORD
        }  # fmt: skip

    return {
        "key": person.key, "name": person.name, "role": person.role, "card_type": person.card, "idnps": person.idnps,
        "profession": None if person.profession is None else str(person.profession),
        "structure": None if person.structure is None else person.structure[2], "mailbox": person.mailbox,
        "account": "validated" if person.networks else None, "networks": list(person.networks),
        "card": identity("card"), "authentication": identity("authentication"), "encryption": identity("encryption"),
    }  # fmt: skip


def _folder_entry(one: cast.DemoFolder, folder: Folder, now: datetime) -> dict[str, Any]:
    mandates = [
        {
            "person": mandate.person, "origin": mandate.origin.value,
            "until": None if mandate.days is None
            else _until(now, mandate.days).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for mandate in one.mandates
    ]  # fmt: skip
    return {
        "key": one.key, "id": folder.id, "reference": folder.reference, "address": folder.address,
        "network": one.network, "patient": one.key, "consent": one.consent.value, "mandates": mandates,
    }  # fmt: skip
