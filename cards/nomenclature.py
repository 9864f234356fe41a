"""French labels of the few nomenclatures the gateway speaks of: professions, card types.

Codes and labels are those of the tables G15, G02 that ANS publishes (TRE_G15, TRE_G02, …).
"""

from __future__ import annotations

CARD_TYPES = {0: "CPS", 1: "CPF", 2: "CPE", 3: "CPA"}
TEST_BIT = 0x80
PROFESSIONS = {
    "10": "Médecin", "21": "Pharmacien", "26": "Audioprothésiste", "28": "Opticien-lunetier",
    "31": "Assistant dentaire", "32": "Physicien médical", "35": "Aide-soignant", "36": "Ambulancier",
    "37": "Auxiliaire de puériculture", "38": "Préparateur en pharmacie hospitalière",
    "39": "Préparateur en pharmacie", "40": "Chirurgien-dentiste", "50": "Sage-femme", "60": "Infirmier",
    "69": "Infirmier psychiatrique", "70": "Masseur-kinésithérapeute", "80": "Pédicure-podologue",
    "81": "Orthoprothésiste", "82": "Podo-orthésiste", "83": "Orthopédiste-orthésiste", "84": "Oculariste",
    "85": "Épithésiste", "86": "Technicien de laboratoire médical", "91": "Orthophoniste", "92": "Orthoptiste",
    "93": "Psychologue", "94": "Ergothérapeute", "95": "Diététicien", "96": "Psychomotricien",
    "98": "Manipulateur ERM",
}  # fmt: skip
EXTENSION_PRODUCT = "1.2.250.1.71.1.2.5"
EXTENSION_CARD_TYPE = "1.2.250.1.71.1.2.2"
EXTENSION_CARD_NUMBER = "1.2.250.1.71.1.2.3"
EXTENSION_PROFESSION = "1.2.250.1.71.1.2.7"
EXTENSION_SPECIALTIES = "1.2.250.1.71.4.2.5"
