"""Operating points that were seen, and which of them took less energy when things were alike. Pure.

Owns the search. Must not know tags, windows or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
ALIKE_MAX = 500
"""So many like cases are compared with each other at most."""
SURE = 1.645
"""Standard errors that hold 90 % of a normal distribution."""


@dataclass(frozen=True)
class Rule:
    """When points are alike, and when advice is worth it.

    Attributes:
        alike: distance in deviations of the conditions, root mean square, up to which they are.
        near: the same for set-points that count as one.
        support: points that an operating point needs to be known.
        least: part of the energy that must be saved, at the low end of the band.
    """

    alike: float
    near: float
    support: int
    least: float


@dataclass(frozen=True)
class Advice:
    """An operating point that took less.

    Attributes:
        knobs: its set-points.
        best: its energy a unit; `saving` is what it saves of that of the point that is run now, as
            a part, in the band from `low` to `high` (90 %).
        seen: how many points say so.
    """

    knobs: Numbers
    best: float
    saving: float
    low: float
    high: float
    seen: int


@dataclass(frozen=True)
class Points:
    """(points) energy a unit, (points, conditions), (points, knobs)."""

    specific: Numbers
    conditions: Numbers
    knobs: Numbers

    def alike(self, conditions: Numbers, rule: Rule) -> Points:
        """Those whose conditions are like these; the most like, if there are many."""
        apart = distances(self.conditions, conditions)
        near = np.argsort(apart, kind="stable")[:ALIKE_MAX]
        near = np.sort(near[apart[near] <= rule.alike])
        return Points(self.specific[near], self.conditions[near], self.knobs[near])


def distances(rows: Numbers, one: Numbers) -> Numbers:
    """(rows) root mean square distance to `one`, in deviations of the columns of `rows`."""
    if not rows.size:
        return np.zeros(len(rows))
    spread = rows.std(axis=0)
    apart = (rows - one) / np.where(spread > 0, spread, 1.0)
    root: Numbers = np.sqrt(np.mean(apart**2, axis=1))
    return root


def advise(points: Points, conditions: Numbers, knobs: Numbers, rule: Rule) -> Advice | None:
    """Give the best known point under such conditions; None where none is surely better.

    Of each point that was seen under like conditions, those with set-points near it make its mean
    and standard error. Half of them, drawn by their order, choose the best; the other half tells
    what it takes, so that luck which chose it is not counted as saving.
    """
    some = points.alike(conditions, rule)
    if len(some.specific) < 2 * rule.support:
        return None
    spread = points.knobs.std(axis=0)
    scaled = some.knobs / np.where(spread > 0, spread, 1.0)
    here = knobs / np.where(spread > 0, spread, 1.0)
    apart = np.sqrt(np.mean((scaled[:, None, :] - scaled[None, :, :]) ** 2, axis=2))
    near = apart <= rule.near
    now = np.sqrt(np.mean((scaled - here) ** 2, axis=1)) <= rule.near
    chooses = np.arange(len(scaled)) % 2 == 0
    counts = (near & chooses).sum(axis=1)
    known = (counts >= rule.support / 2) & (~now)
    if now.sum() < rule.support or not known.any():
        return None
    sums = (near & chooses) @ some.specific
    means = np.where(known, sums / np.maximum(counts, 1), np.inf)
    best = int(means.argmin())
    told = near[best] & ~chooses
    if told.sum() < rule.support / 2:
        return None
    mean, error = _mean(some.specific[told])
    mean_now, error_now = _mean(some.specific[now])
    saving = 1 - mean / mean_now
    error_of_ratio = mean / mean_now * np.hypot(error / mean, error_now / mean_now)
    low, high = saving - SURE * error_of_ratio, saving + SURE * error_of_ratio
    if low < rule.least:
        return None
    chosen = some.knobs[near[best]].mean(axis=0)
    seen = int(near[best].sum())
    return Advice(chosen, mean, float(saving), float(low), float(high), seen)


def _mean(values: Numbers) -> tuple[float, float]:
    """Mean and its standard error."""
    error = float(values.std(ddof=1)) / np.sqrt(len(values)) if len(values) > 1 else np.inf
    return float(values.mean()), float(error)
