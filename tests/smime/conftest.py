"""What the tests of the reader share: one way from hand-made CMS to an opened mail."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.verdict import Opened
from throwaway import ENCRYPT, FIELDS, pair, part

CMS = "application/pkcs7-mime; name=smime.p7m"
Open = Callable[..., Opened]


@pytest.fixture
def reader() -> KeyPair:
    """The key that hand-made messages are encrypted to."""
    return pair("rsa", ENCRYPT, "reader")


@pytest.fixture
def open_mail(reader: KeyPair) -> Open:
    """Open a mail made of the usual fields and this entity."""

    def call(entity: bytes, **options: Any) -> Opened:
        options.setdefault("keys", [reader])
        return open_message(io.BytesIO(FIELDS + entity), **options)

    return call


@pytest.fixture
def open_cms_part(open_mail: Open) -> Open:
    """Open a mail whose root is this ContentInfo."""

    def call(cms: bytes, kind: str = CMS, **options: Any) -> Opened:
        return open_mail(part(kind, cms), **options)

    return call
