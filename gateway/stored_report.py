"""The verification report of a message that was received: its octets opened and judged again, as at reception."""

from __future__ import annotations

import json
from dataclasses import replace

from dcc.gateway.opening import Question, Report, report
from dcc.gateway.services import Services
from dcc.mailbox.records import Message


def report_of(services: Services, message: Message) -> Report:
    """Today's lists and authorities, the message's own time; a partner's mail by the partner's. Raises OSError where the
    original has gone.

    The caller closes `opened`.
    """
    question = Question(
        trust=services.judge.trust, crls=services.judge.crls, at=message.received_at,
        keys=services.keys.decryption, environment=services.settings.gateway.environment, limits=services.limits,
        post_quantum=services.settings.smime.post_quantum,
    )  # fmt: skip
    name = json.loads(message.evidence or "{}").get("card", {}).get("partner")
    partner = next((one for one in services.partners if one.name == name), None)
    if partner is not None:  # RFC 8550 §3: by address, never by card
        question = replace(
            question, profile="address", trust=partner.trust, crls=partner.crls, domains=partner.domains,
            revocation=partner.revocation,
        )  # fmt: skip
    with services.open_original(message) as source:
        return report(source, question)
