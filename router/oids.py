"""Object identifiers and ebRIM identifiers that CDA documents and XDM archives use (facts/clinical.md §3.1, §4)."""

from __future__ import annotations

HL7 = "urn:hl7-org:v3"

# Patients: the OID is part of the identifier (facts/cards.md §5)
INS_NIR = "1.2.250.1.213.1.4.8"
INS_NIA = "1.2.250.1.213.1.4.9"
INS_TEST = "1.2.250.1.213.1.4.10"
INS_DEMONSTRATION = "1.2.250.1.213.1.4.11"
INS_DOMAINS = {
    "production": frozenset({INS_NIR, INS_NIA}),
    "test": frozenset({INS_TEST, INS_DEMONSTRATION}),
}
INS_ALL = INS_DOMAINS["production"] | INS_DOMAINS["test"]

IDNPS = "1.2.250.1.71.4.2.1"  # persons
IDNST = "1.2.250.1.71.4.2.2"  # structures
PROFESSIONS = "1.2.250.1.213.1.1.4.5"
CONFIDENTIALITY = "2.16.840.1.113883.5.25"
MASKS = "1.2.250.1.213.1.1.4.13"
CLASSES = "1.2.250.1.213.1.1.4.1"
SEX = "2.16.840.1.113883.5.1"

MASQUE_PS = "MASQUE_PS"
INVISIBLE_PATIENT = "INVISIBLE_PATIENT"
INVISIBLE_REPRESENTANTS_LEGAUX = "INVISIBLE_REPRESENTANTS_LEGAUX"
MASK_CODES = frozenset({MASQUE_PS, INVISIBLE_PATIENT, INVISIBLE_REPRESENTANTS_LEGAUX})

# CDA templates
CDA_FR = "2.16.840.1.113883.2.8.2.1"
CI_SIS_HEADER = "1.2.250.1.213.1.1.1.1"

# IHE ITI TF-3 §4.2.5: ebRIM identifiers of XDS metadata
ENTRY = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
SUBMISSION_SET = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
ENTRY_PATIENT = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
ENTRY_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
ENTRY_CLASS = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
ENTRY_TYPE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
ENTRY_FORMAT = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
ENTRY_CONFIDENTIALITY = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
ENTRY_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
ENTRY_FACILITY = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
ENTRY_PRACTICE = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
SET_CONTENT = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
SET_PATIENT = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SET_UNIQUE_ID = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
SET_SOURCE = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
REPLACES = "urn:ihe:iti:2007:AssociationType:RPLC"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
