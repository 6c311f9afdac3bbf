"""Which positions gaps name, and which they do not.

Owns the arithmetic of positions. Pure. Must not know where gaps come from, nor what is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.model import Gap


def positions(gaps: Iterable[Gap]) -> int:
    """Count the positions that `gaps` name, each once."""
    count, reached = 0, (0, 0)
    for gap in sorted(gaps, key=lambda g: (g.epoch, g.seq_from)):
        first = max(gap.seq_from, reached[1] + 1 if gap.epoch == reached[0] else 1)
        count += max(0, gap.seq_to - first + 1)
        reached = max(reached, (gap.epoch, gap.seq_to))
    return count


def within(gaps: Iterable[Gap], after: tuple[int, int], until: tuple[int, int]) -> list[Gap]:
    """Give what `gaps` name behind the epoch and seq `after`, up to `until`, cut to that.

    A gap that is cut keeps its samples: nobody knows how they spread.
    """
    return [
        replace(
            gap,
            seq_from=max(gap.seq_from, after[1] + 1 if gap.epoch == after[0] else 1),
            seq_to=min(gap.seq_to, until[1]) if gap.epoch == until[0] else gap.seq_to,
        )
        for gap in gaps
        if after < (gap.epoch, gap.seq_to) and (gap.epoch, gap.seq_from) <= until
    ]


def outermost(gaps: Iterable[Gap]) -> list[Gap]:
    """Leave out gaps within others: one that was said again, joined to its neighbours."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: (g.epoch, g.seq_from, -g.seq_to)):
        if not found or (gap.epoch, gap.seq_to) > (found[-1].epoch, found[-1].seq_to):
            found.append(gap)
    return found


def uncovered(epoch: int, first: int, last: int, gaps: Iterable[Gap]) -> list[tuple[int, int]]:
    """Give the runs of positions in `first..last` that no gap names."""
    left = [(first, last)] if first <= last else []
    for gap in gaps:
        if gap.epoch == epoch:
            left = [
                run
                for low, high in left
                for run in ((low, min(high, gap.seq_from - 1)), (max(low, gap.seq_to + 1), high))
                if run[0] <= run[1]
            ]
    return left
