"""Nonces for Recover: good once, for a minute, for one gateway.

A nonce carries its own proof (HMAC over gateway, time and chance), so that giving one away costs no
memory; only those that were used with a good signature are remembered, for their minute. Must not
know who asks.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE_BYTES = 32
GOOD_S = 60.0
MOST_USED = 100_000


class Challenges:
    """Of one server process; a restart makes all nonces void."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        """Begin with a fresh key."""
        self._now_s, self._key = monotonic_s, secrets.token_bytes(32)
        self._used: dict[bytes, float] = {}

    def give(self, gateway: str) -> bytes:
        """Give a nonce: 8 bytes of time in ms, 8 of chance, 16 of HMAC-SHA-256."""
        head = round(self._now_s() * 1000).to_bytes(8, "big") + secrets.token_bytes(8)
        return head + self._mac(head, gateway)

    def good(self, nonce: bytes, gateway: str) -> bool:
        """Whether this nonce was given for `gateway` within GOOD_S, and was not used."""
        if len(nonce) != NONCE_BYTES or nonce in self._used:
            return False
        if not hmac.compare_digest(nonce[16:], self._mac(nonce[:16], gateway)):
            return False
        return self._now_s() - int.from_bytes(nonce[:8], "big") / 1000 <= GOOD_S

    def use(self, nonce: bytes) -> None:
        """Remember a nonce whose signature was good; with too many, nobody recovers for a while."""
        now_s = self._now_s()
        self._used = {n: end for n, end in self._used.items() if end > now_s}
        if len(self._used) < MOST_USED:
            self._used[nonce] = now_s + GOOD_S + 1.0

    @property
    def full(self) -> bool:
        """Whether no more nonces can be remembered now."""
        return len(self._used) >= MOST_USED

    def _mac(self, head: bytes, gateway: str) -> bytes:
        return hmac.new(self._key, head + gateway.encode(), hashlib.sha256).digest()[:16]
