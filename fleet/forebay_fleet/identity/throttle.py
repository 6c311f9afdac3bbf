"""How often one address may fail on the enrollment port before it is not listened to.

Owns the count, in bounded memory. Pure but for that; knows no clock and no gRPC.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from urllib.parse import unquote

FAILURES = 10
"""Failures that an address has free."""
BACK_EVERY_S = 6.0
"""One of them comes back after so long."""
MOST_ADDRESSES = 4096


class Throttle:
    """A bucket of failures for each address; those not heard of for longest are forgotten."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """Give how long this address must wait, 0 if it may ask."""
        level = self._level(address, now_s)
        return 0.0 if level <= FAILURES - 1 else (level - FAILURES + 1) * BACK_EVERY_S

    def failed(self, address: str, now_s: float) -> None:
        """Note a failure."""
        level = self._level(address, now_s)
        self._buckets[address] = (level + 1.0, now_s)
        self._buckets.move_to_end(address)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)

    def _level(self, address: str, now_s: float) -> float:
        level, then_s = self._buckets.get(address, (0.0, now_s))
        return max(0.0, level - (now_s - then_s) / BACK_EVERY_S)


def address_of(peer: str) -> str:
    """Give whom gRPC's `peer` stands for: an IPv4 address, or the /64 of an IPv6 address."""
    kind, _, rest = peer.partition(":")
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return kind
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
