"""Tightening curves that are made up, with faults on demand: for tests and `evaluate.py`.

Owns a coarse model of a joint: a run-down at the prevailing torque, a linear rise from the snug
point, beyond a yield point a softer one, and noise of the transducer. No measured curve is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

Vector = npt.NDArray[np.float64]
TARGET, RATE, RUN_DOWN, PREVAILING = 10.0, 0.1, 180.0, 0.4
"""Nm, Nm per degree, degrees, Nm: of a joint that is well."""
CHECK: Mapping[str, object] = {
    "kind": "curve",
    "torque": "station/Torque",
    "angle": "station/Angle",
    "snug": 1.5,
    "final_torque": [9.3, 10.7],
    "final_angle": [70.0, 100.0],
    "prevailing": 0.8,
    "drop": 0.7,
    "yield": "forbid",
    "yield_part": 0.6,
    "slope_span": 15.0,
    "envelope": {"teach": 20, "span": 80.0, "sigma": 4.0, "least": 0.5},
}
"""The limits that go with it."""
FAULTS = ("cross-thread", "stripped", "yielded", "under-torque", "no washer", "stick-slip", "soft")


def curve(
    random: np.random.Generator, fault: str = "", *, noise: float = 0.1, step: float = 1.0
) -> tuple[Vector, Vector]:
    """Torque (Nm) and angle (degrees) of one tightening, a point each `step` degrees.

    `noise`: standard deviation of the transducer, Nm. Joints differ: the rate by 3 %, the final
    torque by 1 % (standard deviations).
    """
    rate = RATE * (1 + 0.03 * random.standard_normal())
    target = TARGET * (1 + 0.01 * random.standard_normal())
    prevailing, run_down, yields = PREVAILING, RUN_DOWN, 1e9
    if fault == "cross-thread":
        prevailing = random.uniform(1.0, 1.4)
    elif fault == "yielded":
        yields = random.uniform(0.6, 0.75) * target
    elif fault == "under-torque":
        target *= random.uniform(0.7, 0.88)
    elif fault == "no washer":
        rate *= random.uniform(1.5, 1.8)
    elif fault == "soft":
        rate *= random.uniform(0.5, 0.65)
    turned = np.arange(0.0, 2 * TARGET / rate + run_down, step)
    up = np.maximum(turned - run_down, 0.0) * rate
    torque = prevailing + np.where(up > yields, yields + 0.25 * (up - yields), up)
    if fault == "stripped":
        peak = random.uniform(0.5, 0.8) * target
        torque = np.where(torque > peak, peak - 0.05 * (up - peak), torque)
        torque = np.maximum(torque, 0.3 * peak)[: int((run_down + 120) / step)]
    elif fault == "stick-slip":
        saw = random.uniform(1.5, 2.5) * ((turned % 12.0) / 12.0)
        torque = np.where(up > 2.0, torque - saw, torque)
    reached = np.flatnonzero(torque >= target)
    last = int(reached[0]) + 1 if len(reached) else len(torque)
    seen = torque[:last] + noise * random.standard_normal(last)
    return np.round(seen, 4), np.round(turned[:last], 2)
