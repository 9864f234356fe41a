"""The tables. Bodies are never in rows: they are files in the spool and in the blob store."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)

from dcc.mailbox.columns import Text, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

networks = Table(
    "networks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("address", Text, nullable=False, unique=True),
    Column("support_phone", Text, nullable=False),
    Column("support_mail", Text, nullable=False),
    Column("registration", Text, unique=True),
    Column("nomad_reads", Boolean, nullable=False, server_default=true()),
    Column("rules", String(64)),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("national_id", Text, nullable=False, index=True),
    Column("family_name", Text),
    Column("given_name", Text),
    Column("profession", String(8)),
    Column("structure", Text, index=True),
    Column("mailbox", Text, nullable=False, index=True),
    Column("role", String(40), nullable=False),
    Column("state", String(20), nullable=False),
    Column("encryption_certificate", LargeBinary),
    Column("card_certificate", LargeBinary),
    Column("language", String(2), nullable=False),
    UniqueConstraint("network", "national_id", "mailbox"),
)

patients = Table(
    "patients",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("ins", String(15), nullable=False),
    Column("oid", String(40), nullable=False),
    Column("birth_name", Text, nullable=False),
    Column("given_names", Text, nullable=False),
    Column("sex", String(1), nullable=False),
    Column("birth_date", Date, nullable=False, index=True),  # candidates of the reconciliation queue
    Column("birth_place", String(10), nullable=False),
    Column("status", String(8), nullable=False),
    UniqueConstraint("ins", "oid"),
)

folders = Table(
    "folders",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("reference", String(20), nullable=False, unique=True),
    Column("address", Text, nullable=False, unique=True),
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("patient", String(40), ForeignKey("patients.id"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("consent", String(12), nullable=False),
    Column("consent_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
)

consents = Table(
    "consents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("folder", String(40), ForeignKey("folders.id"), nullable=False, index=True),
    Column("state", String(12), nullable=False),
    Column("form_version", Text),
    Column("collected_by", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("proof", Text),
)

mandates = Table(
    "mandates",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("folder", String(40), ForeignKey("folders.id"), nullable=False, index=True),
    Column("account", String(40), ForeignKey("accounts.id"), index=True),
    Column("structure", Text, index=True),
    Column("origin", String(12), nullable=False),
    Column("start", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("proof_grade", Text),
)

oppositions = Table(
    "oppositions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("folder", String(40), ForeignKey("folders.id"), nullable=False, index=True),
    Column("account", String(40), ForeignKey("accounts.id")),
    Column("type_code", String(40)),
    Column("at", UtcDateTime, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("received_at", UtcDateTime, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("envelope_key", String(64), nullable=False),
    Column("mail_from", Text, nullable=False),
    Column("recipients", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("state", String(12), nullable=False),
    Column("due", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("lease_owner", String(40)),  # the process that holds the lease
    Column("reason_code", String(40)),
    Column("reason_parameters", Text, nullable=False),
    Column("signer", String(40)),
    Column("signer_certificate", String(64)),
    Column("folder", String(40)),
    Column("documents", Text, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("stages", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Index("ix_messages_due", "state", "due"),
    # One unfinished message an envelope: a client that lost our 250 and sends again gets the first id. Once it
    # has its end, the same mail is a new message, answered "déjà intégré" (contract.md, acceptance 31).
    Index(
        "uq_messages_envelope_key",
        "envelope_key",
        unique=True,
        sqlite_where=text("settled_at IS NULL"),
        postgresql_where=text("settled_at IS NULL"),
    ),
)

replays = Table(
    "replays",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("message", String(40), nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("folder", String(40), ForeignKey("folders.id"), nullable=False),
    Column("unique_id", Text, nullable=False),
    Column("set_id", Text),
    Column("version", Integer),
    Column("type_code", String(40), nullable=False),
    Column("type_system", Text, nullable=False),
    Column("class_code", Text),
    Column("format_code", Text),
    Column("title", Text, nullable=False),
    Column("author_id", Text),
    Column("author_name", Text),
    Column("author_structure", Text),
    Column("depositor", String(40), ForeignKey("accounts.id"), nullable=False),
    Column("confidentiality", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("supersedes", String(40)),
    Column("message", String(40), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    UniqueConstraint("folder", "unique_id"),
)

parts = Table(
    "parts",
    metadata,
    Column("document", String(40), ForeignKey("documents.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("role", String(12), nullable=False),
    Column("blob_id", String(64), nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("wrapped_key", LargeBinary, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("dedupe_key", Text, nullable=False, unique=True),
    Column("kind", String(30), nullable=False),
    Column("mailbox", Text, nullable=False),
    Column("account", String(40)),
    Column("folder", String(40), index=True),
    Column("message", String(40), index=True),
    Column("documents", Text, nullable=False),
    Column("reason", String(40)),
    Column("state", String(12), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("lease_owner", String(40)),  # the process that holds the lease
    Column("attempts", Integer, nullable=False),
    Column("message_id", Text, index=True),
    Column("sealed_file", Text),
    Column("started_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("parameters", Text, nullable=False),
    Index("ix_outbox_due", "state", "due"),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("tag", Text, nullable=False),
    Column("actor", Text),
    Column("certificate", String(64)),
    Column("message", String(40), index=True),
    Column("mail_message_id", Text),
    Column("folder", String(40), index=True),
    Column("document", Text),
    Column("decision", Text),
    Column("code", String(40)),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
