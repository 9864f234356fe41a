"""How a mail is sealed for one reader: the safe default, and more only where the reader or the settings say so.

The default is what every known client reads (AES-256-CBC, RSA v1.5 or ECDH by the key, SHA-256, RFC 9788). Announced
capabilities raise it; a setting for the correspondent has the last word, upwards and downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dcc.gateway.ownkeys import Held
from dcc.gateway.settings_sections import CorrespondentSettings
from dcc.smime.capabilities import of_certificate, reads_gcm, reads_oaep
from dcc.smime.seal import Profile
from dcc.smime.signer import key_signer


def own_profile(keys: Held, *, post_quantum: bool) -> Profile:
    """How everything that the gateway writes begins: the digest that its signing key asks for, and the certificate that is
    announced for answers (RFC 8551 §2.5.3)."""
    return Profile(
        digest=key_signer(keys.signing).digest, extra_certificates=(keys.decryption[0].certificate,),
        post_quantum=post_quantum,
    )  # fmt: skip


def profile_for(
    mailbox: str,
    certificate: bytes | None,
    announced: Sequence[str],
    *,
    base: Profile,
    correspondents: Sequence[CorrespondentSettings],
) -> Profile:
    """The profile for one reader. `announced`: the SMIMECapabilities of their last verified signature."""
    known = (*announced, *(() if certificate is None else of_certificate(certificate)))
    chosen = base
    if reads_gcm(known):
        chosen = replace(chosen, cipher="aes256-gcm")
    if reads_oaep(known):
        chosen = replace(chosen, key_transport="oaep")
    told = next((one for one in correspondents if one.names(mailbox)), None)
    if told is None:
        return chosen
    return replace(
        chosen,
        cipher=told.cipher or chosen.cipher,
        key_transport=told.key_transport or chosen.key_transport,
        header_protection=told.header_protection or chosen.header_protection,
    )
