"""Which seqs of one epoch are known: a set of runs.

Pure: owns the arithmetic. Must not know what "known" means to whom.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Coverage:
    """A set of seqs from 1 on, kept as runs that neither touch nor overlap."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        """Start with `runs`, each with both ends inclusive."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in runs:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Walk the runs, ascending."""
        return iter(zip(self._firsts, self._lasts, strict=True))

    @property
    def whole(self) -> int:
        """The largest n such that 1..n are all here; 0 if 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def top(self) -> int:
        """The largest seq; 0 if there is none."""
        return self._lasts[-1] if self._lasts else 0

    @property
    def islands(self) -> int:
        """How many runs lie behind a hole."""
        return len(self._firsts) - (self.whole > 0)

    def covers(self, seq: int) -> bool:
        """Whether `seq` is in the set."""
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]

    def count(self, first: int, last: int) -> int:
        """Count the seqs of `first..last` that are in the set."""
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        return sum(
            min(self._lasts[at], last) - max(self._firsts[at], first) + 1 for at in range(low, high)
        )

    def missing(self, first: int, last: int) -> int:
        """Give the first seq of `first..last` that is not in the set; 0 if all are."""
        at = bisect_right(self._firsts, first) - 1
        if at >= 0 and first <= self._lasts[at]:
            first = self._lasts[at] + 1
        return first if first <= last else 0

    def add(self, first: int, last: int) -> None:
        """Put `first..last` in; nothing if `last` is below `first`."""
        if last < first:
            return
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Take `first..last` out; nothing if `last` is below `first`."""
        if last < first:
            return
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        if low >= high:
            return
        left = [(self._firsts[low], first - 1), (last + 1, self._lasts[high - 1])]
        kept = [(begin, end) for begin, end in left if begin <= end]
        self._firsts[low:high] = [begin for begin, _ in kept]
        self._lasts[low:high] = [end for _, end in kept]

    def add_within(self, first: int, last: int, bounds: Coverage) -> None:
        """Put in what of `first..last` lies in `bounds` too."""
        low = bisect_left(bounds._lasts, first)
        high = bisect_right(bounds._firsts, last)
        for at in range(low, high):
            self.add(max(first, bounds._firsts[at]), min(last, bounds._lasts[at]))
