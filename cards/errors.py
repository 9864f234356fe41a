"""Why a certificate or a list cannot be read; no text names a person."""

from __future__ import annotations


class Unparseable(Exception):
    """The bytes are not one X.509 certificate."""


class CrlUnreadable(Exception):
    """The bytes are not a CRL."""
