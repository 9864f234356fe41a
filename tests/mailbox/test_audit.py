"""The audit trail on both engines: any change, removal, insertion or reordering is seen (I7)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, text, update

from dcc.mailbox import messages, outbox
from dcc.mailbox.audit import AuditTrail, export, verify
from dcc.mailbox.auditchain import REKEYED, digest
from dcc.mailbox.database import Database
from dcc.mailbox.records import AuditRecord, Delivery, Message, MessageState
from dcc.mailbox.schema import audit, audit_head

RECORDS = 6
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def _certificate(key: Key) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, datetime(2026, 1, 1), datetime(2030, 1, 1))  # noqa: DTZ001
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


class Gateway:
    """A certificate key that vouches, and an audit key."""

    def __init__(self, key: Key | None = None, audit_key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self.certificate = _certificate(self._key)
        self.audit_key = audit_key or ec.generate_private_key(ec.SECP256R1())
        self.trail = AuditTrail(self.audit_key, self._vouch, self.certificate)

    def _vouch(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def _record(now: datetime, number: int = 0, **changes: Any) -> AuditRecord:
    made = AuditRecord(
        at=now + timedelta(microseconds=number), tag="operator:document:read", actor="doctor", certificate="c" * 64,
        message=None, mail_message_id="<x@example.test>", folder="folder", document="document", decision="allowed",
        code=None, detail=json.dumps({"number": number}),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def gateway(database: Database, now: datetime) -> Gateway:
    """A gateway whose trail holds its opening and six records."""
    made = Gateway()
    with database.begin() as conn:
        made.trail.open(conn, now)
        made.trail.append(conn, *(_record(now, number) for number in range(RECORDS)))
    return made


def _problem(database: Database, gateway: Gateway) -> str | None:
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert found.ok == (found.problem is None)
    return found.problem


def test_untouched_trail_is_good(database: Database, gateway: Gateway) -> None:
    """A trail that nobody touched verifies with the certificate alone."""
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert (found.ok, found.count, found.first_bad, found.problem) == (True, RECORDS + 1, None, None)


def test_rsa_certificate_vouches(database: Database, now: datetime) -> None:
    """A gateway with an RSA certificate vouches for its audit key."""
    made = Gateway(rsa.generate_private_key(65537, 2048))
    with database.begin() as conn:
        made.trail.open(conn, now)
    assert _problem(database, made) is None


def test_other_certificate_is_refused(database: Database, gateway: Gateway) -> None:
    """The trail of one gateway does not verify with the certificate of another."""
    with database.read() as conn:
        found = verify(conn, Gateway().certificate)
    assert (found.ok, found.first_bad) == (False, 0)


def test_empty_trail_is_not_good(database: Database, gateway: Gateway) -> None:
    """A trail that was emptied is not intact."""
    with database.begin() as conn:
        conn.execute(delete(audit))
        conn.execute(delete(audit_head))
    assert _problem(database, gateway) == "la trace est vide"


@pytest.mark.parametrize("column", [column.name for column in audit.c])
def test_each_changed_column_is_seen(database: Database, gateway: Gateway, column: str) -> None:
    """A change of any column of any one record is found, and its place told."""
    other: Any = {"at": datetime(2020, 1, 1, tzinfo=UTC), "sequence": 99, "signature": b"\x30\x00"}.get(
        column, "altered"
    )
    with database.begin() as conn:
        conn.execute(update(audit).where(audit.c.sequence == 3).values({column: other}))
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert (found.ok, found.first_bad) == (False, 3)


@pytest.mark.parametrize("sequence", range(RECORDS + 1))
def test_each_removed_record_is_seen(database: Database, gateway: Gateway, sequence: int) -> None:
    """The removal of any record, the first and the last included, is found."""
    with database.begin() as conn:
        conn.execute(delete(audit).where(audit.c.sequence == sequence))
    assert _problem(database, gateway) is not None


def test_removed_and_renumbered_is_seen(database: Database, gateway: Gateway) -> None:
    """Closing the gap after a removal, with hashes computed anew, does not hide it: signatures are missing."""
    with database.begin() as conn:
        conn.execute(delete(audit).where(audit.c.sequence == 3))
        for old in range(4, RECORDS + 1):
            row = conn.execute(select(audit).where(audit.c.sequence == old)).one()
            before = conn.execute(select(audit.c.hash).where(audit.c.sequence == old - 2)).scalar_one()
            fields = [getattr(row, name) for name in _fields()]
            conn.execute(
                update(audit).where(audit.c.sequence == old).values(
                    sequence=old - 1, previous=before, hash=digest(old - 1, row.at, fields, before)
                )
            )  # fmt: skip
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert (found.ok, found.first_bad) == (False, 3)


def test_reordered_records_are_seen(database: Database, gateway: Gateway) -> None:
    """Two records that changed places are found."""
    with database.begin() as conn:
        for old, new in ((2, 102), (4, 2), (102, 4)):
            conn.execute(update(audit).where(audit.c.sequence == old).values(sequence=new))
    assert _problem(database, gateway) is not None


def test_inserted_record_is_seen(database: Database, gateway: Gateway, now: datetime) -> None:
    """A record appended by somebody who does not hold the audit key is found, with any hash and any end."""
    forger = Gateway()
    with database.begin() as conn:
        forger.trail.append(conn, _record(now, 99))
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert (found.ok, found.first_bad) == (False, RECORDS + 1)


def test_forged_new_key_is_seen(database: Database, gateway: Gateway, now: datetime) -> None:
    """A key announced by somebody else is not taken for the gateway's."""
    with database.begin() as conn:
        Gateway().trail.open(conn, now)
    assert _problem(database, gateway) == "la clé de la trace n'est pas garantie par ce certificat"


@pytest.mark.parametrize("detail", ["{}", "no json", '{"public_key": "zz", "voucher": ""}', '["public_key"]', "null"])
def test_nonsense_announcement_is_reported(database: Database, gateway: Gateway, now: datetime, detail: str) -> None:
    """An announcement that makes no sense is a finding, not a crash."""
    with database.begin() as conn:
        gateway.trail.append(conn, _record(now, 9, tag=REKEYED, detail=detail))
    assert _problem(database, gateway) is not None


def test_cut_tail_is_seen(database: Database, gateway: Gateway) -> None:
    """Removing the last records is found, because the end is signed."""
    with database.begin() as conn:
        conn.execute(delete(audit).where(audit.c.sequence > 3))
    assert _problem(database, gateway) == "la fin de la trace manque"


def test_older_end_put_back_is_seen(
    database: Database, gateway: Gateway, now: datetime, make_message: Callable[..., Message]
) -> None:
    """A tail cut off together with the older signed end of a backup is found by the messages that have ended."""
    with database.begin() as conn:
        old = conn.execute(select(audit_head)).one()
        messages.insert_received(conn, make_message(1))
        messages.settle(conn, "message1", expected=MessageState.RECEIVED, end=MessageState.FILED, now=now, stages=())
        gateway.trail.append(conn, _record(now, 9, tag="gateway:message:filed", message="message1", decision="filed"))
    assert _problem(database, gateway) is None
    with database.begin() as conn:
        conn.execute(delete(audit).where(audit.c.sequence > old.sequence))
        conn.execute(update(audit_head).values(**old._mapping))
    assert _problem(database, gateway) is not None


def test_changed_end_of_a_message_is_seen(
    database: Database, gateway: Gateway, now: datetime, make_message: Callable[..., Message]
) -> None:
    """A refused message made to look filed is found: no record says so."""
    with database.begin() as conn:
        messages.insert_received(conn, make_message(1))
        messages.settle(conn, "message1", expected=MessageState.RECEIVED, end=MessageState.REFUSED, now=now, stages=())
        gateway.trail.append(
            conn, _record(now, 9, tag="gateway:message:refused", message="message1", decision="refused")
        )
    assert _problem(database, gateway) is None
    with database.begin() as conn:
        conn.execute(text("UPDATE messages SET state = 'filed'"))
    assert _problem(database, gateway) is not None


def test_end_given_by_an_operator_counts(
    database: Database, gateway: Gateway, now: datetime, make_message: Callable[..., Message]
) -> None:
    """A held message that an operator refused has its record, under the operator's tag."""
    with database.begin() as conn:
        messages.insert_received(conn, make_message(1))
        messages.settle(conn, "message1", expected=MessageState.RECEIVED, end=MessageState.REFUSED, now=now, stages=())
        gateway.trail.append(conn, _record(now, 9, tag="operator:message:refused", message="message1", decision="done"))
    assert _problem(database, gateway) is None


def test_sent_mail_without_record_is_seen(
    database: Database, gateway: Gateway, now: datetime, make_delivery: Callable[..., Delivery]
) -> None:
    """A mail that was sent must have its record."""
    with database.begin() as conn:
        outbox.enqueue(conn, make_delivery(1))
        outbox.mark_sent(conn, "delivery1", now=now)
    assert _problem(database, gateway) is not None
    with database.begin() as conn:
        sent = json.dumps({"delivery": "delivery1"})
        gateway.trail.append(conn, _record(now, 9, tag="gateway:delivery:sent", detail=sent))
    assert _problem(database, gateway) is None


def test_known_point_proves_that_nothing_went_back(database: Database, gateway: Gateway, now: datetime) -> None:
    """The count and hash of an earlier verification show that the trail was put back to an older state."""
    with database.begin() as conn:
        older = conn.execute(select(audit_head)).one()
        gateway.trail.append(conn, _record(now, 10))
    with database.read() as conn:
        noted = verify(conn, gateway.certificate)
        assert noted.last is not None
        assert verify(conn, gateway.certificate, known=(noted.count, noted.last)).ok
        assert not verify(conn, gateway.certificate, known=(noted.count, "f" * 64)).ok
    with database.begin() as conn:
        conn.execute(delete(audit).where(audit.c.sequence > older.sequence))
        conn.execute(update(audit_head).values(**older._mapping))
    with database.read() as conn:
        assert verify(conn, gateway.certificate).ok
        assert not verify(conn, gateway.certificate, known=(noted.count, noted.last)).ok


def test_open_again_adds_nothing(database: Database, gateway: Gateway, now: datetime) -> None:
    """A restart with the same keys writes no record."""
    with database.begin() as conn:
        gateway.trail.open(conn, now)
    with database.read() as conn:
        assert verify(conn, gateway.certificate).count == RECORDS + 1


def test_new_audit_key_goes_on(database: Database, gateway: Gateway, now: datetime) -> None:
    """A new audit key is announced; from then on the old one signs nothing any more."""
    renewed = Gateway(gateway._key)
    with database.begin() as conn:
        renewed.trail.open(conn, now)
        renewed.trail.append(conn, _record(now, 20))
    assert _problem(database, gateway) is None
    with database.begin() as conn:
        gateway.trail.append(conn, _record(now, 21))
    assert _problem(database, gateway) == "la signature de l'enregistrement est fausse"


def test_renewed_certificate_vouches_anew(database: Database, gateway: Gateway, now: datetime) -> None:
    """After the certificate's renewal the whole trail verifies with the new one alone, and still with the old."""
    renewed = Gateway(audit_key=gateway.audit_key)
    with database.begin() as conn:
        renewed.trail.open(conn, now)
        renewed.trail.append(conn, _record(now, 30))
    assert _problem(database, renewed) is None
    assert _problem(database, gateway) is None


def test_both_renewed_need_both_certificates(database: Database, gateway: Gateway, now: datetime) -> None:
    """When audit key and certificate both changed, the trail verifies with the two certificates together."""
    renewed = Gateway()
    with database.begin() as conn:
        renewed.trail.open(conn, now)
    with database.read() as conn:
        assert not verify(conn, renewed.certificate).ok
        assert verify(conn, [gateway.certificate, renewed.certificate]).ok


def test_concurrent_appends_make_one_line(database: Database, gateway: Gateway, now: datetime) -> None:
    """Records appended by four threads at once form one unbroken chain."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                with database.begin() as conn:
                    gateway.trail.append(conn, _record(now, number * 100 + turn))
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as conn:
        found = verify(conn, gateway.certificate)
    assert (found.ok, found.count) == (True, RECORDS + 1 + 80)


def test_record_falls_with_its_transaction(database: Database, gateway: Gateway, now: datetime) -> None:
    """A decision that is rolled back leaves no record, and the chain goes on."""
    with suppress(ZeroDivisionError), database.begin() as conn:
        gateway.trail.append(conn, _record(now, 40))
        raise ZeroDivisionError
    with database.begin() as conn:
        gateway.trail.append(conn, _record(now, 41))
    assert _problem(database, gateway) is None


def test_first_record_opens_the_trail(database: Database, now: datetime) -> None:
    """What an operator does before the gateway has ever run is recorded, behind the record that names the key."""
    first = Gateway()
    with database.begin() as conn:
        first.trail.append(conn, _record(now))
    with database.begin() as conn:
        first.trail.open(conn, now)
    assert _problem(database, first) is None
    with database.read() as conn:
        assert verify(conn, first.certificate).count == 2


def test_new_audit_key_is_announced_by_what_uses_it_first(database: Database, gateway: Gateway, now: datetime) -> None:
    """A command run with a new audit key before the gateway announces it: the trail stays whole, whatever is rolled back."""
    renewed = Gateway(gateway._key)
    with suppress(ZeroDivisionError), database.begin() as conn:
        renewed.trail.append(conn, _record(now, 50))
        renewed.trail.append(conn, _record(now, 51))
        raise ZeroDivisionError
    for number in (52, 53):
        with database.begin() as conn:
            renewed.trail.append(conn, _record(now, number))
    assert _problem(database, gateway) is None
    with database.read() as conn:
        assert verify(conn, gateway.certificate).count == RECORDS + 1 + 3


def test_hostile_text_verifies(database: Database, gateway: Gateway, now: datetime) -> None:
    """A Message-ID with NUL and lone surrogates is recorded, and the chain still verifies."""
    with database.begin() as conn:
        gateway.trail.append(conn, _record(now, 50, mail_message_id="<\x00\udcff\u2028é@x>"))
    assert _problem(database, gateway) is None


def test_export_is_one_object_a_record(database: Database, gateway: Gateway) -> None:
    """The export holds every record in order, as plain JSON values."""
    with database.read() as conn:
        found = list(export(conn))
    assert [one["sequence"] for one in found] == list(range(RECORDS + 1))
    assert found[1]["at"] == "2026-11-23T09:00:00Z"
    assert json.loads(json.dumps(found)) == found


class TestAnyByte:
    """Property: whatever single octet of the stored trail is altered, verification says so (SQLite)."""

    @pytest.fixture
    def database_url(self, tmp_path: Any, migrated_sqlite: Any) -> str:
        """On SQLite alone: the engine's file is ours to alter."""
        path = tmp_path / "dcc.sqlite"
        path.write_bytes(migrated_sqlite.read_bytes())
        return f"sqlite:///{path}"

    @settings(
        max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
    )
    @given(data=st.data())
    def test_any_octet_altered_is_seen(self, database: Database, gateway: Gateway, data: st.DataObject) -> None:
        """One octet changed in any column of any record, or of the signed end, is found."""
        table = data.draw(st.sampled_from(["audit", "audit_head"]))
        row = data.draw(st.integers(0, RECORDS)) if table == "audit" else 0
        columns = [column.name for column in (audit if table == "audit" else audit_head).c if column.name != "id"]
        column = data.draw(st.sampled_from([name for name in columns if name not in {"sequence", "code", "message"}]))
        with database.begin() as conn:
            key = "sequence" if table == "audit" else "id - 1"
            select_one = f"SELECT CAST({column} AS BLOB), typeof({column}) FROM {table} WHERE {key} = {row}"
            found, kind = conn.exec_driver_sql(select_one).one()
            if found is None:
                return
            place = data.draw(st.integers(0, len(found) - 1))
            altered = bytearray(found)
            altered[place] ^= data.draw(st.integers(1, 127))
            value: Any = bytes(altered) if kind == "blob" else bytes(altered).decode("latin-1")
            conn.exec_driver_sql(f"UPDATE {table} SET {column} = ? WHERE {key} = {row}", (value,))
        with database.read() as conn:
            assert not verify(conn, gateway.certificate).ok
        with database.begin() as conn:
            original: Any = found if kind == "blob" else found.decode()
            conn.exec_driver_sql(f"UPDATE {table} SET {column} = ? WHERE {key} = {row}", (original,))


def _fields() -> tuple[str, ...]:
    from dcc.mailbox.auditchain import FIELDS

    return FIELDS
