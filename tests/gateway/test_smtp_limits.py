"""Counting of connections and messages by peer (defect G)."""

from __future__ import annotations

import pytest

from dcc.gateway.smtp_limits import TRACKED, Census, Origin, Rate, origin


@pytest.mark.parametrize(
    ("address", "host", "network"),
    [
        ("192.0.2.17", "192.0.2.17/32", "192.0.2.0/24"),
        ("::ffff:192.0.2.17", "192.0.2.17/32", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("", "", ""),
        ("socket", "socket", "socket"),
    ],
)
def test_origin(address: str, host: str, network: str) -> None:
    """An IPv6 subscriber has a whole /64, so it counts as one; IPv4 inside IPv6 is IPv4."""
    assert origin(address) == Origin(host, network)


def test_census_forgets_who_left() -> None:
    """Places are counted in all, by host and by network, and nothing is kept of those who left."""
    census = Census(most=4, per_host=2, per_network=3)
    one, two, three, other = (origin(f"192.0.2.{number}") for number in (1, 2, 3, 3))
    elsewhere = origin("198.51.100.1")
    assert [census.enter(who) for who in (one, one, one, two, three, elsewhere, elsewhere)] == [
        True, True, False, True, False, True, False,
    ]  # fmt: skip
    assert other == three
    for who in (one, one, two, elsewhere):
        census.leave(who)
    assert census.connected == 0
    assert not census._hosts
    assert not census._networks


def test_rate_fills_again() -> None:
    """A host that used its minute may send again as time passes, and no more than a minute's worth at once."""
    now = [0.0]
    rate = Rate(6, clock=lambda: now[0])
    assert [rate.allow("a") for _ in range(7)] == [True] * 6 + [False]
    assert rate.allow("b")
    now[0] = 9.9
    assert not rate.allow("a")
    now[0] = 10.1
    assert [rate.allow("a") for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [rate.allow("a") for _ in range(7)] == [True] * 6 + [False]


def test_rate_is_bounded() -> None:
    """However many hosts there are, those that have been quiet for a minute are forgotten."""
    now = [0.0]
    rate = Rate(6, clock=lambda: now[0])
    for number in range(5 * TRACKED):
        now[0] += 0.01
        assert rate.allow(str(number))
    assert len(rate._left) <= 2 * TRACKED
