"""A tag over a time in so many steps: what a chart needs of any number of samples.

Owns the arithmetic of steps. Must not know how it is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from forebay_fleet.losses import losses
from forebay_fleet.values.series import chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay_fleet.losses import Loss
    from forebay_fleet.query import TagHistory
    from forebay_fleet.values.series import Columns

MOST_STEPS = 10_000
_SEVERITY = 0xC000_0000
"""The bits of a StatusCode that are 0 where it is good (OPC UA Part 4, 7.39)."""


class Steps(NamedTuple):
    """A range in steps of the same length; arrays have the shape (steps,).

    Step i is from `start_ns + i * step_ns` on, before the next one's begin. `samples` counts
    all of them, `good` those of good quality, `numbers` those that have a number: all but bad ones,
    texts, blobs, NaN and infinities. What follows is of these, NaN where a step has none; `mean`
    gives each the same weight.
    """

    start_ns: int
    step_ns: int
    samples: NDArray[np.int64]
    good: NDArray[np.int64]
    numbers: NDArray[np.int64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    mean: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]


class Range(NamedTuple):
    """Steps of a tag, the unit in its newest schema, and what is missing there."""

    steps: Steps
    unit: str
    missing: list[Loss]


def in_steps(history: TagHistory, span_ns: tuple[int, int], steps: int) -> Range:
    """Give the samples of a tag with source times in `span_ns`, both ends inclusive, in steps.

    At most `steps` of them, 1 up to MOST_STEPS, of a whole number of ns each. Takes memory for
    the steps and for one piece of the store, whatever the number of samples.

    Raises:
        DecodingError: the store holds a batch that cannot be read.
    """
    summing = _Summing.over(span_ns, steps)
    unit, unit_ns = history.columns[-1][0].message.tags[history.columns[-1][1]].unit, -1
    for schema, column in history.columns:
        for _, found in chunks(history, schema, [column], span_ns):
            if not len(found.times_ns):
                continue
            summing.add(found)
            newest_ns = int(found.times_ns.max())
            if newest_ns > unit_ns:
                unit, unit_ns = schema.message.tags[column].unit, newest_ns
    return Range(summing.steps(), unit, losses(history, span_ns))


class _Summing:
    """Steps that are not whole yet."""

    def __init__(self, start_ns: int, step_ns: int, steps: int) -> None:
        self._start_ns, self._step_ns = start_ns, step_ns
        self._samples = np.zeros(steps, np.int64)
        self._good = np.zeros(steps, np.int64)
        self._numbers = np.zeros(steps, np.int64)
        self._sum = np.zeros(steps)
        self._min = np.full(steps, np.inf)
        self._max = np.full(steps, -np.inf)
        self._first, self._last = np.full(steps, np.nan), np.full(steps, np.nan)
        self._first_ns = np.full(steps, np.iinfo(np.int64).max)
        self._last_ns = np.full(steps, np.iinfo(np.int64).min)

    @classmethod
    def over(cls, span_ns: tuple[int, int], steps: int) -> Self:
        length_ns = span_ns[1] - span_ns[0] + 1
        step_ns = -(-length_ns // steps)
        return cls(span_ns[0], step_ns, -(-length_ns // step_ns))

    def add(self, found: Columns) -> None:
        step = (found.times_ns - self._start_ns) // self._step_ns
        steps = len(self._samples)
        self._samples += np.bincount(step, minlength=steps)
        is_good = (found.quality & np.uint32(_SEVERITY)) == 0
        self._good += np.bincount(step[is_good], minlength=steps)
        valued = np.isfinite(found.numbers)
        if not valued.any():
            return
        step, times, numbers = step[valued], found.times_ns[valued], found.numbers[valued]
        order = np.lexsort((found.received_ns[valued], times))
        step, times, numbers = step[order], times[order], numbers[order]
        begins = np.flatnonzero(np.r_[True, step[1:] != step[:-1]])
        ends = np.r_[begins[1:], len(step)] - 1
        at = step[begins]  # each step once, as times ascend
        self._numbers[at] += ends - begins + 1
        self._sum[at] += np.add.reduceat(numbers, begins)
        self._min[at] = np.minimum(self._min[at], np.minimum.reduceat(numbers, begins))
        self._max[at] = np.maximum(self._max[at], np.maximum.reduceat(numbers, begins))
        sooner, later = times[begins] < self._first_ns[at], times[ends] >= self._last_ns[at]
        self._first[at[sooner]] = numbers[begins[sooner]]
        self._first_ns[at[sooner]] = times[begins[sooner]]
        self._last[at[later]] = numbers[ends[later]]
        self._last_ns[at[later]] = times[ends[later]]

    def steps(self) -> Steps:
        some = self._numbers > 0
        mean = np.full(len(some), np.nan)
        np.divide(self._sum, self._numbers, out=mean, where=some)
        return Steps(
            *(self._start_ns, self._step_ns, self._samples, self._good, self._numbers),
            np.where(some, self._min, np.nan),
            np.where(some, self._max, np.nan),
            *(mean, self._first, self._last),
        )
