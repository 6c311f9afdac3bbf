"""From levels to the time until empty, with an interval. Pure.

Owns the slope. It is the median of the slopes between pairs of points (Theil 1950, Sen 1968), which
a third of wild points does not move. Its interval comes from how far the rates of parts of the time
differ: points of a level follow one another and are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector = npt.NDArray[np.float64]
NS = 1_000_000_000
POINTS_LEAST = 8


@dataclass(frozen=True)
class Forecast:
    """What is expected.

    Attributes:
        level: now, by the line through the points.
        rate: consumption in units a second; `rate_low` to `rate_high`: 90 %, until it is empty.
        empty_s: seconds until `empty`; infinite where nothing is consumed. `soonest_s` to
            `latest_s` is its interval.
    """

    level: float
    rate: float
    rate_low: float
    rate_high: float
    empty_s: float
    soonest_s: float
    latest_s: float


def forecast(points: Sequence[tuple[int, float]], empty: float) -> Forecast | None:
    """Forecast from (time in ns, level) since the last refill; None from too few of them."""
    if len(points) < POINTS_LEAST:
        return None
    times = np.array([at for at, _ in points], np.int64)
    levels = np.array([level for _, level in points], np.float64)
    seconds = (times - times[-1]) / NS
    if seconds[0] >= 0:
        return None
    slopes = _slopes(seconds, levels)
    slope = float(np.median(slopes))
    level = float(np.median(levels - slope * seconds))
    left = max(level - empty, 0.0)
    low, high = _interval(slopes, seconds, levels, slope, _until(left, -slope))
    return Forecast(
        level,
        -slope,
        -high,
        -low,
        _until(left, -slope),
        _until(left, -low),
        _until(left, -high),
    )


def _until(left: float, rate: float) -> float:
    if left <= 0:
        return 0.0
    return left / rate if rate > 0 else float("inf")


def _slopes(seconds: Vector, levels: Vector) -> Vector:
    """Slopes between all pairs that are apart by a third of the whole time at least, sorted."""
    first, second = np.triu_indices(len(seconds), 1)
    apart = seconds[second] - seconds[first]
    wide = apart >= (seconds[-1] - seconds[0]) / 3
    found = (levels[second] - levels[first])[wide] / apart[wide]
    return np.asarray(np.sort(found), np.float64)


def _interval(
    slopes: Vector, seconds: Vector, levels: Vector, slope: float, ahead_s: float
) -> tuple[float, float]:
    """The 90 % interval of the mean slope over the `ahead_s` to come.

    The points are cut into blocks; the slope of each is one independent look at the consumption,
    so their spread has in it what is not constant. Sen's own interval takes points for independent
    and would be far too narrow. What is to come differs from the mean as the blocks do, the less
    the longer it is.
    """
    blocks = np.array_split(np.arange(len(seconds)), min(8, len(seconds) // 4))
    parts = [
        float(np.median(_slopes(seconds[block], levels[block])))
        for block in blocks
        if len(block) >= 3 and seconds[block[-1]] > seconds[block[0]]
    ]
    if len(parts) < 2:
        return float(slopes[0]), float(slopes[-1])
    block_s = -float(seconds[0]) / len(parts)
    ahead = block_s / max(ahead_s, block_s)
    spread = float(np.std(parts, ddof=1)) * float(np.sqrt(1 / len(parts) + ahead))
    half = _STUDENT[len(parts) - 2] * spread
    return slope - half, slope + half


_STUDENT = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895)
"""Student's t, two-sided 90 %, for 1 to 7 degrees of freedom."""
