"""Remaining life where nobody ran a machine to its end: a trend, carried on to a limit. Pure.

Owns the line through the last cycles and how sure it is (N. Draper, H. Smith, Applied Regression
Analysis, chapter 1). Must not know tags or the journal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forebay_wear.features import Numbers, filled

SURE = 1.645
"""Standard errors that hold 90 % of a normal distribution."""
LEAST = 8
"""Cycles without which no line is drawn."""


@dataclass(frozen=True)
class Life:
    """Cycles that remain: the value, and the band that holds it in nine of ten cases."""

    value: float
    low: float
    high: float


def life(values: Numbers, limit: float, *, rising: bool, most: float) -> Life | None:
    """Give the life of one sensor from its (cycles), until it is at `limit`; None of too few.

    A sensor that does not move towards its limit, or cannot be told from one that stands still,
    has `most`, with a low end that says how soon it could be.
    """
    if len(values) < LEAST or np.isnan(values).all():
        return None
    y = filled(values[:, None])[:, 0] * (1.0 if rising else -1.0)
    aim = limit if rising else -limit
    count = len(y)
    apart = np.arange(count) - (count - 1) / 2
    square = float(apart @ apart)
    slope = float(apart @ y) / square
    rest = y - y.mean() - slope * apart
    noise = float(np.sqrt(rest @ rest / (count - 2)))
    error = noise / np.sqrt(square)
    level = float(y.mean() + slope * (count - 1) / 2)
    gap = max(aim - level, 0.0)
    steep, flat = slope + SURE * error, slope - SURE * error
    low = _cycles(gap, steep, most)
    value = _cycles(gap, slope, most) if flat > 0 or not gap else most
    return Life(value, min(low, value), _cycles(gap, flat, most))


def _cycles(gap: float, slope: float, most: float) -> float:
    if gap <= 0:
        return 0.0
    return min(gap / slope, most) if slope > 0 else most
