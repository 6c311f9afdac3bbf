"""Whose turn it is on a wire that several devices share: writes first, then polls by deadline.

Owns the order of turns, the deadlines that stand still while somebody else has the turn, and the
account of how long the wire was held. Must not know protocols, nor what is done in a turn.
Implements `forebay.interfaces.Line`.

The order is that of `Urgency`, and among alike the earliest deadline first; nobody is overtaken by
who came later and is due at the same time. A probe that has waited for PROBE_PATIENCE_S goes on as
a poll that is due already, so that even a wire without a free moment finds out in the end that a
silent unit is back.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from forebay.interfaces import Urgency

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forebay.clock import Clock

T = TypeVar("T")

PROBE_PATIENCE_S = 10.0
"""How long a probe lets all others go first."""
LOAD_OVER_S = 10.0
"""The time over which the load of a line is taken, at least."""


class _Place(NamedTuple):
    """Where somebody stands in the queue; smaller goes first, and nobody stands in two."""

    urgency: Urgency
    due_s: float
    number: int


class _Waiting(NamedTuple):
    """One entry of the queue: `asked` is the place that its owner knows it by."""

    place: _Place
    asked: _Place
    since_s: float
    granted: asyncio.Future[None]


class SharedLine:
    """One wire. Not for two event loops."""

    def __init__(self, name: str, clock: Clock) -> None:
        """Begin with nobody on it."""
        self._name, self._clock = name, clock
        self._shared: Any = None
        self._queue: list[_Waiting] = []
        self._numbers = count()
        self._holder: _Place | None = None
        self._limits: dict[asyncio.Task[Any] | None, asyncio.Timeout] = {}
        self._held_since_s = 0.0
        self._held_s = 0.0
        self._load: float | None = None
        self._load_from = (clock.monotonic_s(), 0.0)

    @property
    def name(self) -> str:
        """See `Line.name`."""
        return self._name

    def shared(self, make: Callable[[], T]) -> T:
        """See `Line.shared`."""
        if self._shared is None:
            self._shared = make()
        shared: T = self._shared
        return shared

    @asynccontextmanager
    async def turn(self, urgency: Urgency, due_s: float = 0.0) -> AsyncIterator[None]:
        """See `Line.turn`."""
        place = _Place(urgency, due_s, next(self._numbers))
        await self._take(place)
        try:
            yield
        finally:
            self._leave(place)

    @property
    def wanted(self) -> bool:
        """See `Line.wanted`."""
        queue = self._queue
        while queue and queue[0].granted.done():  # cancelled: nobody to give way to
            heapq.heappop(queue)
        return bool(queue) and self._holder is not None and queue[0].place < self._holder

    async def give_way(self) -> None:
        """See `Line.give_way`."""
        place = self._holder
        assert place is not None, "only who holds the line can give way"
        if self.wanted:
            self._leave(place)
            await self._take(place)

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError as `asyncio.timeout` does, but count no time spent waiting for a turn.

        That is what this task waits in `turn` and in `give_way`: how long others hold the line says
        nothing about the device that is being talked to.
        """
        task = asyncio.current_task()
        async with asyncio.timeout(seconds) as limit:
            outer = self._limits.get(task)
            self._limits[task] = limit
            try:
                yield
            finally:
                del self._limits[task]
                if outer is not None:
                    self._limits[task] = outer

    def held_s(self) -> float:
        """Give for how many seconds, since it was made, somebody has held it."""
        since = 0.0 if self._holder is None else self._clock.monotonic_s() - self._held_since_s
        return self._held_s + since

    def load(self) -> float:
        """Give for what part of the time it was held lately, 0 to 1.

        Over LOAD_OVER_S or longer; before that over what there is.
        """
        self._note_load()
        if self._load is not None:
            return self._load
        over_s = self._clock.monotonic_s() - self._load_from[0]
        return self.held_s() / over_s if over_s > 0 else 0.0

    def waiting(self) -> int:
        """Count those who wait for a turn."""
        return sum(not entry.granted.done() for entry in self._queue)

    async def _take(self, place: _Place) -> None:
        if self._holder is None:
            self._begin(place)
            return
        granted = asyncio.get_running_loop().create_future()
        since_s = self._clock.monotonic_s()
        heapq.heappush(self._queue, _Waiting(place, place, since_s, granted))
        limit = self._limits.get(asyncio.current_task())
        left_s = _stop(limit)
        try:
            await granted
        except asyncio.CancelledError:
            if self._holder is place:  # the turn came, and the cancellation with it
                self._leave(place)
            else:
                self._queue = [entry for entry in self._queue if entry.asked is not place]
                heapq.heapify(self._queue)
            raise
        _go_on(limit, left_s)

    def _leave(self, place: _Place) -> None:
        """End the turn of `place`, if it has one, and give the line to who goes next."""
        if self._holder is not place:
            return
        self._held_s = self.held_s()
        self._holder = None
        self._promote()
        while self._queue and self._holder is None:
            following = heapq.heappop(self._queue)
            if not following.granted.done():  # done: cancelled, and about to hear of it
                self._begin(following.asked)
                following.granted.set_result(None)

    def _promote(self) -> None:
        """Let probes that have waited too long go on as polls that are due."""
        long_ago_s = self._clock.monotonic_s() - PROBE_PATIENCE_S
        if any(e.place.urgency is Urgency.PROBE and e.since_s <= long_ago_s for e in self._queue):
            self._queue = [
                e._replace(place=_Place(Urgency.POLL, e.since_s, e.place.number))
                if e.place.urgency is Urgency.PROBE and e.since_s <= long_ago_s
                else e
                for e in self._queue
            ]
            heapq.heapify(self._queue)

    def _begin(self, place: _Place) -> None:
        self._holder, self._held_since_s = place, self._clock.monotonic_s()
        self._note_load()

    def _note_load(self) -> None:
        """Take the load anew if the time over which it was taken is over."""
        now_s, held_s = self._clock.monotonic_s(), self.held_s()
        from_s, held_before_s = self._load_from
        if now_s - from_s >= LOAD_OVER_S:
            self._load = (held_s - held_before_s) / (now_s - from_s)
            self._load_from = (now_s, held_s)


def _stop(limit: asyncio.Timeout | None) -> float:
    """Let a limit stand still; give the seconds that are left of it."""
    if limit is None or limit.expired():
        return 0.0
    due_s = limit.when()
    assert due_s is not None, "a limit that stands still cannot be stopped again"
    limit.reschedule(None)
    return due_s - asyncio.get_running_loop().time()


def _go_on(limit: asyncio.Timeout | None, left_s: float) -> None:
    """Let a limit that was stopped run again."""
    if limit is not None and not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time() + left_s)
