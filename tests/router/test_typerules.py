"""Who may feed or read which type: a table read term by term, and each fault told by its line."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import pytest

from dcc.cards.nomenclature import PROFESSIONS
from dcc.router.doctypes import document_types, type_by_code
from dcc.router.typerules import (
    LARGEST,
    TOLD,
    Allowed,
    Matrix,
    RulesWrong,
    check_rules,
    default_matrix,
    default_text,
    doubts_of,
    group_of,
    matrix_of,
    rows_of,
)

HEAD = "group,label,feed,read\n"
OTHER = "other,autres,,\n"


@pytest.mark.parametrize(
    ("group", "code", "feed", "read"),
    [
        ("10", "34794-8", True, True),
        ("10", "ATTEST-RESID", False, False),
        ("60", "57833-6", False, True),
        ("60", "68599-0", False, False),
        ("staff", "34794-8", True, True),
        ("staff", "57833-6", False, False),
        ("organisation", "11502-2", True, True),
        ("organisation", "DOCPAT01", False, True),
        ("94", "57833-6", False, False),
    ],
)
def test_default_matrix_is_careful(group: str, code: str, feed: bool, read: bool) -> None:
    """Doctors all but one type; every other group an explicit list."""
    found = type_by_code(code)
    assert found is not None
    matrix = default_matrix()
    assert matrix.may_feed(group, code, found.class_code) is feed
    assert matrix.may_read(group, code, found.class_code) is read


def second_reading(text: str, group: str, column: str, code: str, class_code: str | None) -> bool:
    """The same table read by other means: the last word that speaks of a document, taking away beats giving."""
    rows = {row["group"]: row for row in csv.DictReader(text.splitlines())}
    words = rows.get(group, rows["other"])[column].split()
    names = {code, "*", *([] if class_code is None else [f"class:{class_code}"])}
    return bool(names & set(words)) and not {f"-{one}" for one in names} & set(words)


OWN = HEAD + "10,médecins,* -class:42,class:10 -34794-8\n60,infirmiers,34120-6,*\nother,autres,,11488-4\n"


@pytest.mark.parametrize("text", [default_text(), OWN], ids=["default", "own"])
def test_every_group_and_type(text: str) -> None:
    """Each profession, staff and organisation, before each type of JDV_J07: what the table says, read a second time."""
    matrix, yes = matrix_of(text), 0
    groups = (*PROFESSIONS, "staff", "organisation", "no such profession")
    for group, kind in product(groups, document_types().values()):
        feeds, reads = (second_reading(text, group, one, kind.code, kind.class_code) for one in ("feed", "read"))
        assert matrix.may_feed(group, kind.code, kind.class_code) is feeds, (group, kind.code)
        assert matrix.may_read(group, kind.code, kind.class_code) is reads, (group, kind.code)
        yes += feeds + reads
    assert 0 < yes < 2 * len(groups) * len(document_types())


def test_what_is_taken_away_wins() -> None:
    """A minus beats everything else."""
    assert not Allowed.parse("* 1 class:10 -1").covers("1", "10")
    assert not Allowed.parse("* -class:10").covers("1", "10")


def test_groups() -> None:
    """An account's line: organisation, its profession, or staff."""
    assert group_of("organisation", None) == "organisation"
    assert group_of("person", "60") == "60"
    assert group_of("person", None) == "staff"


def test_the_shipped_table_is_without_fault() -> None:
    """What is shipped passes the checks that a network's own table passes, and comes out as it went in."""
    octets = (Path(__file__).parents[2] / "router/data/professions.csv").read_bytes()
    assert check_rules(octets).encode() == octets
    assert doubts_of(default_text()) == []
    assert [row["group"] for row in rows_of(default_text())][-3:] == ["other", "staff", "organisation"]


FAULTS = [
    ("group,label,feed\nother,x,*\n", "ligne 1 : il manque la colonne read"),
    (
        "group;label;feed;read\nother;x;*;*\n",
        "ligne 1 : séparez les colonnes par des virgules, non par des points-virgules",
    ),
    ("group,label,feed,read,note\nother,x,*,*,\n", "ligne 1 : colonne note inconnue"),
    ("group,label,feed,read,read\nother,x,*,*,\n", "ligne 1 : la colonne read est là deux fois"),
    (HEAD + OTHER + "10,x,*\n", "ligne 3 : 3 cellules, il en faut 4"),
    (HEAD + OTHER + "10,x,*,*,*\n", "ligne 3 : 5 cellules, il en faut 4"),
    (HEAD + "10,x,*,*\n", "il manque la ligne other, qui vaut pour toute profession sans ligne"),
    ("", "il manque la ligne other, qui vaut pour toute profession sans ligne"),
    (HEAD + OTHER + "\n10,x,*,*\n10,y,,\n", "ligne 5 : le groupe 10 est déjà à la ligne 4"),
    (
        HEAD + OTHER + "docteur,x,*,*\n",
        "ligne 3 : docteur n'est ni une profession (G15), ni staff, organisation ou other",
    ),
    (HEAD + OTHER + ",x,*,*\n", "ligne 3 : (vide) n'est ni une profession (G15), ni staff, organisation ou other"),
    (HEAD + OTHER + '10,"x\ny",*,*\n60,z,34794-9,*\n', "ligne 5, feed : 34794-9 n'est pas un type du CI-SIS"),
    (HEAD + OTHER + "10,x,*,class:00\n", "ligne 3, read : class:00 n'est pas une classe du CI-SIS"),
    (HEAD + OTHER + "10,x,-*,*\n", "ligne 3, feed : -* n'est pas un type du CI-SIS"),
    (HEAD + OTHER + "10,x,\x1b[2J,*\n", "ligne 3, feed : (illisible) n'est pas un type du CI-SIS"),
    (HEAD + OTHER + '10,x,"*,*\n', "ligne 3 : guillemets mal placés"),
    (HEAD + OTHER + "10,\0,*,*\n", "ligne 3 : octet nul"),
]


@pytest.mark.parametrize(("text", "said"), FAULTS)
def test_faults_are_told_by_line(text: str, said: str) -> None:
    """Whatever is wrong with a network's table is one sentence that names its line, and the table is not taken."""
    with pytest.raises(RulesWrong) as found:
        check_rules(text.encode())
    assert found.value.problems == (said,)


def test_every_fault_is_told_and_the_list_ends() -> None:
    """All faults come at once, up to a number; how many are left is said."""
    with pytest.raises(RulesWrong) as found:
        check_rules((HEAD + OTHER + "10,x,nope,rien\n").encode())
    assert [one.partition(" :")[0] for one in found.value.problems] == ["ligne 3, feed", "ligne 3, read"]
    with pytest.raises(RulesWrong) as found:
        check_rules((HEAD + OTHER + f"10,x,{' '.join(f'n{n}' for n in range(100))},*\n").encode())
    assert len(found.value.problems) == TOLD + 1
    assert found.value.problems[-1] == "et 70 autres fautes"


def test_not_a_text_and_too_long() -> None:
    """Octets that are no UTF-8 are told by line; a table has a largest size, and a mark at its beginning is no column."""
    with pytest.raises(RulesWrong) as found:
        check_rules(HEAD.encode() + "10,médecin,*,*".encode("latin-1"))
    assert found.value.problems == ("ligne 2 : ce n'est pas du texte en UTF-8",)
    table = (HEAD + OTHER).encode()
    with pytest.raises(RulesWrong, match="1 faults"):
        check_rules(table + b"\n" * (LARGEST + 1 - len(table)))
    assert isinstance(matrix_of(check_rules(table + b"\n" * (LARGEST - len(table)))), Matrix)
    assert isinstance(matrix_of(check_rules(b"\xef\xbb\xbf" + table)), Matrix)
    assert isinstance(matrix_of(check_rules(table.replace(b"\n", b"\r\n"))), Matrix)


def test_slips_of_the_gateways_table_do_not_stop_it() -> None:
    """A code that nobody has is a doubt: the table of a gateway that runs today is still taken."""
    text = HEAD + OTHER + "10,x,34794-8 34794-9,*\n"
    assert matrix_of(text).may_feed("10", "34794-8", "10")
    assert doubts_of(text) == ["ligne 3, feed : 34794-9 n'est pas un type du CI-SIS"]
