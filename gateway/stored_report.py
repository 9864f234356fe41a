"""The verification report of a message that was received: its octets opened and judged again, as at reception."""

from __future__ import annotations

from dcc.gateway.opening import Question, Report, report
from dcc.gateway.services import Services
from dcc.mailbox.records import Message


def report_of(services: Services, message: Message) -> Report:
    """Today's lists and authorities, the message's own time. Raises OSError where the original has gone.

    The caller closes `opened`.
    """
    question = Question(
        trust=services.judge.trust, crls=services.judge.crls, at=message.received_at,
        keys=services.keys.decryption, environment=services.settings.gateway.environment, limits=services.limits,
    )  # fmt: skip
    with services.open_original(message) as source:
        return report(source, question)
