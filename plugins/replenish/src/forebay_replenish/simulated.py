"""Containers that are made up: for tests and `evaluate.py`.

Owns a coarse model: parts taken at random moments at a mean rate, a scale that shakes, refills. No
measured level is in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


def level(
    random: np.random.Generator,
    seconds: int,
    *,
    full: float = 200.0,
    per_s: float = 0.05,
    noise: float = 0.5,
    spikes: float = 0.0,
) -> Vector:
    """(seconds) level each second: `full` less parts that are taken at random (Poisson).

    `noise`: standard deviation of the scale; `spikes`: part of the readings that are off by 50.
    """
    left = np.maximum(full - np.cumsum(random.poisson(per_s, seconds)), 0.0)
    seen = left + noise * random.standard_normal(seconds)
    hit = random.random(seconds) < spikes
    off: Vector = np.where(hit, random.choice([-50.0, 50.0], seconds), 0.0)
    return np.asarray(seen + off, np.float64)
