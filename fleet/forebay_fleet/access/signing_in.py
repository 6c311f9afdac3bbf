"""Signing in with a password: slowed down for who guesses, one rule for every way in.

Owns the throttle. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from forebay_fleet.access import sessions, users
from forebay_fleet.identity.throttle import Throttle

if TYPE_CHECKING:
    from forebay_fleet.registry import RegistryThread

AT_ONCE = 2
"""Passwords that are checked at once: each takes 64 MiB and a core for 50 ms."""


class TooOften(Exception):
    """Too many failures: `wait_s` until the next try."""

    def __init__(self, wait_s: float) -> None:
        """Keep it."""
        super().__init__(f"too many failures; wait {wait_s:.0f} s")
        self.wait_s = wait_s


class SigningIn:
    """Of one server. A name and an address each have ten failures free, then one every 6 s."""

    def __init__(self, registry: RegistryThread) -> None:
        """Begin with nobody."""
        self._registry = registry
        self._names, self._addresses = Throttle(), Throttle()
        self._turns = asyncio.Semaphore(AT_ONCE)

    def check(self, address: str) -> None:
        """Raise TooOften if this address has failed too often, whatever way it came."""
        wait_s = self._addresses.wait_s(address, time.monotonic())
        if wait_s > 0:
            raise TooOften(wait_s)

    def failed(self, address: str) -> None:
        """Note a failure of another way to sign in."""
        self._addresses.failed(address, time.monotonic())

    async def __call__(self, name: str, password: str, address: str) -> str | None:
        """Begin a session; give the cookie's secret. None: no such user, or another password.

        Both take the same time.

        Raises:
            TooOften: this name or address has failed too often.
            StoreFailed: the registry.
        """
        name = name[:64]
        now_s = time.monotonic()
        wait_s = max(self._names.wait_s(name, now_s), self._addresses.wait_s(address, now_s))
        if wait_s > 0:
            raise TooOften(wait_s)
        async with self._turns:
            kept = await self._registry(lambda registry: users.secret_of(registry, name))
            good = await asyncio.to_thread(users.matches, password[: users.MOST_PASSWORD], kept)
        secret = None
        if good:
            secret = await self._registry(
                lambda registry: sessions.begin(registry, name, "password", time.time_ns())
            )
        if secret is None:
            self._names.failed(name, now_s)
            self._addresses.failed(address, now_s)
        return secret
