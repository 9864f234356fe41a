"""Logs: one JSON object a line, with message ids and codes, never an address, a name or content (I3)."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

# Libraries that would write commands, addresses, rows or octets (facts: mail §1 K, §2)
QUIET = (
    "mail.log", "mail.debug", "aiosmtplib", "aioimaplib", "aiosmtpd", "asyncio", "pyhanko_certvalidator", "sqlalchemy",
)  # fmt: skip


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send our own events to a stream (standard error) as JSON lines, and quiet the libraries."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _failure,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _failure(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """An exception is told by kind and place; its text might hold what was being worked on."""
    found = event.pop("exc_info", None)
    if found:
        error = sys.exc_info()[1] if found is True else found[1] if isinstance(found, tuple) else found
        if isinstance(error, BaseException):
            event["error"] = type(error).__name__
            event["at"] = _places(error)
    return event


def _places(error: BaseException) -> list[str]:
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-8:]
