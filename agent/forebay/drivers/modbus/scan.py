"""Finds out which addresses a device lets be read, gently: one small question after the other.

`search` is pure and owns what is asked next; `scan` asks it, one request in a turn, with a pause
after each. Must not know tags or plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forebay.drivers.modbus.codec import FUNCTIONS, called, compile_request, data_bytes, meaning
from forebay.errors import DeviceRefused, DeviceUnreachable, RequestInvalid
from forebay.interfaces import Span, Urgency
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Sequence

    from forebay.clock import Clock
    from forebay.drivers.modbus.unit import Unit
    from forebay.interfaces import Line

PAUSE_S = 0.01
"""Rest after each request: the device has its own work to do."""
BUSY_S = 1.0
"""Rest before a device that says that it is busy is asked again."""
BUSY_MOST = 10
"""So often in a row a device may say that it is busy."""
TELL_EVERY = 50
"""After so many requests without news, say how far it is."""

_ILLEGAL_FUNCTION = 1
_DEVICE_FAILURE = 4
"""By the standard a failure; many devices say it of addresses that they do not have."""


class Ask(NamedTuple):
    """A question: can `size` places from `start` be read in one request?"""

    start: int
    size: int


class Run(NamedTuple):
    """Places that can be read: all from `start` on, `size` of them, and neither neighbour."""

    start: int
    size: int


def search(first: int, last: int, most: int) -> Generator[Ask | Run, bool, None]:
    """Find every run in `first`..`last`, both included, with requests of at most `most` places.

    To be sent the answer of each Ask; what it is sent for a Run is ignored. Supposes that a request
    is refused for a place that it touches, for a boundary that it crosses or for its length. In a
    gap each place is asked for alone, because a longer request would tell nothing of the places in
    it; a run costs a request for each `most` places, and about log2(most) for its end.
    """
    at, begin, sure, shorter = first, -1, 0, 0
    while at <= last:
        count = min(most, last - at + 1)
        good = count == sure or (yield Ask(at, count))
        length = count if good else (yield from _prefix(at, sure, count))
        if length and begin < 0:
            begin = at
        at, sure = at + length, 0
        if good:
            continue
        if length and (yield Ask(at, 1)):  # no gap: the device minds the length, or a boundary
            most, shorter = (length, 0) if length == shorter else (most, length)
            sure = 1
            continue
        if begin >= 0:
            yield Run(begin, at - begin)
            begin = -1
        at += 1
        while at <= last and not (yield Ask(at, 1)):
            at += 1
        sure = 1
    if begin >= 0:
        yield Run(begin, last + 1 - begin)


def _prefix(at: int, good: int, bad: int) -> Generator[Ask | Run, bool, int]:
    """Give how many places from `at` on one request may read: `good` or more, fewer than `bad`."""
    while bad - good > 1:
        middle = (good + bad) // 2
        if (yield Ask(at, middle)):
            good = middle
        else:
            bad = middle
    return good


class Scan:
    """The questions of one scan, asked over `unit`, whose turn on `line` is taken for each."""

    def __init__(self, unit: Unit, line: Line, clock: Clock, there: Callable[[], bool]) -> None:
        """`there` says whether the connection is still the one that the scan began on."""
        self._unit, self._line, self._clock, self._there = unit, line, clock, there

    async def area(self, area: str, first: int, last: int, most: int) -> AsyncIterator[Span]:
        """Give the runs of one area, and now and then a span of nothing where the search is.

        Raises DeviceUnreachable when the device falls silent, DeviceRefused if it stays busy.
        """
        questions, asked = search(first, last, most), 0
        step = next(questions, None)
        while step is not None:
            if isinstance(step, Run):
                yield Span(area, *step)
                asked, good = 0, True
            else:
                asked += 1
                if asked % TELL_EVERY == 0:
                    yield Span(area, step.start, 0)
                code = await self._asked(area, step)
                if code == _ILLEGAL_FUNCTION:
                    return
                good = code == 0
            try:
                step = questions.send(good)
            except StopIteration:
                return

    async def _asked(self, area: str, ask: Ask) -> int:
        """Ask, again if the device is busy; give the exception code, 0 for an answer."""
        request = compile_request(self._unit.number, area, *ask, 0)
        for _ in range(BUSY_MOST):
            if not self._there():
                raise DeviceUnreachable(
                    "the connection was lost while the device was scanned",
                    hint="scan again from where it was: see what was found",
                    status=Quality.BAD_NO_COMMUNICATION,
                )
            job = self._unit.job((request,), bytearray(data_bytes(area, ask.size)))
            async with self._line.turn(Urgency.PROBE):
                await self._unit.run(job)
            code = job.refused[0][1] if job.refused else 0
            if code in (0, _DEVICE_FAILURE) or meaning(code).permanent:
                await self._clock.sleep(PAUSE_S)
                return code
            await self._clock.sleep(BUSY_S)
        raise DeviceRefused(
            f"the device says {called(code)}, {meaning(code).text}, again and again",
            hint="scan when it has less to do",
            status=meaning(code).status,
        )


def areas_of(names: Sequence[str]) -> Sequence[str]:
    """Give the areas to scan, all for none. Raises RequestInvalid for one that there is not."""
    for name in names:
        if name not in FUNCTIONS:
            raise RequestInvalid(
                f"Modbus has no area {name!r}", hint=f"areas are: {', '.join(FUNCTIONS)}"
            )
    return tuple(dict.fromkeys(names)) or tuple(FUNCTIONS)
