"""Open streams of boxes, and who wakes them.

Owns what of the registry concerns a stream. Must not know gRPC.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from forebay_fleet.desired import commands, reports, states
from forebay_fleet.errors import StoreFailed

if TYPE_CHECKING:
    from forebay_fleet.registry import Registry, RegistryThread

LOOK_S = 1.0
"""How soon a push by a command reaches a box that is connected, at most."""

_log = structlog.get_logger()


class Hub:
    """Of one server."""

    def __init__(self, registry: RegistryThread, stopping: asyncio.Event) -> None:
        """Know nobody yet; `stopping` is set when the server is to end."""
        self.registry, self.stopping = registry, stopping
        self._streams: dict[str, asyncio.Event] = {}

    async def open(self) -> None:
        """Make the tables. Raises StoreError, StoreFailed."""
        await self.registry(states.prepare)
        await self.registry(commands.prepare)
        await self.registry(reports.forget_online)

    def enter(self, gateway: str) -> asyncio.Event:
        """Begin a stream: give what is set when there is something to look at.

        The stream before of the same gateway is told to end.
        """
        before = self._streams.get(gateway)
        wake = self._streams[gateway] = asyncio.Event()
        wake.set()
        if before is not None:
            before.set()
        return wake

    def newest(self, gateway: str, wake: asyncio.Event) -> bool:
        """Whether this stream is the gateway's last."""
        return self._streams.get(gateway) is wake

    def leave(self, gateway: str, wake: asyncio.Event) -> bool:
        """End a stream; whether it was the gateway's last."""
        mine = self.newest(gateway, wake)
        if mine:
            del self._streams[gateway]
        return mine

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    async def watch(self) -> None:
        """Wake a stream whose gateway has another state, and all at the end, until cancelled."""
        known: dict[str, tuple[int, int]] = {}
        while not self.stopping.is_set():
            try:
                now = await self.registry(_newest)
            except StoreFailed as error:
                _log.error("registry_failed", error=str(error), hint=error.hint)
                now = known
            for gateway, version in now.items():
                if known.get(gateway) != version and gateway in self._streams:
                    self._streams[gateway].set()
            known = now
            try:
                await asyncio.wait_for(self.stopping.wait(), LOOK_S)
            except TimeoutError:
                continue
        for wake in self._streams.values():
            wake.set()


def _newest(registry: Registry) -> dict[str, tuple[int, int]]:
    """Give for each gateway what changes when there is something new for it."""
    stands = states.versions(registry)
    asked = commands.waiting(registry, time.time_ns())
    return {name: (stands.get(name, 0), asked.get(name, 0)) for name in {*stands, *asked}}
