"""`dcc card` and `dcc identifier` as scripts use them: the JSON and exit codes of the contract."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from cardworld import (
    DAY,
    END,
    HOUR,
    NOW,
    START,
    big_crl,
    card,
    crl,
    fresh,
    key,
    leaf,
    organisation,
    pem,
    pki,
    serial_of,
)  # fmt: skip
from dcc.cards import issue_profiles as profiles
from dcc.gateway.cli import build

AT = "2026-06-01T12:00:00Z"
KEYS = [
    "verdict", "evidence", "usage", "environment", "not_before", "not_after", "subject", "issuer", "serial", "sha256",
    "holder",
]  # fmt: skip
HOLDER = [
    "kind", "idnps", "family_name", "given_name", "profession", "profession_label", "specialties", "card_type",
    "card_number", "structure_id", "structure_name", "common_name",
]  # fmt: skip


class Command:
    """The command line with a folder of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        anchors = self.file("racines.pem", b"".join(pem(one) for one in (*pki().anchors, *pki().intermediates)))
        self.trust = ["--trust", anchors]
        self.lists: list[str] = []

    def file(self, name: str, data: bytes) -> str:
        """A file of the folder."""
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def crl(self, *lists: bytes) -> list[str]:
        """--crl for each of these lists."""
        found = []
        for number, der in enumerate(lists):
            found += ["--crl", self.file(f"{len(self.lists)}-{number}.crl", der)]
        self.lists += found
        return found

    def __call__(self, *arguments: str) -> Any:
        """Run it."""
        return CliRunner().invoke(build(arguments[0]), list(arguments))

    def judge(self, data: bytes, *options: str, at: str = AT) -> tuple[int, dict[str, Any]]:
        """(exit code, JSON) of `dcc card` on these octets."""
        result = self("card", self.file("carte", data), *self.trust, "--at", at, "--json", *options)
        return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def dcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Command(tmp_path)


def verdicts(found: dict[str, Any]) -> set[tuple[str, str]]:
    """(check, verdict) of what was found wrong."""
    return {(one["check"], one["verdict"]) for one in found["evidence"] if one["verdict"] is not None}


def test_a_good_card_as_the_contract_says(dcc: Command) -> None:
    """Exit 0, and one JSON document with exactly the fields of the contract."""
    der = card("CPS", card_number="8025000001/2800262487").signature.certificate
    code, found = dcc.judge(pem(der), *dcc.crl(*fresh()))
    assert code == 0
    assert list(found) == KEYS
    assert list(found["holder"]) == HOLDER
    assert found["holder"] == {
        "kind": "person", "idnps": "899700366240", "family_name": "MEDECIN", "given_name": "ANNE", "profession": "10",
        "profession_label": "Médecin", "specialties": ["SM36"], "card_type": "CPS",
        "card_number": "8025000001/2800262487", "structure_id": None, "structure_name": None,
        "common_name": "899700366240",
    }  # fmt: skip
    assert (found["verdict"], found["usage"], found["environment"]) == ("VALID", "SIGNATURE", "test")
    assert (found["not_before"], found["not_after"]) == (f"{START:%Y-%m-%dT%H:%M:%SZ}", f"{END:%Y-%m-%dT%H:%M:%SZ}")
    assert int(found["serial"], 16) == serial_of(der)
    assert (len(found["sha256"]), found["subject"][:5], found["issuer"][:5]) == (64, "C=FR,", "C=FR,")
    assert all(one["check"] and one["text"] for one in found["evidence"])


def test_an_organisation(dcc: Command) -> None:
    """An organisation's holder has no person's fields."""
    code, found = dcc.judge(organisation().certificate, *dcc.crl(*fresh()))
    assert (code, found["holder"]["kind"], found["holder"]["structure_id"]) == (0, "organisation", "10B0057881")
    assert found["holder"]["idnps"] is None
    assert found["holder"]["specialties"] == []


def test_no_and_could_not_find_out_have_their_exit_codes(dcc: Command) -> None:
    """Exit 1 for a refusal, 3 when the lists are absent or stale, 0 only for VALID."""
    der = leaf()
    lists = dcc.crl(*fresh())
    opposed = dcc.crl(crl("FO-PP", [serial_of(der)], number=2))
    for options, at, code, verdict in [
        (lists, AT, 0, "VALID"),
        ([], AT, 3, "REVOCATION_UNKNOWN"),
        (lists, "2026-06-09T12:00:00Z", 3, "REVOCATION_UNKNOWN"),
        ([*lists, *opposed], AT, 1, "OPPOSED"),
        ([*lists, *opposed], "2026-06-09T12:00:00Z", 1, "OPPOSED"),
        (lists, "2031-01-01T00:00:00Z", 1, "EXPIRED"),
        (lists, "2026-01-01T00:00:00Z", 1, "NOT_YET_VALID"),
    ]:
        answer, found = dcc.judge(der, *options, at=at)
        assert (answer, found["verdict"]) == (code, verdict)


def test_a_time_without_zone_is_utc(dcc: Command) -> None:
    """Contract: times are UTC; what is no time is a usage error."""
    lists = dcc.crl(*fresh())
    der = leaf(not_after=NOW)
    assert dcc.judge(der, *lists, at="2026-06-01T12:00:00")[0] == 0
    assert dcc.judge(der, *lists, at="2026-06-01T13:00:00+01:00")[0] == 0
    assert dcc.judge(der, *lists, at="2026-06-01T12:00:01")[0] == 1
    result = dcc("card", dcc.file("c", der), "--at", "hier")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "2025-06-15T12:00:00Z" in result.stderr


@pytest.mark.parametrize(("usage", "purpose"), [("SIGN", "sign"), ("CONF", "encrypt"), ("SSL", "server")])
def test_purpose(dcc: Command, usage: str, purpose: str) -> None:
    """--purpose asks for a usage; signing is asked for unless told."""
    lists = dcc.crl(*fresh())
    der = organisation(usage).certificate
    for asked in ("sign", "encrypt", "server"):
        code, found = dcc.judge(der, *lists, "--purpose", asked)
        assert (code, found["verdict"]) == ((0, "VALID") if asked == purpose else (1, "WRONG_USAGE"))
    assert dcc.judge(der, *lists)[0] == (0 if purpose == "sign" else 1)


def test_environment(dcc: Command) -> None:
    """TEST in an anchor's name makes a test platform; told to be production, it refuses the test bit."""
    der = leaf()
    lists = dcc.crl(*fresh())
    assert dcc.judge(der, *lists)[1]["verdict"] == "VALID"
    assert dcc.judge(der, *lists, "--environment", "test")[1]["verdict"] == "VALID"
    code, found = dcc.judge(der, *lists, "--environment", "production")
    assert (code, found["verdict"]) == (1, "TEST_CARD_IN_PROD")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AC RACINE")])
    root = profiles.authority(name, key("prod"), name, key("prod"), START, END, parent_crl=None)
    dcc.trust = ["--trust", dcc.file("prod.pem", root.public_bytes(Encoding.PEM))]
    code, found = dcc.judge(leaf(issuer_name=name, issuer_key=key("prod")), "--no-revocation")
    assert (code, verdicts(found)) == (1, {("environment", "TEST_CARD_IN_PROD")})


def test_no_revocation_is_said(dcc: Command) -> None:
    """--no-revocation skips opposition, exits 0, and says so in the evidence."""
    der = leaf()
    code, found = dcc.judge(der, *dcc.crl(crl("FO-PP", [serial_of(der)])), "--no-revocation")
    (told,) = [one for one in found["evidence"] if one["check"] == "revocation"]
    assert (code, told["skipped"]) == (0, "yes")


def test_a_revoked_authority(dcc: Command) -> None:
    """A revoked issuing authority is UNTRUSTED_CHAIN with that evidence."""
    lists = dcc.crl(crl("FO-PP"), crl("FO", [serial_of(pki().authorities["FO-PP"].der)]))
    code, found = dcc.judge(leaf(), *lists)
    assert (code, found["verdict"]) == (1, "UNTRUSTED_CHAIN")
    assert verdicts(found) == {("revocation of the authority", "UNTRUSTED_CHAIN")}


def test_deltas_and_lower_numbers(dcc: Command) -> None:
    """A delta lifts a hold; a list with a lower number is refused and named."""
    der = leaf()
    hold, lifted = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
    base = crl("FO-PP", {serial_of(der): hold}, number=10)
    lists = dcc.crl(crl("FO"), crl("FO-PP", number=9), base)
    code, found = dcc.judge(der, *lists)
    (told,) = [one for one in found["evidence"] if one["check"] == "revocation"]
    assert (code, found["verdict"], told["crl_number"]) == (1, "OPPOSED", "10")
    assert told["refused_lower_number_0"].startswith("9 (")
    assert dcc.judge(der, *lists, *dcc.crl(crl("FO-PP", {serial_of(der): lifted}, number=11, base=10)))[0] == 0


def test_the_other_certificate_of_the_card(dcc: Command) -> None:
    """--same-card: opposed by the other serial of the card."""
    pair = card("CPS")
    lists = dcc.crl(*fresh(), crl("FO-PP", [serial_of(pair.authentication.certificate)], number=2))
    assert dcc.judge(pair.signature.certificate, *lists)[0] == 0
    other = dcc.file("autre.pem", pem(pair.authentication.certificate))
    code, found = dcc.judge(pair.signature.certificate, *lists, "--same-card", other)
    assert (code, found["verdict"]) == (1, "OPPOSED")
    assert verdicts(found) == {("revocation of the same card", "OPPOSED")}


def test_several_hundred_lists_in_one_call(dcc: Command) -> None:
    """Hundreds of --crl in one call, DER and PEM, of every authority and of none: the right ones count."""
    der = leaf()
    lists = [crl("EL-ORG", [number], number=number, this_update=NOW - HOUR) for number in range(1, 300)]
    lists += [pem(one, "X509 CRL") for one in fresh()]
    lists += [crl("FO-PP", [serial_of(der)], number=2)]
    code, found = dcc.judge(der, *dcc.crl(*lists))
    assert (code, found["verdict"]) == (1, "OPPOSED")
    (refused,) = [
        one for one in dcc.judge(organisation().certificate, *dcc.lists)[1]["evidence"] if one["check"] == "revocation"
    ]
    assert (refused["crl_number"], sum(name.startswith("refused_lower") for name in refused)) == ("299", 299)


def test_indexes_lie_in_the_cache_of_the_user(dcc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contract: indexes are kept under $XDG_CACHE_HOME/dcc by SHA-256; a second call parses no list."""
    der = leaf()
    lists = dcc.crl(crl("FO"), big_crl("FO-PP", range(1, 4001, 2)))
    assert dcc.judge(der, *lists)[0] == 0
    kept = sorted((dcc.folder / "cache" / "dcc").iterdir())
    assert [path.suffix for path in kept] == [".idx", ".json"] * 2

    def parse(data: bytes) -> Any:
        raise AssertionError("a known list is parsed again")

    monkeypatch.setattr(x509, "load_der_x509_crl", parse)
    assert dcc.judge(der, *lists)[0] == 0


def test_a_home_that_cannot_be_written_is_no_failure(dcc: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for the cache the answer is the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", dcc.file("plein", b""))
    assert dcc.judge(leaf(), *dcc.crl(*fresh()))[0] == 0


@pytest.mark.parametrize("name", ["empty", "cut", "two PEM", "two DER", "list", "PEM list", "text", "large", "key"])
def test_what_is_no_certificate_is_unparseable(dcc: Command, name: str) -> None:
    """Acceptance 69: a sentence, every other field null, exit 1, no exception."""
    der, listed = leaf(), fresh()[0]
    data = {
        "empty": b"", "cut": der[:300], "two PEM": pem(der) * 2, "two DER": der * 2, "list": listed,
        "PEM list": pem(listed, "X509 CRL"), "text": b"bonjour", "large": bytes(1 << 20),
        "key": card("CPS").signature.pem_key,
    }[name]  # fmt: skip
    code, found = dcc.judge(data, *dcc.crl(*fresh()))
    assert (code, found["verdict"], list(found)) == (1, "UNPARSEABLE", KEYS)
    assert all(found[name] is None for name in KEYS[2:])
    assert found["evidence"][0]["text"]


@pytest.mark.parametrize(
    "options",
    [
        ["--purpose", "dance"], ["--environment", "moon"], ["--trust", "absent.pem"], ["--crl", "absent.crl"],
        ["--same-card", "absent.pem"], ["--trust", "rubbish"], ["--same-card", "rubbish"], ["--no-such-option"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_2(dcc: Command, options: Sequence[str]) -> None:
    """A wrong option, an absent file, a trust file without certificate: exit 2, one line, no JSON."""
    dcc.file("rubbish", b"rubbish")
    named = [options[0], str(dcc.folder / options[1])] if "." in options[-1] or options[-1] == "rubbish" else options
    result = dcc("card", dcc.file("c", leaf()), *named, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_an_absent_certificate_exits_2(dcc: Command) -> None:
    """An absent file, a folder, and no argument at all: exit 2."""
    assert dcc("card", str(dcc.folder / "absent")).exit_code == 2
    assert dcc("card", str(dcc.folder)).exit_code == 2
    assert dcc("card").exit_code == 2


def test_a_list_that_cannot_be_read_counts_as_absent(dcc: Command) -> None:
    """I10: an unreadable list is said on standard error and leaves the opposition unknown."""
    result = dcc("card", dcc.file("c", leaf()), *dcc.trust, "--at", AT, "--json", "--crl", dcc.file("bad.crl", b"bad"))
    assert result.exit_code == 3
    assert json.loads(result.stdout)["verdict"] == "REVOCATION_UNKNOWN"
    assert "bad.crl" in result.stderr


def test_the_text_for_people(dcc: Command) -> None:
    """Without --json: who, what, each check with yes, no or unknown, and the verdict last."""
    der = card("CPE").signature.certificate
    result = dcc("card", dcc.file("c", der), *dcc.trust, "--at", AT)
    lines = result.stdout.splitlines()
    assert lines[0] == "ANNE MEDECIN (CPE, Personnel santé ou social, HOPITAL DES 3 DAMES) – 30B0057881/CPET0002"
    assert lines[1].startswith("SIGNATURE, du 2026-")
    assert any(line.split()[:2] == ["?", "revocation"] for line in lines)
    assert any(line.split()[:2] == ["oui", "path"] for line in lines)
    assert lines[-1] == "REVOCATION_UNKNOWN"
    wrong = dcc("card", dcc.file("c", card("CPS").authentication.certificate), *dcc.trust, "--at", AT)
    assert any(line.split()[:2] == ["non", "usage"] for line in wrong.stdout.splitlines())
    assert dcc("card", dcc.file("c", b"")).stdout.splitlines()[-1] == "UNPARSEABLE"


def test_a_name_does_not_steer_the_terminal(dcc: Command) -> None:
    """Control characters of a name are shown as replaced."""
    der = leaf(subject=profiles.person_name("899700366240", "X\x1b[2J\r", "Y\u202e", 10, None))
    text = dcc("card", dcc.file("c", der), *dcc.trust, "--at", AT).stdout
    assert not {"\x1b", "\r", "\u202e"} & set(text)


def test_help_has_an_example(dcc: Command) -> None:
    """--help of both commands shows an example."""
    assert "dcc card carte.pem --trust" in " ".join(dcc("card", "--help").stdout.split())
    assert "dcc identifier rpps" in " ".join(dcc("identifier", "--help").stdout.split())


def test_the_installed_command(dcc: Command) -> None:
    """The installed `dcc` answers the same: JSON on standard output, nothing on standard error, exit codes."""
    program = Path(sys.executable).with_name("dcc")
    der = leaf(not_after=NOW + DAY)
    arguments = [str(program), "card", dcc.file("c", der), *dcc.trust, *dcc.crl(*fresh()), "--at", AT, "--json"]
    done = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["verdict"] == "VALID"
    done = subprocess.run(
        [str(program), "identifier", "rpps", "10003461033"], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, "clé" in done.stdout.decode()) == (1, True)


# dcc identifier


def identifier(dcc: Command, kind: str, value: str) -> tuple[int, dict[str, Any]]:
    """(exit code, JSON) of `dcc identifier`."""
    result = dcc("identifier", kind, value, "--json")
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize(
    ("kind", "value", "parts"),
    [
        ("rpps", "99700523527", {"range": "test"}),
        ("idnps", "899700523527", {"rpps": "99700523527"}),
        ("idnps", "00B6077602", {"adeli": "0B6077602", "range": "test"}),
        ("idnps", "30B0057881/CPET0002", {"finess": "0B0057881", "register": "CPET0002"}),
        ("idnst", "10B0057881", {"finess": "0B0057881", "range": "test"}),
        ("idnst", "318751275100020", {"siret": "18751275100020"}),
        ("idnst", "499700367909006", {"rpps": "99700367909", "rank": "006"}),
        ("upn", "8.99700041983@carte-cps.fr", {"idnps": "899700041983"}),
        ("finess", "970100228", {"department": "97"}),
        ("siret", "13002526500013", {"siren": "130025265", "nic": "00013"}),
        ("nir", "199012B99900163", {"sex": "1", "department": "2B", "key": "63"}),
        ("NIR", "279035121518989", {"key": "89"}),
    ],
)
def test_identifiers_as_the_contract_says(dcc: Command, kind: str, value: str, parts: dict[str, str]) -> None:
    """Exit 0 and exactly the fields of the contract, with the parts of acceptance J."""
    code, found = identifier(dcc, kind, value)
    assert (code, list(found)) == (0, ["kind", "value", "valid", "formatted", "parts", "reason"])
    assert (found["kind"], found["value"], found["valid"]) == (kind.lower(), value, True)
    assert parts.items() <= found["parts"].items()


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("rpps", "10003461033", "clé"),
        ("finess", "330781197", "clé"),
        ("nir", "255081416802539", "38"),
        ("siret", "1", "forme"),
    ],
)
def test_an_invalid_identifier_exits_1_with_its_reason(dcc: Command, kind: str, value: str, reason: str) -> None:
    """Exit 1, nothing formatted, and why."""
    code, found = identifier(dcc, kind, value)
    assert (code, found["valid"], found["formatted"]) == (1, False, None)
    assert reason in found["reason"]


def test_corsica_is_said_in_the_reason(dcc: Command) -> None:
    """Contract: FINESS with 2A or 2B is accepted without check digit, and that is said."""
    code, found = identifier(dcc, "finess", "2A0000012")
    assert (code, found["valid"]) == (0, True)
    assert "Corse" in found["reason"]


def test_an_unknown_kind_exits_2(dcc: Command) -> None:
    """A kind that does not exist is a usage error that lists those that do."""
    result = dcc("identifier", "passport", "1", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "rpps" in result.stderr


def test_an_identifier_for_people(dcc: Command) -> None:
    """Without --json: the formatted value, valid or not, why, and the parts."""
    lines = dcc("identifier", "nir", "279035121518989").stdout.splitlines()
    assert lines[0] == "2 79 03 51 215 189 89 : valide"
    assert "  key : 89" in lines
    assert (
        dcc("identifier", "nir", "279035121518988")
        .stdout.splitlines()[0]
        .endswith("non valide (clé de contrôle fausse : 89 attendu)")
    )
