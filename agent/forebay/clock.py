"""The clock seam: the only way in which Forebay learns the time or waits.

Owns the mapping from the operating system's clocks to nanoseconds and seconds. Must not know who
asks.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from pathlib import Path
from typing import Protocol

_TIMEX_BYTES = 512  # struct timex has 208 bytes on 64-bit Linux (linux/timex.h)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Clock(Protocol):
    """Wall time for data, monotonic time for everything that is measured or waited for."""

    @property
    def boot_id(self) -> str:
        """An id that changes with every boot of the machine."""
        ...

    def now_ns(self) -> int:
        """Wall time, ns since 1970 UTC. May step in either direction."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps, the event loop's own; its zero means nothing."""
        ...

    def boottime_ns(self) -> int:
        """Nanoseconds since boot, time in suspend included."""
        ...

    def synced(self) -> bool:
        """Whether the operating system believes that something disciplines its wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the monotonic clock; zero or less yields to other tasks once."""
        ...


class SystemClock:
    """The machine's clocks. Used inside a running event loop."""

    def __init__(self) -> None:
        """Read the boot id once: it cannot change while the process lives."""
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    @property
    def boot_id(self) -> str:
        """See `Clock.boot_id`; from random(4)."""
        return self._boot_id

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`; CLOCK_MONOTONIC, which asyncio and uvloop use too."""
        return time.monotonic()

    def boottime_ns(self) -> int:
        """See `Clock.boottime_ns`; CLOCK_BOOTTIME."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def synced(self) -> bool:
        """See `Clock.synced`; adjtimex(2) with an empty request, which changes nothing."""
        request = ctypes.create_string_buffer(_TIMEX_BYTES)
        state: int = ctypes.CDLL(None).adjtimex(request)
        return 0 <= state < _TIME_ERROR

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))
