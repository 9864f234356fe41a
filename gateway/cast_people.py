"""Who takes part in a demo instance: fictitious people, patients and folders, with identifiers of test ranges only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dcc.cards.identifiers import luhn_digit, nir_key
from dcc.mailbox.records import ConsentState, MandateOrigin, Network

GATEWAY_ADDRESS = "passerelle@dcc.example"
NETWORKS = (
    Network(
        "rca", "Réseau de cancérologie (démonstration)", "rca.dcc.example", "depot@rca.dcc.example",
        "05 00 00 00 00", "support@rca.dcc.example", "inscription@rca.dcc.example",
    ),
    Network(
        "perinat", "Réseau périnatal (démonstration)", "perinat.dcc.example", "depot@perinat.dcc.example",
        "05 00 00 00 01", "support@perinat.dcc.example", "inscription@perinat.dcc.example",
    ),
)  # fmt: skip
FORM = "2009-1"  # version of the consent form of both networks
FORM_TITLE = "Information du patient et recueil du consentement"
FORM_TEXT = (
    "Votre équipe de soins vous propose d'ouvrir un dossier partagé. Les documents utiles à vos soins y sont réunis ;\n"
    "seuls les professionnels que vous autorisez peuvent les lire et en ajouter. Chaque accès est tracé.\n"
    "Vous pouvez refuser, vous opposer à un professionnel ou à un type de document, et retirer votre accord à tout\n"
    "moment, sans conséquence sur vos soins. Pour toute question, appelez l'assistance du réseau."
)
HOSPITAL = ("Gironde (33)", "CENTRE HOSPITALIER DE DEMONSTRATION", "10B0057881")
LABORATORY = ("Gironde (33)", "LABORATOIRE DE DEMONSTRATION", "10B0152872")
NETWORK_OFFICE = ("Gironde (33)", "RESEAU DE DEMONSTRATION", "300000000077081")


def rpps(number: int) -> str:
    """A test RPPS (range 997) as an IDNPS."""
    body = f"9970{number:06d}"
    return f"8{body}{luhn_digit(body)}"


@dataclass(frozen=True, slots=True)
class Person:
    """One member of the cast. `account` None: nobody enrolled this person."""

    key: str
    role: str
    family_name: str | None
    given_name: str | None
    idnps: str
    card: str | None  # CPS, CPE, CPA; None: an organisation certificate
    profession: int | None
    structure: tuple[str, str, str] | None
    mailbox: str
    specialties: tuple[str, ...] = ()
    networks: tuple[str, ...] = ("rca",)
    encryption: bool = True
    card_state: str = "good"  # good | expired | opposed

    @property
    def name(self) -> str:
        """How the person is called in the story."""
        if self.family_name is None and self.structure is not None:
            return self.structure[1]
        return f"{self.given_name} {self.family_name}"


PEOPLE = (
    Person("coordinator", "coordinator", "LAVIGNE", "Claire", rpps(1), "CPS", 10, HOSPITAL,
           "claire.lavigne@chd.example", ("SM36",)),
    Person("secretary", "secretary", "DUBREUIL", "Martine", "30B0057881/CPET0002", "CPE", None, HOSPITAL,
           "secretariat.3c@chd.example"),
    Person("oncologist", "oncologist", "ROUSSEAU", "Hélène", rpps(2), "CPS", 10, HOSPITAL,
           "helene.rousseau@chd.example", ("SM36",)),
    Person("gp", "gp", "FAURE", "Antoine", rpps(3), "CPS", 10, None, "antoine.faure@cabinet.example", ("SM26",),
           networks=("rca", "perinat")),
    Person("pathologist", "pathologist", "MERCIER", "Jean", rpps(4), "CPS", 10, None,
           "jean.mercier@anapath.example", ("SM01",)),
    Person("nurse", "nurse", "BONNET", "Sophie", rpps(5), "CPS", 60, None, "sophie.bonnet@soins.example",
           networks=("rca", "perinat")),
    Person("automaton", "automaton", None, None, LABORATORY[2], None, None, LABORATORY,
           "resultats@laboratoire.example"),
    Person("administrator", "administrator", "GARNIER", "Luc", "500000000077081/ADM0001", "CPA", None,
           NETWORK_OFFICE, "luc.garnier@rca.dcc.example"),
    Person("expired_card", "expired_card", "PERRIN", "Paul", rpps(6), "CPS", 10, None, "paul.perrin@cabinet.example",
           card_state="expired"),
    Person("opposed_card", "opposed_card", "GIRARD", "Louise", rpps(7), "CPS", 10, None,
           "louise.girard@cabinet.example", card_state="opposed"),
    Person("no_account", "no_account", "MOREL", "Denis", rpps(8), "CPS", 10, None, "denis.morel@cabinet.example",
           networks=()),
    Person("no_mandate", "no_mandate", "FONTAINE", "Alice", rpps(9), "CPS", 10, None,
           "alice.fontaine@cabinet.example"),
    Person("no_encryption", "no_encryption", "CHEVALIER", "Marc", rpps(10), "CPS", 10, None,
           "marc.chevalier@cabinet.example", encryption=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoPatient:
    """One patient of the cast."""

    key: str
    ins: str
    birth_name: str
    given_names: tuple[str, ...]
    sex: str
    birth_date: date
    birth_place: str
    status: str = "QUAL"


def _made_up(body: str) -> str:
    return body + nir_key(body)


TEST_OID = "1.2.250.1.213.1.4.10"
PATIENTS = (
    DemoPatient("main", "279035121518989", "PAT-TROIS", ("DOMINIQUE", "MARIE-LOUISE"), "F", date(1979, 3, 28), "51215"),
    DemoPatient("no_consent", "299012A99900183", "PAT-QUATRE", ("ELISE",), "F", date(1999, 1, 14), "2A999"),
    DemoPatient("withdrawn", "199012B99900163", "PAT-CINQ", ("HUGO", "LEON"), "M", date(1999, 1, 15), "2B999"),
    DemoPatient("second", _made_up("2850699999011"), "PAT-SIX", ("NADIA",), "F", date(1985, 6, 2), "99999"),
    DemoPatient("cards", _made_up("1620799999012"), "PAT-SEPT", ("ROBERT",), "M", date(1962, 7, 9), "99999"),
    DemoPatient("not_qualified", _made_up("1711199999013"), "PAT-HUIT", ("YVES",), "M", date(1971, 11, 30), "99999", "VALI"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoMandate:
    """Who is mandated, from where, and until when (days from now; None: no end)."""

    person: str
    origin: MandateOrigin
    days: int | None = None


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """One folder of the cast; its patient has the same key."""

    key: str
    network: str
    consent: ConsentState
    mandates: tuple[DemoMandate, ...]


GRANTED, CREATOR, VITALE = MandateOrigin.GRANTED, MandateOrigin.CREATOR, MandateOrigin.VITALE
FOLDERS = (
    DemoFolder("main", "rca", ConsentState.GIVEN, (
        DemoMandate("oncologist", CREATOR), DemoMandate("coordinator", GRANTED), DemoMandate("secretary", GRANTED),
        DemoMandate("gp", VITALE, 700), DemoMandate("pathologist", GRANTED), DemoMandate("no_encryption", GRANTED),
        DemoMandate("automaton", GRANTED),
    )),
    DemoFolder("no_consent", "rca", ConsentState.NONE, (DemoMandate("oncologist", CREATOR), DemoMandate("gp", GRANTED))),
    DemoFolder("withdrawn", "rca", ConsentState.WITHDRAWN, (
        DemoMandate("oncologist", CREATOR), DemoMandate("gp", GRANTED), DemoMandate("pathologist", GRANTED),
    )),
    DemoFolder("second", "perinat", ConsentState.GIVEN, (DemoMandate("gp", CREATOR), DemoMandate("nurse", GRANTED))),
    DemoFolder("cards", "rca", ConsentState.GIVEN, (
        DemoMandate("gp", CREATOR), DemoMandate("expired_card", GRANTED), DemoMandate("opposed_card", GRANTED),
    )),
    DemoFolder("not_qualified", "rca", ConsentState.GIVEN, (DemoMandate("oncologist", CREATOR),)),
)  # fmt: skip
