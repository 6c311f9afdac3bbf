"""The machine's clocks in a simulation: the wall steps, the boot time goes on in suspend."""

from __future__ import annotations

import asyncio

from forebay.clock import Reading


class SimClock:
    """Implements `forebay.clock.Clock` over the running loop's virtual time. Outlives the agent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall_ns: int) -> None:
        """Start at `wall_ns`."""
        self._loop, self._wall_ns, self._boot_s = loop, wall_ns, 0.0
        self.boot_id = "boot-1"
        self.is_synced = True

    def boot(self, number: int) -> None:
        """Begin a new boot."""
        self.boot_id, self._boot_s = f"boot-{number}", self._loop.time()

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self._wall_ns += round(seconds * 1e9)

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._wall_ns + round(self._loop.time() * 1e9)

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`."""
        return self._loop.time()

    def boottime_ns(self) -> int:
        """See `Clock.boottime_ns`."""
        return round((self._loop.time() - self._boot_s) * 1e9)

    def read(self) -> Reading:
        """See `Clock.read`."""
        return Reading(self.now_ns(), self.boottime_ns(), self.is_synced, 1_000_000)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))
