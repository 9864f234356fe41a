"""How many connections and messages a peer may have: in all, by address, by network, by minute (defect G)."""

from __future__ import annotations

import functools
import ipaddress
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

TRACKED = 10_000
# RFC 4291 §2.5.1: a subscriber's line holds at least one /64, so one IPv6 address means nothing; /48 is one site.
HOST_BITS = {4: 32, 6: 64}
NETWORK_BITS = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection comes from, as the caps count it."""

    host: str
    network: str


@functools.lru_cache(4096)
def origin(address: str) -> Origin:
    """The host and the network of an address; what is not an address counts as itself."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return Origin(address, address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    host, network = (
        str(ipaddress.ip_network((found, bits[found.version]), strict=False)) for bits in (HOST_BITS, NETWORK_BITS)
    )
    return Origin(host, network)


class Census:
    """Who is connected now."""

    def __init__(self, most: int, per_host: int, per_network: int) -> None:
        self.most = most
        self._per_host = per_host
        self._per_network = per_network
        self._hosts: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self.connected = 0

    def enter(self, one: Origin) -> bool:
        """Count a connection, or say that it is one too many."""
        if (
            self.connected >= self.most
            or self._hosts[one.host] >= self._per_host
            or self._networks[one.network] >= self._per_network
        ):
            return False
        self._hosts[one.host] += 1
        self._networks[one.network] += 1
        self.connected += 1
        return True

    def leave(self, one: Origin) -> None:
        """A connection ended."""
        self.connected -= 1
        for counter, name in ((self._hosts, one.host), (self._networks, one.network)):
            counter[name] -= 1
            if counter[name] <= 0:
                del counter[name]


class Rate:
    """Messages of one host: a store of `per_minute` that fills again as time passes."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # host: (messages left, when)
        self._look_at = TRACKED

    def allow(self, host: str) -> bool:
        """Count one message, or say that it is one too many."""
        now = self._clock()
        if len(self._left) >= self._look_at:
            self._left = {one: kept for one, kept in self._left.items() if kept[1] > now - 60}  # the rest is full again
            self._look_at = max(TRACKED, 2 * len(self._left))
        left, since = self._left.get(host, (float(self._most), now))
        left = min(float(self._most), left + (now - since) * self._most / 60)
        allowed = left >= 1
        self._left[host] = (left - 1 if allowed else left, now)
        return allowed
