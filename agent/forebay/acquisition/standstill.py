"""Notices when nothing ran: a stopped process, a suspended machine, a blocked event loop.

Owns the pulse of the process. Must not know devices. CLOCK_BOOTTIME is what shows it: unlike the
monotonic clock it goes on while the machine is suspended. What it cannot show is a virtual machine
whose hypervisor stops that clock too; then the wall clock is behind, and the next anchor tells by
how much it was set.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from forebay.events import STOOD_STILL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.interfaces import Seams

BEAT_S = 0.5
"""How often the process shows that it lives, at least."""
STANDSTILL_LEAST_S = 2.0
"""A shorter time without a beat is lateness."""
_KEPT = 16


class Standstill(NamedTuple):
    """A time in which nothing ran, from the last beat before to the first one after.

    CLOCK_BOOTTIME, ns. `number` counts from 1.
    """

    number: int
    from_ns: int
    to_ns: int

    @property
    def lasted_s(self) -> float:
        """How long it was, at most `BEAT_S` too long."""
        return (self.to_ns - self.from_ns) / 1e9


class Pulse:
    """One for the whole process. `run` in a task; whoever wakes may `beat` beside it."""

    def __init__(self, seams: Seams) -> None:
        """Begin with the first beat."""
        self._clock, self._events = seams.clock, seams.events
        self._last_ns: int | None = None
        self._found: deque[Standstill] = deque(maxlen=_KEPT)
        self.count = 0
        """Standstills so far."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await self._clock.sleep(BEAT_S)

    def beat(self) -> None:
        """Show that the process lives; find out whether it stood still since the last beat."""
        now_ns = self._clock.boottime_ns()
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None or now_ns - last_ns < STANDSTILL_LEAST_S * 1e9:
            return
        self.count += 1
        found = Standstill(self.count, last_ns, now_ns)
        self._found.append(found)
        self._events.emit(
            STOOD_STILL,
            lasted_s=round(found.lasted_s, 1),
            hint="the process was stopped, the machine suspended, or the CPU taken away",
        )

    def since(self, number: int) -> Sequence[Standstill]:
        """Give the standstills after the one of this number, as far as they are remembered."""
        return [found for found in self._found if found.number > number]
