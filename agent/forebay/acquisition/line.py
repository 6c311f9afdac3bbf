"""Whose turn it is on a wire that several devices share: writes first, then polls by deadline.

Owns the order of turns and the account of how long the wire was held. Must not know protocols, nor
what is done in a turn. Implements `forebay.interfaces.Line`.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forebay.clock import Clock
    from forebay.interfaces import Urgency

T = TypeVar("T")


class _Place(NamedTuple):
    """Where somebody stands in the queue; smaller goes first, and nobody stands in two."""

    urgency: Urgency
    due_s: float
    number: int


class SharedLine:
    """One wire. Not for two event loops."""

    def __init__(self, name: str, clock: Clock) -> None:
        """Begin with nobody on it."""
        self._name, self._clock = name, clock
        self._shared: Any = None
        self._queue: list[tuple[_Place, asyncio.Future[None]]] = []
        self._numbers = count()
        self._holder: _Place | None = None
        self._held_since_s = 0.0
        self._held_s = 0.0

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
        return bool(self._queue) and self._holder is not None and self._queue[0][0] < self._holder

    async def give_way(self) -> None:
        """See `Line.give_way`."""
        place = self._holder
        assert place is not None, "only who holds the line can give way"
        if self.wanted:
            self._leave(place)
            await self._take(place)

    def held_s(self) -> float:
        """Give for how many seconds, since it was made, somebody has held it."""
        since = 0.0 if self._holder is None else self._clock.monotonic_s() - self._held_since_s
        return self._held_s + since

    def waiting(self) -> int:
        """Count those who wait for a turn."""
        return len(self._queue)

    async def _take(self, place: _Place) -> None:
        if self._holder is None and not self._queue:
            self._begin(place)
            return
        granted = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (place, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if self._holder is place:  # the turn came, and the cancellation with it
                self._leave(place)
            else:
                self._queue = [entry for entry in self._queue if entry[0] is not place]
                heapq.heapify(self._queue)
            raise

    def _leave(self, place: _Place) -> None:
        """End the turn of `place`, if it has one, and give the line to who goes next."""
        if self._holder is not place:
            return
        self._held_s = self.held_s()
        self._holder = None
        while self._queue and self._holder is None:
            following, granted = heapq.heappop(self._queue)
            if not granted.done():  # done: cancelled, and about to hear of it
                self._begin(following)
                granted.set_result(None)

    def _begin(self, place: _Place) -> None:
        self._holder, self._held_since_s = place, self._clock.monotonic_s()
