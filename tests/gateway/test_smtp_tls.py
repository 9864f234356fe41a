"""TLS at the door: STARTTLS and implicit, required or not, TLS 1.2 or later (RFC 3207, ECO.1)."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from dcc.gateway.services import Services
from dcc.gateway.submission import submit
from doors import GATEWAY, MAIL, SENDER, Place, Raw, RunningDoor, any_certificate, client, opened, stored


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("implicit", [False, True])
def test_mail_under_tls(door: RunningDoor, implicit: bool, version: ssl.TLSVersion) -> None:
    """A message of some megabytes is taken under TLS, and the trace says so."""
    context = any_certificate()
    context.maximum_version = context.minimum_version = version
    mail = MAIL + b"0123456789abcdef\r\n" * 200_000
    if implicit:
        with smtplib.SMTP_SSL(door.host, door.tls_port, timeout=60, context=context) as smtp:
            smtp.sendmail(SENDER, [GATEWAY], mail)
    else:
        with client(door) as smtp:
            smtp.starttls(context=context)
            smtp.sendmail(SENDER, [GATEWAY], mail)
    (message,) = stored(door.services)
    content = door.services.spool.path(message.id).read_bytes()
    assert f" with ESMTPS ({version.name.replace('_', '.')})\r\n".encode() in content[:300]
    assert content.endswith(mail)


def test_rule_21_starttls_discards_what_was_sent_before(door: RunningDoor) -> None:
    """Commands slipped in behind STARTTLS are dropped, and so is what was said before (R-SMTP, CVE-2011-0411)."""
    with Raw(door) as raw:
        raw.ask(f"MAIL FROM:<{SENDER}>".encode())
        assert raw.ask(b"STARTTLS\r\nRSET\r\nEHLO evil.example\r\nMAIL FROM:<evil@b.example>").startswith(b"220 2.0.0")
        raw.start_tls()
        assert raw.ask(f"MAIL FROM:<{SENDER}>".encode()).startswith(b"503 5.5.1 EHLO first")
        assert raw.ask(b"EHLO client.example").startswith(b"250")
        assert raw.ask(b"STARTTLS").startswith(b"503 5.5.1")
        raw.into_data()
        raw.say(MAIL + b".\r\nQUIT\r\n")
        assert raw.reply().startswith(b"250 2.0.0 queued as ")
        assert raw.reply().startswith(b"221")
    assert [one.mail_from for one in stored(door.services)] == [SENDER]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("required", [False, True])
def test_our_own_client_under_tls(services: Services, required: bool, host: str) -> None:
    """What `dcc deposit` sends with is taken by our own door: STARTTLS where it is required, or leaves the machine."""
    with opened(services, require_tls=required) as running:
        queue_id = submit(f"{host}:{running.port}", MAIL, sender=SENDER, recipient=GATEWAY)
        (message,) = stored(running.services)
        assert message.id == queue_id
        content = running.services.spool.path(queue_id).read_bytes()
        assert (b" with ESMTPS " in content[:300]) is (required or host == "0.0.0.0")


def test_required_tls_refuses_clear_mail(services: Services) -> None:
    """With require_tls, everything that could carry a mail gets 530 5.7.0 until the handshake is done."""
    with opened(services, require_tls=True) as running:
        with Raw(running) as raw:
            for command in (
                b"MAIL FROM:<a@b.example>",
                b"RCPT TO:<a@b.example>",
                b"DATA",
                b"HELO client.example",
                b"VRFY a",
            ):
                assert raw.ask(command).startswith(b"530 5.7.0"), command
            assert raw.ask(b"NOOP").startswith(b"250")
            assert raw.ask(b"STARTTLS").startswith(b"220")
            raw.start_tls()
            raw.ask(b"EHLO client.example")
            raw.into_data()
        with smtplib.SMTP_SSL(running.host, running.tls_port, timeout=60, context=any_certificate()) as smtp:
            smtp.sendmail(SENDER, [GATEWAY], MAIL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_before_1_2_is_refused(door: RunningDoor) -> None:
    """TLS 1.1 is refused, whatever the machine's own policy (ECO.1)."""
    assert door.door._tls is not None
    door.door._tls.set_ciphers("ALL:@SECLEVEL=0")  # the floor itself is tested, not the policy of the library
    for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context = any_certificate()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        with Raw(door) as raw:
            raw.ask(b"STARTTLS")
            if taken:
                raw.start_tls(context)
                assert raw.ask(b"NOOP").startswith(b"250")
            else:
                with pytest.raises(ssl.SSLError):
                    raw.start_tls(context)


def test_early_octets_of_the_handshake_are_kept(door: RunningDoor) -> None:
    """A client that sends its EHLO together with the end of its handshake is answered."""
    for _ in range(5):
        with Raw(Place(door.host, door.tls_port), hello=False) as raw:
            raw.start_tls()
            assert raw.reply().startswith(b"220")
            raw.say(b"EHLO client.example\r\n")
            assert raw.answer()[-1].startswith(b"250")
        with Raw(door) as raw:
            raw.ask(b"STARTTLS")
            raw.start_tls()
            raw.say(b"NOOP\r\n")
            assert raw.reply().startswith(b"250")
