"""What is kept, as values: the rows of the database as frozen dataclasses, by one name for all who use them."""

from __future__ import annotations

from dcc.mailbox.interval import in_force
from dcc.mailbox.records_folders import (
    BlobRef,
    ConsentState,
    Document,
    DocumentStatus,
    Folder,
    Mandate,
    MandateOrigin,
    Opposition,
    Part,
    Patient,
)
from dcc.mailbox.records_mail import (
    ENDS,
    AuditRecord,
    Delivery,
    DeliveryState,
    Message,
    MessageState,
    StageTiming,
)
from dcc.mailbox.records_people import (
    Account,
    AccountState,
    ConsentForm,
    Delegation,
    DocumentRules,
    Network,
    Token,
)

__all__ = [
    "ENDS",
    "Account",
    "AccountState",
    "AuditRecord",
    "BlobRef",
    "ConsentForm",
    "ConsentState",
    "Delegation",
    "Delivery",
    "DeliveryState",
    "Document",
    "DocumentRules",
    "DocumentStatus",
    "Folder",
    "Mandate",
    "MandateOrigin",
    "Message",
    "MessageState",
    "Network",
    "Opposition",
    "Part",
    "Patient",
    "StageTiming",
    "Token",
    "in_force",
]
