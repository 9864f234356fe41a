"""National identifiers: every vector of facts/cards §12 and acceptance J, and what holds of any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.cards import identifiers
from dcc.cards.identifiers import PARSERS, luhn, luhn_digit, nir_key, parse, upn_identifier

VALID = [
    *(
        ("rpps", value)
        for value in ["99700523527", "99700041983", "99700075064", "99700367909", "99700366240", "99700218896"]
    ),
    *(("finess", value) for value in ["330781196", "330000662", "330781360", "750712184", "940000664", "970100228"]),
    *(("siret", value) for value in ["13002526500013", "18751275100020", "00000000077081"]),
    ("siren", "187512751"),
    ("adeli", "990000010"),
    ("nir", "279035121518989"), ("nir", "277076322082910"), ("nir", "255081416802538"),
    ("nir", "297022A02077878"), ("nir", "199012B99900163"), ("nir", "299012A99900183"),
]  # fmt: skip
WRONG_CHECK = [
    *(("rpps", value) for value in ["10003461033", "10101201234", "10000000001", "10001234567"]),
    ("finess", "330781197"),
    ("siret", "18751275100021"),
    ("siren", "187512752"),
    ("adeli", "990000011"),
    ("idnst", "318751275100021"),
    ("idnst", "410003461033001"),
    ("idnps", "810003461033"),
    ("idnps", "3330781197/CPE1"),
    ("idnps", "4187512752/CPE1"),
    ("idnps", "518751275100021/CPE1"),
]


@pytest.mark.parametrize(("kind", "value"), VALID)
def test_published_identifiers_are_valid(kind: str, value: str) -> None:
    """Every published identifier of the vectors is valid, and says no more than that."""
    found = parse(kind, value)
    assert found.valid
    assert found.formatted is not None
    assert found.formatted.replace(" ", "") == value
    assert found.reason is None


@pytest.mark.parametrize(("kind", "value"), WRONG_CHECK)
def test_a_wrong_check_digit_is_told_as_such(kind: str, value: str) -> None:
    """A well-formed identifier whose check digit is wrong is refused for that reason."""
    found = parse(kind, value)
    assert not found.valid
    assert found.formatted is None
    assert found.reason == identifiers.CHECK


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("255081416802539", "38"), ("199012B99900162", "63"), ("181036322045660", "76"), ("281036322045610", "26"),
        ("288091720220371", "68"), ("189079912345678", "37"), ("285031512345678", "59"),
    ],
)  # fmt: skip
def test_a_wrong_key_names_the_right_one(value: str, right: str) -> None:
    """A NIR with a wrong key is refused, and the key that was expected is told."""
    found = parse("nir", value)
    assert not found.valid
    assert found.reason == f"{identifiers.CHECK} : {right} attendu"
    assert parse("nir", value[:13] + right).valid


@pytest.mark.parametrize(("body", "digit"), [("1000346103", "4"), ("9970021889", "6"), ("1000000000", "9")])
def test_the_check_digit_of_an_rpps(body: str, digit: str) -> None:
    """The RPPS check digit is the Luhn digit of the ten before it."""
    assert luhn_digit(body) == digit
    assert parse("rpps", body + digit).valid


@pytest.mark.parametrize(
    ("value", "parts", "reason"),
    [
        ("899700523527", {"kind": "8", "label": "RPPS", "rpps": "99700523527", "range": "test"}, None),
        ("00B6077602", {"kind": "0", "label": "ADELI", "adeli": "0B6077602", "range": "test"}, identifiers.TEST_ONLY),
        (
            "30B0057881/CPET0002",
            {
                "kind": "3",
                "label": "FINESS/registre",
                "finess": "0B0057881",
                "register": "CPET0002",
                "range": "test",
            },
            identifiers.TEST_ONLY,
        ),
        ("9123456", {"kind": "9", "label": "étudiant", "identifier": "123456"}, None),
        ("2DRASS12", {"kind": "2", "label": "DRASS", "identifier": "DRASS12"}, None),
        (
            "1012345674/R1",
            {"kind": "1", "label": "cabinet ADELI/registre", "cabinet": "012345674", "register": "R1"},
            None,
        ),
        (
            "699700367909006/R1",
            {"kind": "6", "label": "cabinet RPPS/registre", "cabinet": "99700367909006", "register": "R1"},
            None,
        ),
        (
            "10anne.medecin@hopital.mssante.fr",
            {"kind": "10", "label": "adresse MSSanté", "address": "anne.medecin@hopital.mssante.fr"},
            None,
        ),
    ],
)
def test_the_prefix_of_an_idnps_decides(value: str, parts: dict[str, str], reason: str | None) -> None:
    """An IDNPS is read by its G08 prefix; 10 before a mail address is kind 10, before a cabinet kind 1."""
    found = parse("idnps", value)
    assert (found.valid, found.formatted, dict(found.parts), found.reason) == (True, value, parts, reason)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("10B0057881", {"kind": "1", "label": "FINESS", "finess": "0B0057881", "range": "test"}),
        ("318751275100020", {"kind": "3", "label": "SIRET", "siret": "18751275100020"}),
        ("313002526500013", {"kind": "3", "label": "SIRET", "siret": "13002526500013"}),
        ("300000000077081", {"kind": "3", "label": "SIRET", "siret": "00000000077081"}),
        ("2187512751", {"kind": "2", "label": "SIREN", "siren": "187512751"}),
        (
            "499700367909006",
            {"kind": "4", "label": "cabinet RPPS", "rpps": "99700367909", "rank": "006", "range": "test"},
        ),
        ("40123ABC", {"kind": "40", "label": "structure nationale", "identifier": "123ABC"}),
        ("400000000000012", {"kind": "4", "label": "cabinet RPPS", "rpps": "00000000000", "rank": "012",
                             "range": "production"}),
    ],
)  # fmt: skip
def test_the_prefix_of_an_idnst_decides(value: str, parts: dict[str, str]) -> None:
    """An IDNST is read by its G07 prefix; 40 is kind 40 unless it is a well-formed cabinet of kind 4."""
    found = parse("idnst", value)
    assert (found.valid, found.formatted, dict(found.parts)) == (True, value, parts)


def test_the_same_digit_means_another_thing_for_a_structure_and_a_person() -> None:
    """3 is a SIRET for a structure and a FINESS with a register for a person."""
    assert parse("idnst", "318751275100020").parts["siret"] == "18751275100020"
    assert parse("idnps", "3330781196/CPE1").parts["finess"] == "330781196"
    assert not parse("idnps", "318751275100020").valid
    assert not parse("idnst", "3330781196/CPE1").valid


@pytest.mark.parametrize("value", ["2A0000012", "2B1234567"])
@pytest.mark.parametrize("kind", ["finess", "adeli"])
def test_corsica_is_accepted_by_its_form(kind: str, value: str) -> None:
    """An identifier of Corsica is accepted without its check digit, and that is said."""
    found = parse(kind, value)
    assert (found.valid, found.parts["department"], found.reason) == (True, value[:2], identifiers.CORSICA)
    assert parse("idnst", f"1{value}").reason == identifiers.CORSICA


def test_corsica_in_a_nir_changes_the_key() -> None:
    """2A counts as 19 and 2B as 18; without that the key is another."""
    assert nir_key("299012A999001") == "83"
    assert nir_key("199012B999001") == "63"
    assert parse("nir", "2 97 02 2A 020 778 78").formatted == "2 97 02 2A 020 778 78"


@pytest.mark.parametrize("body", ["1790351215189", "3200351215189", "7795051215189", "8793051215189"])
def test_temporary_numbers_and_incomplete_civil_status_are_not_refused(body: str) -> None:
    """A first digit other than 1 and 2, and a month of 20 or more, are forms of a NIR."""
    found = parse("nir", body + nir_key(body))
    assert found.valid
    assert found.parts["sex"] == body[0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("rpps", ""), ("rpps", "9970052352"), ("rpps", "997005235277"), ("rpps", "9970052352A"), ("rpps", "９9700523527"),
        ("adeli", "ABC"), ("finess", "33078119"), ("finess", "3307811AA"), ("siren", "18751275"), ("siret", "1875127510002"),
        ("nir", "279035121518"), ("nir", "279032C21518989"), ("idnps", ""), ("idnps", "7123"), ("idnps", "8"),
        ("idnps", "8 99700523527"), ("idnps", "00b6077602"), ("idnps", "30B0057881"), ("idnps", "30B0057881/"),
        ("idnps", "30B0057881/a/b"), ("idnps", "9!"), ("idnps", "10@"), ("idnps", "10a@b"), ("idnps", "1short/R1"),
        ("idnst", ""), ("idnst", "9123"), ("idnst", "1"), ("idnst", "4123"), ("idnst", "40"), ("idnst", "40!"),
        ("upn", "medical@example.test"), ("upn", "8.99700041983"), ("upn", "8.99700041984@carte-cps.fr"),
    ],
)  # fmt: skip
def test_what_has_not_the_form_is_refused_with_a_reason(kind: str, value: str) -> None:
    """A value that has not the form of its kind is refused, with a reason."""
    found = parse(kind, value)
    assert not found.valid
    assert found.formatted is None
    assert found.reason


@pytest.mark.parametrize(
    ("upn", "idnps"),
    [
        ("8.99700041983@carte-cps.fr", "899700041983"),
        ("30B0057881/CPET0002@carte-cps.fr", "30B0057881/CPET0002"),
        ("0.0B1058110@Carte-CPS.fr", "00B1058110"),
    ],
)
def test_a_upn_holds_an_idnps_and_is_no_address(upn: str, idnps: str) -> None:
    """The UPN of a card gives its IDNPS, and says that it is never a mail address."""
    found = parse("upn", upn)
    assert (found.valid, found.formatted, found.parts["idnps"]) == (True, idnps, idnps)
    assert found.reason == identifiers.NOT_AN_ADDRESS
    assert upn_identifier(upn) == idnps


@pytest.mark.parametrize("upn", ["medical@padoa.example", "899700041983@carte-cps.fr", "", "@carte-cps.fr"])
def test_other_upns_hold_no_identifier(upn: str) -> None:
    """A UPN of another form or domain is nobody's identifier."""
    assert upn_identifier(upn) is None


def test_the_ins_and_the_nia_keep_their_own_kind() -> None:
    """An INS and a NIA are checked like a NIR and keep their own name."""
    for kind in ("nir", "nia", "ins"):
        found = parse(kind, "279035121518989")
        assert (found.kind, found.valid) == (kind, True)


@given(st.sampled_from(sorted(PARSERS)), st.text(max_size=30))
def test_no_text_makes_a_parser_fail(kind: str, text: str) -> None:
    """Any text of any kind is answered, and a refusal always says why."""
    found = parse(kind, text)
    assert found.kind == kind
    assert found.valid or found.reason
    assert found.valid == (found.formatted is not None)


digits = st.text("0123456789ABab/@. -", max_size=20)


@given(st.sampled_from(sorted(PARSERS)), digits)
def test_what_is_valid_stays_valid_when_formatted(kind: str, text: str) -> None:
    """The formatted form of a valid identifier is itself valid, and formats to itself."""
    found = parse(kind, text)
    if found.valid and kind != "upn":
        again = parse(kind, found.formatted or "")
        assert (again.valid, again.formatted) == (True, found.formatted)


@given(st.text("0123456789", min_size=1, max_size=20), st.integers(0, 19), st.integers(1, 9))
def test_luhn_finds_any_single_wrong_digit(body: str, place: int, change: int) -> None:
    """With its Luhn digit a number passes; with any one digit changed it does not."""
    whole = body + luhn_digit(body)
    assert luhn(whole)
    place %= len(whole)
    other = str((int(whole[place]) + change) % 10)
    assert not luhn(whole[:place] + other + whole[place + 1 :])


@given(st.integers(0, 10**13 - 1), st.integers(0, 12), st.integers(1, 9))
def test_the_nir_key_finds_any_single_wrong_digit(number: int, place: int, change: int) -> None:
    """The key is 01 to 97, makes the whole divisible, and no digit of the number can change alone."""
    body = f"{number:013d}"
    key = nir_key(body)
    assert 1 <= int(key) <= 97
    assert (number + int(key)) % 97 == 0
    other = str((int(body[place]) + change) % 10)
    assert nir_key(body[:place] + other + body[place + 1 :]) != key


def test_idnps_is_also_read_as_a_card_writes_it() -> None:
    """`dcc identifier idnps` takes the UPN form (acceptance 49); another address is no identifier."""
    found = parse("idnps", "8.99700041983@carte-cps.fr")
    assert (found.kind, found.valid, found.formatted) == ("idnps", True, "899700041983")
    assert not parse("idnps", "8.99700041983@ailleurs.fr").valid


INS = "279035121518989"


@pytest.mark.parametrize("shape", ["{} {}", "{}/{}", "{} urn:oid:{}", "{}^^^&{}&ISO^NH", "2 79 03 51 215 189 89 {1}"])
def test_an_ins_with_its_oid(shape: str) -> None:
    """The OID is part of an INS: it tells NIR from NIA, and production from test."""
    found = parse("ins", shape.format(INS, "1.2.250.1.213.1.4.10"))
    assert found.valid
    assert found.formatted == "2 79 03 51 215 189 89"
    assert {
        "oid": "1.2.250.1.213.1.4.10",
        "label": "NIR de test",
        "range": "test",
        "key": "89",
    }.items() <= found.parts.items()


@pytest.mark.parametrize(
    ("value", "valid", "reason"),
    [
        (f"{INS} 1.2.250.1.213.1.4.8", True, None),
        (f"{INS} 1.2.250.1.71.4.2.1", False, "OID qui n'est pas celui d'une INS"),
        (f"{INS[:-1]}8/1.2.250.1.213.1.4.9", False, "clé de contrôle fausse : 89 attendu"),
        ("1234567890123456789012 1.2.250.1.213.1.4.2", True, "INS-C, historique : forme seule vérifiée"),
        ("2A 1.2.250.1.213.1.4.2", False, "forme incorrecte"),
        (f"{INS}1.2.250", False, "forme incorrecte"),
    ],
)
def test_what_an_oid_changes(value: str, valid: bool, reason: str | None) -> None:
    """Another OID is refused by name; the historic INS-C is told apart, its rule being unknown here."""
    found = parse("ins", value)
    assert (found.valid, found.reason) == (valid, reason)
