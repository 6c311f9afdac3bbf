"""Signing in with a password: slowed down for who guesses, one rule for every way in.

Owns the throttle. Must not know HTTP.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from forebay_fleet.access import sessions, users
from forebay_fleet.identity.throttle import Throttle

if TYPE_CHECKING:
    from forebay_fleet.registry import RegistryThread

AT_ONCE = 2
"""Passwords that are checked at once: each takes 64 MiB and a core for 50 ms."""
MOST_WAITING = 64
"""More than that wait for nothing: somebody is guessing."""
BUSY_S = 5.0

_log = structlog.get_logger()


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
        self._waiting = 0

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
        self._check_both(name, address)
        if self._waiting >= MOST_WAITING:
            raise TooOften(BUSY_S)
        self._waiting += 1
        try:
            async with self._turns:
                self._check_both(name, address)  # who tries a hundred at once has failed meanwhile
                secret = await self._judge(name, password)
                if secret is None:
                    now_s = time.monotonic()
                    self._names.failed(name, now_s)
                    self._addresses.failed(address, now_s)
        finally:
            self._waiting -= 1
        if secret is None:
            # A name that nobody has may be a password in the wrong field.
            known = await self._registry(lambda registry: users.there(registry, name))
            _log.warning("sign_in_refused", address=address, user=name if known else "")
        return secret

    def _check_both(self, name: str, address: str) -> None:
        now_s = time.monotonic()
        wait_s = max(self._names.wait_s(name, now_s), self._addresses.wait_s(address, now_s))
        if wait_s > 0:
            raise TooOften(wait_s)

    async def _judge(self, name: str, password: str) -> str | None:
        kept = await self._registry(lambda registry: users.secret_of(registry, name))
        if not await asyncio.to_thread(users.matches, password[: users.MOST_PASSWORD], kept):
            return None
        return await self._registry(
            lambda registry: sessions.begin(registry, name, "password", time.time_ns())
        )
