"""Which records a destination has: runs of sequence numbers, for each stream's epoch.

Owns the arithmetic that uplinks need to tell how far they are. Pure. Must not know who counts, nor
where the account is kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from forebay.model import Position, Stream


class Runs:
    """A set of positive integers, kept as its runs: disjoint, ascending, not touching."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        """Start with `runs`, both ends inclusive, in any order."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in runs:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        return self.covers(number, number)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def add(self, first: int, last: int) -> None:
        """Take in `first..last`, both inclusive; nothing if `last` comes before `first`."""
        if last < first:
            return
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def covers(self, first: int, last: int) -> bool:
        """Whether all of `first..last` is here."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and last <= self._lasts[at]

    @property
    def whole(self) -> int:
        """The last number up to which none is missing from 1 on; 0 for none."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def islands(self) -> tuple[tuple[int, int], ...]:
        """The runs beyond `whole`."""
        return tuple(self)[1 if self.whole else 0 :]


class Account:
    """What a destination has of each stream's epoch."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._runs: dict[tuple[Stream, int], Runs] = {}

    def __contains__(self, position: Position) -> bool:
        runs = self._runs.get(position[:2])
        return runs is not None and position.seq in runs

    def __iter__(self) -> Iterator[tuple[Stream, int, Runs]]:
        """Walk the epochs that have something, by stream and age."""
        for stream, epoch in sorted(self._runs, key=lambda key: (key[0].number, key[1])):
            yield stream, epoch, self._runs[stream, epoch]

    def add(self, stream: Stream, epoch: int, first: int, last: int) -> None:
        """Take in the seqs `first..last` of an epoch, both inclusive."""
        self._runs.setdefault((stream, epoch), Runs()).add(first, last)

    def runs(self, stream: Stream, epoch: int) -> Runs:
        """Give what there is of one epoch."""
        return self._runs.get((stream, epoch), Runs())

    def keep(self, epochs: Iterable[tuple[Stream, int]]) -> None:
        """Forget all epochs but `epochs` and, of each stream, the newest."""
        newest = dict(sorted(self._runs, key=lambda key: key[1]))
        wanted = {*epochs, *newest.items()}
        self._runs = {key: runs for key, runs in self._runs.items() if key in wanted}
