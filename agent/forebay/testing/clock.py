"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from forebay.clock import Reading

SETTLE_TURNS = 25
"""Turns of the event loop given to whatever a moment has woken, before time moves on."""


class FakeClock:
    """Implements `forebay.clock.Clock`.

    Wall time, boot time and monotonic time move together unless `step_wall` or `suspend` part
    them. `synced` and `error_ns` are what the kernel says of the wall clock.
    """

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000, boot_id: str = "boot-1") -> None:
        """Start at `wall_ns` and monotonic zero."""
        self._wall_ns, self._now_ns, self._asleep_ns = wall_ns, 0, 0
        self.boot_id, self.synced, self.error_ns = boot_id, True, 1_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tie = count()

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._wall_ns + self._now_ns + self._asleep_ns

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`."""
        return self._now_ns / 1e9

    def boottime_ns(self) -> int:
        """See `Clock.boottime_ns`."""
        return self._now_ns + self._asleep_ns

    def read(self) -> Reading:
        """See `Clock.read`."""
        error_ns = self.error_ns if self.synced else 0
        return Reading(self.now_ns(), self.boottime_ns(), self.synced, error_ns)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back; nothing that waits is woken."""
        self._wall_ns += round(seconds * 1e9)

    def suspend(self, seconds: float) -> None:
        """Let wall and boot time pass; monotonic time stands still, as in a suspended machine."""
        self._asleep_ns += round(seconds * 1e9)

    def freeze(self, seconds: float) -> None:
        """Let time pass while nothing of the process runs; what waits is late when it wakes."""
        self._now_ns += round(seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`: ends when `advance` has passed the moment."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(
            self._sleepers, (self._now_ns + round(seconds * 1e9), next(self._tie), future)
        )
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward; each sleeper wakes at its own moment and acts before time goes on."""
        await self._settle()
        end_ns = self._now_ns + round(seconds * 1e9)
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            due_ns, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._now_ns = max(self._now_ns, due_ns)
            future.set_result(None)
            await self._settle()
        self._now_ns = end_ns
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
