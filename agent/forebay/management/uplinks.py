"""The destinations of a running agent, and how one changes beside the others.

Owns the forwarders, their tasks, and which cursors of uplinks hold data back. Must not know what an
uplink does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from forebay.cancellation import end
from forebay.forwarding.forwarder import Forwarder
from forebay.management.views import UplinkVitals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from forebay.config.load import LoadedUplink
    from forebay.interfaces import Seams
    from forebay.journal.journal import Journal
    from forebay.management.tasks import Start


class _Sending(NamedTuple):
    """One forwarder that runs."""

    task: asyncio.Task[None]
    began_s: float


class UplinkSet:
    """Every uplink of the configuration; the enabled ones have a forwarder.

    One that is not enabled keeps its claim on what it has not got.
    """

    def __init__(self, journal: Journal, gateway: str, seams: Seams) -> None:
        """Begin without uplinks. `gateway` is the id that destinations know this box by."""
        self._journal, self._gateway, self._seams = journal, gateway, seams
        self._claims: tuple[str, ...] = ()
        self._sending: dict[str, _Sending] = {}
        self.forwarders: dict[str, Forwarder] = {}
        """Those that there are, by name."""

    def make(self, uplinks: Sequence[LoadedUplink], names: Collection[str]) -> list[Forwarder]:
        """Make the forwarders of those in `names` that are enabled; none runs yet.

        Raises whatever the adapter raises that cannot be built.
        """
        return [
            Forwarder(
                name,
                spec.build(name, settings, self._seams),
                settings,
                self._journal,
                self._gateway,
                self._seams,
            )
            for name, spec, settings in uplinks
            if settings.enabled and name in names
        ]

    async def follow(
        self, uplinks: Sequence[LoadedUplink], names: Collection[str], fresh: Sequence[Forwarder]
    ) -> None:
        """Have `uplinks`; those in `names` are other ones now, of which `fresh` are enabled.

        What the old ones had under way is not acknowledged, and goes again.
        """
        ending = [name for name in names if name in self.forwarders]
        await end([self._sending.pop(name).task for name in ending if name in self._sending])
        for name in ending:
            del self.forwarders[name]
        claims = tuple(name for name, _, _ in uplinks)
        for name in set(self._claims) - set(claims):
            await self._journal.leave(name)
        self._claims = claims
        for name in claims:
            self._journal.cursor(name)
        self.forwarders |= {one.name: one for one in fresh}

    def run(self, start: Start) -> None:
        """Begin to forward with all that do not yet, in tasks that `start` makes."""
        now_s = self._seams.clock.monotonic_s()
        for name, forwarder in self.forwarders.items():
            if name not in self._sending:
                task = start(f"forwarder[{name}]", self._forward(forwarder))
                self._sending[name] = _Sending(task, now_s)

    async def _forward(self, forwarder: Forwarder) -> None:
        """Forward as soon as there is a journal: nothing can be said of it before."""
        await self._journal.opened()
        await forwarder.run()

    async def drain(self, timeout_s: float) -> None:
        """Go on for at most that long to send what is durable, to those that are connected."""
        there = [one for one in self.forwarders.values() if one.connected]
        await asyncio.gather(*(forwarder.drain(timeout_s) for forwarder in there))

    async def stop(self) -> None:
        """End all forwarders."""
        await end([sending.task for sending in self._sending.values()])

    def vitals(self) -> dict[str, UplinkVitals]:
        """Give the signs of life of each uplink."""
        return {
            name: UplinkVitals(
                sending.began_s, self.forwarders[name].acked, self.forwarders[name].connected
            )
            for name, sending in self._sending.items()
        }
