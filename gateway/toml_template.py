"""What `dcc init` writes into `dcc.toml`."""

DEMO_TOML = """# Instance de démonstration : personnes, patients et cartes sont fictifs. N'y mettez rien de réel.

[gateway]
environment = "test"
name = "Passerelle DCC (démonstration)"
address = "passerelle@dcc.example"
demo = true

[smtp]
port = 0                       # un port libre ; il est écrit dans run/ready.json
certificate = "keys/smtp.pem"  # STARTTLS est proposé
private_key = "keys/smtp.key"
free_disk_bytes = 50000000

[keys]
signing = "keys/signature.p12"
decryption = ["keys/dechiffrement.p12"]
password = "demonstration"

[trust]
certificates = ["demo/pki"]
crls = ["demo/crls"]

[relay]
kind = "sink"                  # un dossier Maildir par boîte, sous sink/
sink = "sink"

[metrics]
port = 0
"""

PRODUCTION_TOML = """# Passerelle DCC. Les chemins sont relatifs à ce dossier. Chaque réglage peut venir de l'environnement :
# DCC_SMTP__PORT=2525 remplace smtp.port. `dcc check-config -c dcc.toml` dit tout ce qui manque.

[gateway]
environment = "production"     # "test" n'accepte que les cartes de test, "production" que les vraies
name = "Passerelle DCC"
address = "passerelle@VOTRE-DOMAINE.example"
# matrix = "types.csv"           # qui dépose et qui reçoit quels types de document (docs/documents.md)

[smtp]
host = "0.0.0.0"
port = 25
certificate = "keys/smtp.pem"  # certificat du serveur et sa chaîne, PEM
private_key = "keys/smtp.key"
require_tls = true

[operator]                       # qui est prévenu de ce qu'on écrit à postmaster et abuse
# address = "exploitant@AILLEURS.example"     # hors de cette passerelle
# certificate = "keys/exploitant.pem"         # pour chiffrer ; sans, le mail dit seulement que quelque chose attend

[keys]
signing = "keys/signature.p12"             # certificat d'organisation SIGN, qui nomme les adresses de la passerelle
decryption = ["keys/dechiffrement.p12"]    # certificat d'organisation CONF ; gardez les anciens à la suite
password_file = "keys/password"            # mode 0600

[trust]
certificates = ["trust"]       # racines et autorités IGC-Santé, PEM ou DER : fichiers ou dossiers
crls = ["crls"]                # listes d'opposition : fichiers ou dossiers ; les nouvelles vont dans le premier dossier
# Les listes à relever chaque jour, complètes et différentielles (http, https, ldap, ldaps). Sans, `dcc crl update FICHIER`.
# crl_urls = [
#   "http://igc-sante.esante.gouv.fr/CRL/ACR-FO.crl", "http://igc-sante.esante.gouv.fr/CRL/ACI-FO-PP.crl",
#   "http://igc-sante.esante.gouv.fr/CRL/ACR-ST.crl", "http://igc-sante.esante.gouv.fr/CRL/ACI-ST-PP.crl",
#   "http://igc-sante.esante.gouv.fr/CRL/ACR-EL.crl", "http://igc-sante.esante.gouv.fr/CRL/ACI-EL-ORG.crl",
# ]
# hosts = ["ocsp.esante.gouv.fr"]  # autres hôtes permis : renvois, répondeurs OCSP
# ocsp = "never"                 # ou "unknown" (quand les listes ne disent rien), "always" (à chaque message)

[relay]
kind = "smtp"
host = "127.0.0.1"             # le serveur de messagerie qui relaie
port = 25
tls = "none"                   # none, starttls ou implicit

[metrics]
host = "127.0.0.1"
port = 9464
"""
