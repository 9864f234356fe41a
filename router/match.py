"""Receipts and bounces matched to our deliveries by Message-ID and by the recipient they come from (contract.md)."""

from __future__ import annotations

from sqlalchemy import Connection

from dcc.mailbox import outbox
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.router.decision import Done
from dcc.router.reasons import reason
from dcc.router.request import Report

RECEIPTS = {
    "displayed": DeliveryState.READ,
    "processed": DeliveryState.DELIVERED,
    "delivered": DeliveryState.DELIVERED,
    "error": DeliveryState.DELIVERED,  # it arrived; the reader's software could not integrate it
    "failed": DeliveryState.FAILED,
}
RANK = {DeliveryState.DELIVERED: 1, DeliveryState.READ: 2}


def match_report(conn: Connection, report: Report, *, from_address: str | None, authenticated: bool) -> Done:
    """Done, with the delivery and the state to record when the report counts; a report never moves a state back."""
    delivery = _delivery(conn, report, (from_address or "").lower())
    if delivery is None:
        return Done(reason("D2R-REP02", detail=report.kind), authenticated=authenticated)
    detail = f"{report.kind} {report.outcome}" + (f" {report.error}" if report.error else "")
    return Done(
        reason("D2R-REP01", detail=detail),
        delivery=delivery.id,
        receipt=_receipt(report, delivery),
        authenticated=authenticated,
    )


def _delivery(conn: Connection, report: Report, from_address: str) -> Delivery | None:
    """The delivery that the report names and whose recipient it comes from; a DSN comes from a server."""
    source = report.final_recipient if report.kind == "dsn" else from_address
    for one in report.original_message_ids:
        found = outbox.by_message_id(conn, one) or outbox.by_message_id(conn, one.strip("<>"))
        if found is not None and source is not None and found.mailbox == source:
            return found
    return None


def _receipt(report: Report, delivery: Delivery) -> str | None:
    state = RECEIPTS.get(report.outcome)
    if state is None or report.kind == "auto" or not _may_have_arrived(delivery):
        return None
    if state in RANK and RANK[state] <= RANK.get(delivery.state, 0):
        return None
    return state.value


def _may_have_arrived(delivery: Delivery) -> bool:
    """Whether the mail can have left: a report may be quicker than our own record of the next host's answer."""
    if delivery.state is DeliveryState.QUEUED:
        return delivery.started_at is not None
    return delivery.state is not DeliveryState.WITHHELD
