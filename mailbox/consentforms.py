"""The versions of a network's information and consent forms (mission S15)."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, insert, select

from dcc.mailbox.records import ConsentForm
from dcc.mailbox.schema_people import consent_forms


def add(conn: Connection, form: ConsentForm) -> None:
    """Publish one version; a version never changes afterwards."""
    conn.execute(insert(consent_forms).values(**asdict(form)))


def current(conn: Connection, network: str, language: str = "fr") -> ConsentForm | None:
    """The newest version of a network in this language."""
    query = (
        select(consent_forms)
        .where(consent_forms.c.network == network, consent_forms.c.language == language)
        .order_by(consent_forms.c.since.desc(), consent_forms.c.version.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else ConsentForm(**row._mapping)


def versions(conn: Connection, network: str) -> list[ConsentForm]:
    """Every version of a network, newest first."""
    query = select(consent_forms).where(consent_forms.c.network == network)
    query = query.order_by(consent_forms.c.since.desc(), consent_forms.c.version.desc(), consent_forms.c.language)
    return [ConsentForm(**row._mapping) for row in conn.execute(query)]


def names(conn: Connection, network: str) -> str:
    """The published versions, newest first, separated by commas; `none` when there is none."""
    return ",".join(dict.fromkeys(one.version for one in versions(conn, network))) or "none"


def known(conn: Connection, network: str, version: str) -> bool:
    """Whether a network has published this version."""
    query = select(consent_forms.c.version).where(
        consent_forms.c.network == network, consent_forms.c.version == version
    )
    return conn.execute(query).first() is not None
