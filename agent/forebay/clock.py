"""The clock seam: the only way in which Forebay learns the time or waits.

Owns the mapping from the operating system's clocks to nanoseconds and seconds, what of it may let
data grow old, and the one way to stamp a row. Must not know who asks.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from pathlib import Path
from typing import NamedTuple, Protocol

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
NEVER_SET_NS = 1_735_689_600_000_000_000
"""2025-01-01: a wall clock that is behind this was not set since the boot."""
BELIEVE_AFTER_S = 86_400.0
"""How long a wall clock that stepped ahead must keep its new time before data grows old by it."""

_ALIKE_NS = 1_000_000_000
_CLOSE_NS = 50_000
_TRIES = 8


class Stamp(NamedTuple):
    """One moment by the wall clock and by the time since boot: see `stamp`."""

    wall_ns: int
    boottime_ns: int

    @property
    def offset_ns(self) -> int:
        """See `Reading.offset_ns`."""
        return self.wall_ns - self.boottime_ns

    def at(self, boottime_ns: int) -> Stamp:
        """Give another moment by this very wall clock.

        So a row never holds times of two clocks, though the clock was set while it was read.
        """
        return Stamp(self.wall_ns - self.boottime_ns + boottime_ns, boottime_ns)


class Reading(NamedTuple):
    """Both clocks at one moment, and what the kernel says of the wall clock then.

    `synced` says that something disciplines the wall clock (NTP, PTP, a radio clock); the kernel
    takes it back when the clock is set by hand, or when about nine hours bring no correction.
    `error_ns` is the most that `wall_ns` may be off as the kernel reckons it, 0 where it does not
    know.
    """

    wall_ns: int
    boottime_ns: int
    synced: bool
    error_ns: int

    @property
    def offset_ns(self) -> int:
        """The wall clock minus the time since boot: it changes when the wall clock is set.

        Being slewed does not change it: the kernel lets both clocks run faster or slower together.
        """
        return self.wall_ns - self.boottime_ns


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

    def read(self) -> Reading:
        """Give wall time and boot time of one moment. Any thread may ask."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the monotonic clock; zero or less yields to other tasks once."""
        ...


def stamp(clock: Clock) -> Stamp:
    """Read the wall clock, and the time since boot at that moment. Any thread may; 0.5 us.

    The wall clock is read between two looks at the other; if the thread was held up there, it is
    done again, so that the two are as close as the machine allows.
    """
    best_ns, wall_ns, boottime_ns = -1, 0, 0
    for _ in range(_TRIES):
        before_ns, now_ns, after_ns = clock.boottime_ns(), clock.now_ns(), clock.boottime_ns()
        apart_ns = after_ns - before_ns
        if best_ns < 0 or apart_ns < best_ns:
            best_ns, wall_ns, boottime_ns = apart_ns, now_ns, before_ns + apart_ns // 2
        if apart_ns <= _CLOSE_NS:
            break
    return Stamp(wall_ns, boottime_ns)


class SystemClock:
    """The machine's clocks. Used inside a running event loop."""

    def __init__(self) -> None:
        """Read the boot id once: it cannot change while the process lives."""
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._libc = ctypes.CDLL(None)

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

    def read(self) -> Reading:
        """See `Clock.read`; adjtimex(2) with an empty request, which changes nothing.

        Where a sandbox forbids even that, nobody can know whether the clock is right.
        """
        timex = _Timex()
        state: int = self._libc.adjtimex(ctypes.byref(timex))
        synced = 0 <= state < _TIME_ERROR
        wall_ns, boottime_ns = stamp(self)
        return Reading(wall_ns, boottime_ns, synced, timex.maxerror * 1000 if synced else 0)

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))


class _Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)), with room for the rest. Errors are in us."""

    maxerror: int
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_ubyte * 512),
    )


class AgeClock:
    """The clock by which data grows old: wall time, as far as it is believed. Not for two threads.

    Nothing grows old while nothing disciplines the wall clock: it may be wrong by years. Even one
    that is disciplined can be set wrong, by hand or by a time server that errs. So a step ahead is
    believed only once it has held for a day, time in which a person is told of it (`forebay
    status`); a step back makes everything younger and is believed at once.
    """

    def __init__(self) -> None:
        """Believe the first disciplined reading: nothing older contradicts it."""
        self._believed_ns: int | None = None
        self._ahead: tuple[int, int] | None = None

    def now_ns(self, reading: Reading) -> int | None:
        """Give the wall time that ages are reckoned from; None while nothing may grow old."""
        if not reading.synced:
            self._ahead = None
            return None
        offset_ns, boottime_ns = reading.offset_ns, reading.boottime_ns
        if self._believed_ns is None or offset_ns <= self._believed_ns + _ALIKE_NS:
            self._believed_ns, self._ahead = offset_ns, None
        elif self._ahead is None or abs(offset_ns - self._ahead[0]) > _ALIKE_NS:
            self._ahead = offset_ns, boottime_ns
        elif boottime_ns - self._ahead[1] >= BELIEVE_AFTER_S * 1e9:
            self._believed_ns, self._ahead = offset_ns, None
        return boottime_ns + self._believed_ns
