"""Which numbers of one epoch are accounted for: an interval set, and the hash chain over them.

Pure: owns the arithmetic. Must not know where it is stored (`store`) or how it is told (`session`).

Invariants of `Coverage`: `committed` is the largest n such that 1..n are all covered (0 for none);
islands are disjoint, ascending, not adjacent, and all lie beyond `committed + 1`.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_ISLANDS = 1024
"""With more holes the gateway must send in order: bounds a row of the store to 16 KiB."""
MAX_REPORTED_ISLANDS = 16
"""What one `Committed` message carries."""
MAX_GAPPED = 1 << 53
"""Where a line's `gapped` stops, so that no gateway can make it overflow."""
CUT = 2
"""How an epoch has ended whose length nobody here can know: the store was put back before that."""
GENESIS = bytes(32)
"""The chain before the first record."""


class Island(NamedTuple):
    """A run of covered sequence numbers, both ends inclusive."""

    first: int
    last: int


class Coverage:
    """A growing set of sequence numbers >= 1; numbers are added, never taken away."""

    __slots__ = ("_islands", "committed")

    def __init__(self, committed: int = 0, islands: Iterable[Island] = ()) -> None:
        """Start from what `committed` and `islands` of another coverage said."""
        self.committed = committed
        self._islands = list(islands)

    @property
    def islands(self) -> tuple[Island, ...]:
        """All runs beyond `committed`, ascending."""
        return tuple(self._islands)

    @property
    def count(self) -> int:
        """How many numbers are covered."""
        return self.committed + sum(last - first + 1 for first, last in self._islands)

    @property
    def end(self) -> int:
        """The first number behind all that are covered."""
        return (self._islands[-1].last if self._islands else self.committed) + 1

    def covers(self, seq: int) -> bool:
        """Whether `seq` is in the set."""
        if seq <= self.committed:
            return seq >= 1
        at = bisect_right(self._islands, seq, key=_first) - 1
        return at >= 0 and seq <= self._islands[at].last

    def add(self, first: int, last: int) -> None:
        """Cover `first..last`, both inclusive."""
        assert 1 <= first <= last, (first, last)
        if first <= self.committed + 1 and not self._islands:
            self.committed = max(self.committed, last)
            return
        low = bisect_left(self._islands, first - 1, key=_last)
        high = bisect_right(self._islands, last + 1, key=_first)
        if low < high:
            first = min(first, self._islands[low].first)
            last = max(last, self._islands[high - 1].last)
        if first <= self.committed + 1:
            self.committed = max(self.committed, last)
            del self._islands[low:high]
        else:
            self._islands[low:high] = [Island(first, last)]

    def holes(self, first: int, last: int) -> list[Island]:
        """The runs of `first..last` that are not covered, ascending."""
        found: list[Island] = []
        start = max(first, self.committed + 1)
        for island in self._islands:
            if start > last or island.first > last:
                break
            if island.first > start:
                found.append(Island(start, island.first - 1))
            start = max(start, island.last + 1)
        if start <= last:
            found.append(Island(start, last))
        return found

    def reported(self, touched: Iterable[int] = ()) -> tuple[Island, ...]:
        """Give the islands that one message tells: at most `MAX_REPORTED_ISLANDS`.

        Those that hold a number of `touched`, the last ones first, then the longest.
        """
        if len(self._islands) <= MAX_REPORTED_ISLANDS:
            return self.islands
        chosen: dict[Island, None] = {}
        for number in reversed(list(touched)):
            at = bisect_right(self._islands, number, key=_first) - 1
            if at >= 0 and number <= self._islands[at].last:
                chosen[self._islands[at]] = None
        longest = sorted(self._islands, key=lambda island: island.first - island.last)
        chosen |= dict.fromkeys(longest[:MAX_REPORTED_ISLANDS])
        return tuple(sorted(list(chosen)[:MAX_REPORTED_ISLANDS]))

    def pack(self) -> bytes:
        """The islands as little-endian uint64 pairs, for the store."""
        return b"".join(struct.pack("<2Q", *island) for island in self._islands)

    @classmethod
    def unpack(cls, committed: int, islands: bytes) -> Coverage:
        """Undo `pack`; struct.error if `islands` is not a whole number of pairs."""
        return cls(committed, (Island(*pair) for pair in struct.iter_unpack("<2Q", islands)))


def extend(chain: bytes, record_hash: bytes) -> bytes:
    """Chain one more record: SHA-256 of the chain so far followed by the record's hash.

    A position that a Gap accounts for adds nothing.
    """
    return hashlib.sha256(chain + record_hash).digest()


def _first(island: Island) -> int:
    return island.first


def _last(island: Island) -> int:
    return island.last
