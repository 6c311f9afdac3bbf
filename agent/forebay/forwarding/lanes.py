"""What is served next: live before backfill, urgent before less urgent, and a floor below each.

Owns the choice. Pure: bytes in, a lane and a stream out. Must not know records, credit or time.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from forebay.model import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLOOR = 0.1
"""The part of the bytes that each leaves to all below it together while they wait."""

K = TypeVar("K")


class Lane(StrEnum):
    """The two ways to a destination: what is fresh, and what has waited (`historical`)."""

    LIVE = "live"
    BACKFILL = "backfill"


class Turns(Generic[K]):
    """Strict priority with a floor: remembers what each owes to those below it.

    While one and a less urgent one both have records, serving the upper one by n bytes makes it owe
    n * FLOOR / (1 - FLOOR) to the lower ones; it is passed over while it owes anything. Each has
    its own debt: four that are all busy get about 90, 9, 0.9 and 0.1 % of the bytes. A debt ends
    when nobody below waits.
    """

    def __init__(self, order: Sequence[K]) -> None:
        """Take turns among `order`, most urgent first."""
        self._order = tuple(order)
        self._owed: dict[K, float] = dict.fromkeys(self._order, 0.0)

    def pick(self, ready: Sequence[K]) -> K:
        """Give the one to serve next.

        `ready` are those with records, most urgent first, at least one.
        """
        for one in ready[:-1]:
            if self._owed[one] <= 0:
                return one
        return ready[-1]

    def served(self, one: K, ready: Sequence[K], size_bytes: int) -> None:
        """Account for `size_bytes` sent from `one`, which `pick(ready)` gave."""
        place = ready.index(one)
        for above in ready[:place]:
            self._owed[above] -= size_bytes
        if place + 1 < len(ready):
            self._owed[one] += size_bytes * FLOOR / (1 - FLOOR)
        for idle in set(self._order).difference(ready[:-1]):
            self._owed[idle] = 0.0


class Lanes:
    """Turns between the lanes, and in each lane turns among the streams."""

    def __init__(self) -> None:
        self._lanes = Turns(tuple(Lane))
        self._streams = {lane: Turns(tuple(Stream)) for lane in Lane}

    def pick(self, ready: Mapping[Lane, Sequence[Stream]]) -> tuple[Lane, Stream]:
        """Give what to serve next; `ready` has the streams with records of at least one lane."""
        lane = self._lanes.pick(_busy(ready))
        return lane, self._streams[lane].pick(ready[lane])

    def served(
        self, lane: Lane, stream: Stream, ready: Mapping[Lane, Sequence[Stream]], size_bytes: int
    ) -> None:
        """Account for `size_bytes` sent of what `pick(ready)` gave."""
        self._lanes.served(lane, _busy(ready), size_bytes)
        self._streams[lane].served(stream, ready[lane], size_bytes)


def _busy(ready: Mapping[Lane, Sequence[Stream]]) -> list[Lane]:
    return [lane for lane in Lane if ready.get(lane)]
