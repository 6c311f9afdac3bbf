"""Open streams of boxes, who wakes them, and what each of them is shared by.

Owns what of the registry concerns a stream. Must not know gRPC.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from forebay_fleet.desired import commands, connections, reports, states, witness
from forebay_fleet.desired.speaking import Commanding, Stating
from forebay_fleet.errors import StoreFailed
from forebay_fleet.returning import Returns

if TYPE_CHECKING:
    from forebay_fleet.desired.parts import Make
    from forebay_fleet.registry import Registry, RegistryThread

LOOK_S = 1.0
"""How soon a push by a command reaches a box that is connected, at most."""
SHARE, MOST_TURNS = 10, 10
"""Looking takes one part in SHARE of a server's time: of very many boxes every second, third or
MOST_TURNSth turn looks."""

_log = structlog.get_logger()


class Hub:
    """Of one server."""

    def __init__(self, registry: RegistryThread, stopping: asyncio.Event) -> None:
        """Know nobody yet; `stopping` is set when the server is to end."""
        self.registry, self.stopping = registry, stopping
        self._streams: dict[str, asyncio.Event] = {}
        self.returns = Returns(lambda: len(self._streams))
        """When those come back whom a stop sends away."""
        self.reports = reports.Reports(registry)
        """What boxes said and is not committed yet."""
        self.makes: list[Make] = [
            partial(make, registry) for make in (Stating, Commanding, connections.Moving)
        ]
        """What makes the parts of a stream, beside its reports."""

    async def open(self) -> None:
        """Make the tables. Raises StoreError, StoreFailed."""
        await self.registry(states.prepare)
        await self.registry(commands.prepare)
        await self.registry(connections.prepare)
        await self.registry(witness.prepare)
        await self.reports.open()

    async def close(self) -> None:
        """Commit what is not yet; all streams have ended."""
        await self.reports.flush()

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

    async def watch(self) -> None:
        """Wake a stream whose gateway has another state, and all at the end, until cancelled.

        And commit what boxes said.
        """
        known: dict[str, tuple[int, ...]] = {}
        rest = 0
        while not self.stopping.is_set():
            if rest <= 0:
                try:
                    now, took_s = await self.registry(_timed)
                except StoreFailed as error:
                    _log.error("registry_failed", error=str(error), hint=error.hint)
                    now, took_s = known, 0.0
                for gateway, version in now.items():
                    if known.get(gateway) != version and gateway in self._streams:
                        self._streams[gateway].set()
                known, rest = now, turns(took_s)
            rest -= 1
            await self.reports.flush()
            try:
                await asyncio.wait_for(self.stopping.wait(), LOOK_S)
            except TimeoutError:
                continue
        for wake in self._streams.values():
            wake.set()


def turns(took_s: float) -> int:
    """Give in how many turns there is to be another look, by the time that the last one took."""
    return min(max(1, round(SHARE * took_s / LOOK_S)), MOST_TURNS)


def _timed(registry: Registry) -> tuple[dict[str, tuple[int, ...]], float]:
    """Give the newest, and what it took of this thread, s."""
    began_s = time.thread_time()
    return _newest(registry), time.thread_time() - began_s


def _newest(registry: Registry) -> dict[str, tuple[int, ...]]:
    """Give for each gateway what changes when there is something new for it."""
    now_ns = time.time_ns()
    found = (
        states.versions(registry),
        commands.waiting(registry, now_ns),
        connections.waiting(registry, now_ns),
    )
    return {name: tuple(one.get(name, 0) for one in found) for name in set().union(*found)}
