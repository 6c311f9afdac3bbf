"""Pumps at one header whose best pressure is known: for figures and tests; no real plant.

Owns the simulation, seeded. The serving plugin does not use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from forebay_advisor.points import Numbers

ROWS = 60
"""Rows in which set-point and conditions stay."""
PRESSURES = np.array([4.0, 4.5, 5.0, 5.5, 6.0, 6.5])


def true_specific(pressure: Numbers, flow: Numbers, temperature: Numbers) -> Numbers:
    """KWh a m³ without noise: least at a pressure that rises with flow and temperature."""
    best = 4.4 + 0.008 * (flow - 100) + 0.03 * (temperature - 20)
    specific: Numbers = 0.2 + 0.012 * (pressure - best) ** 2 + 0.0002 * (flow - 100)
    return specific


def plant(windows: int, seed: int, *, noise: float = 0.03) -> dict[str, Numbers]:
    """Power in kW, flow in m³/h, temperature and set-point, a row a minute.

    People choose the pressure without knowing of any best. `noise` is of the power, as a part, and
    stays for a window: what nobody measures.
    """
    random = np.random.default_rng(seed)
    flow = random.uniform(80, 140, windows)
    temperature = 20 + 5 * np.sin(np.arange(windows) / 24 * 2 * np.pi) + random.normal(size=windows)
    pressure = random.choice(PRESSURES, windows)
    power = true_specific(pressure, flow, temperature) * flow
    power = power * (1 + random.normal(scale=noise, size=windows))
    rows = windows * ROWS
    return {
        "plant/Power": np.repeat(power, ROWS) + random.normal(scale=0.2, size=rows),
        "plant/Product": np.repeat(flow, ROWS) + random.normal(scale=0.5, size=rows),
        "plant/Setpoint": np.repeat(pressure, ROWS),
        "plant/Condition": np.repeat(temperature, ROWS) + random.normal(scale=0.1, size=rows),
    }
