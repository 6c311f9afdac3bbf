"""What a model sees of the last cycles of a machine. Pure; must not know models or tags.

Training and serving both come through here, so they cannot differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

CYCLES = 30
"""So many cycles are looked at; a machine that is new has fewer."""
LAST = 5
"""So many at their end are looked at apart."""
KINDS = ("mean", "last", "slope", "spread")


def names(sensors: list[str]) -> list[str]:
    """Give the names of the columns of `features`: KIND:SENSOR, and the number of cycles."""
    return [f"{kind}:{sensor}" for kind in KINDS for sensor in sensors] + ["cycles"]


def sensors_of(columns: list[str]) -> list[str]:
    """Give the sensors that such names speak of, in their order."""
    return [name.removeprefix("mean:") for name in columns if name.startswith("mean:")]


def features(cycles: Numbers) -> Numbers:
    """Give (columns) of the standardised `cycles` (cycles, sensors); of them the last CYCLES.

    Mean, mean of the last LAST, slope in units a ten cycles, standard deviation, number of cycles.
    A value that is missing counts as the one before it; a sensor without any value gives NaN.
    """
    some = filled(cycles[-CYCLES:])
    count = len(some)
    mean = some.mean(axis=0)
    apart = np.arange(count, dtype=np.float64) - (count - 1) / 2
    slope = apart @ (some - mean) / max(float(apart @ apart), 1.0)
    last = some[-LAST:].mean(axis=0)
    return np.concatenate([mean, last, slope * 10, some.std(axis=0), [float(count)]])


def filled(cycles: Numbers) -> Numbers:
    """Put the value before it in the place of each NaN, and the first one there is before that."""
    missing = np.isnan(cycles)
    if not missing.any():
        return cycles
    rows = np.where(missing, -1, np.arange(len(cycles))[:, None])
    before = np.maximum.accumulate(rows, axis=0)
    first = np.argmin(missing, axis=0)
    held: Numbers = np.take_along_axis(cycles, np.where(before < 0, first, before), axis=0)
    return held
