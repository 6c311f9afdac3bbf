"""A pump and a tank with faults that are known, for figures and tests: no real machine.

Owns the simulation, seeded. The serving plugin does not use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay_twin.models import Numbers

HEAD_ZERO, BEND, SPEED = 40.0, 0.0009, 1450.0
AREA = 12.0


def pump(rows: int, seed: int, *, wear: float = 0.0, begin: int = 0) -> dict[str, Numbers]:
    """Head, flow and speed once a second; from row `begin` on, `wear` of the head is lost.

    Flow wanders and follows valve steps; every reading has noise of 0.5 % of its range.
    """
    random = np.random.default_rng(seed)
    steps = np.repeat(random.uniform(60, 140, rows // 100 + 1), 100)[:rows]
    flow = np.convolve(np.pad(steps, (29, 0), "edge"), np.ones(30) / 30, "valid")
    speed = np.repeat(random.uniform(1350, 1500, rows // 400 + 1), 400)[:rows]
    head = HEAD_ZERO * (speed / SPEED) ** 2 - BEND * flow**2
    head[begin:] *= 1 - wear
    return {
        "pump/Head": head + random.normal(scale=0.2, size=rows),
        "pump/Flow": flow + random.normal(scale=0.7, size=rows),
        "pump/Speed": speed + random.normal(scale=3, size=rows),
    }


def tank(rows: int, seed: int, *, leak: float = 0.0, begin: int = 0) -> dict[str, Numbers]:
    """Level in m, flow in and out in m³/h once in ten seconds; from `begin` on `leak` m³/h go."""
    random = np.random.default_rng(seed)
    flow_in = np.repeat(random.uniform(10, 30, rows // 60 + 1), 60)[:rows]
    flow_out = 20 + np.cumsum(random.normal(scale=0.05, size=rows))
    lost = np.where(np.arange(rows) >= begin, leak, 0.0)
    net = flow_in - flow_out - lost
    level = 3 + np.concatenate([[0.0], np.cumsum((net[1:] + net[:-1]) / 2)]) * 10 / 3600 / AREA
    return {
        "tank/Level": level + random.normal(scale=0.001, size=rows),
        "tank/In": flow_in + random.normal(scale=0.1, size=rows),
        "tank/Out": flow_out + random.normal(scale=0.1, size=rows),
    }
