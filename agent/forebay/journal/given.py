"""Which records a consumer has been given and has not passed: what must not change under it.

Owns runs of positions. Coarse on purpose: a segment counts as given whole with its first record, so
that a mark is made durable once a segment and not once a read. Pure. Must not know files.
"""

from __future__ import annotations

from typing import NamedTuple

RUNS_MOST = 64
"""Runs that are kept apart; more become one, which only keeps more from being thinned."""

Spot = tuple[int, int]
"""Epoch and seq within one stream."""


class Run(NamedTuple):
    """All records from `first` to `last`, both inclusive."""

    first: Spot
    last: Spot


Runs = tuple[Run, ...]


def touches(runs: Runs, first: Spot, last: Spot) -> bool:
    """Whether any of the records from `first` to `last` is given."""
    return any(run.first <= last and first <= run.last for run in runs)


def joined(runs: Runs, segment: Run, before: Run | None) -> Runs:
    """Give `runs` and `segment`, which becomes one with its neighbour `before` if that is given."""
    if touches(runs, *segment):
        return runs
    for number, run in enumerate(runs):
        if before is not None and before.first <= run.last <= before.last:
            longer = run._replace(last=segment.first)
            return (*runs[:number], longer, *runs[number + 1 :])
    return bounded((*runs, Run(segment.first, segment.first)))


def bounded(runs: Runs) -> Runs:
    """Give at most `RUNS_MOST` runs that hold all of `runs`, in order."""
    ordered = sorted(runs)
    if len(ordered) <= RUNS_MOST:
        return tuple(ordered)
    rest = ordered[RUNS_MOST - 1 :]
    return (*ordered[: RUNS_MOST - 1], Run(rest[0].first, max(run.last for run in rest)))


def newest(runs: Runs) -> Runs:
    """Give the last `RUNS_MOST` runs: what is to hold no record too many."""
    return tuple(sorted(runs)[-RUNS_MOST:])


def records(runs: Runs) -> int:
    """Count the records of runs that each lie in one epoch."""
    return sum(run.last[1] - run.first[1] + 1 for run in runs)


def behind(runs: Runs, spot: Spot) -> Runs:
    """Give what of `runs` lies behind `spot`: the rest is passed."""
    return tuple(run for run in runs if run.last > spot)
