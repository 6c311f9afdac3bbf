"""Figures of the advisor plugin through its own `process`.

    python plugins/advisor/evaluate.py [--data SKAB]

Without data: a simulated plant whose best set-point is known, so that each advice can be held
against what following it would truly save. With the folder of the Skoltech Anomaly Benchmark: the
energy a litre of a real pump; nobody set anything there, so there is no advice.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np

from forebay_advisor import Advisor, simulated
from forebay_plugin.testing import Frame, Ran, run

PLUGIN = Path(__file__).resolve().parent
WINDOWS, SEEDS = 1500, range(5)
NUMBER = re.compile(r"plant/Setpoint ([0-9.]+)")
NS_A_MINUTE = 60 * 10**9


def follow(columns: dict[str, np.ndarray], rate_hz: float) -> Ran:
    """Let the plugin follow a plant."""
    return run(Advisor, PLUGIN, [Frame.sampled(columns, rate_hz=rate_hz)])


def simulation(noise: float) -> None:
    """Print how advice holds, over all seeds."""
    told, true, inside, asked = [], [], [], 0
    for seed in SEEDS:
        columns = simulated.plant(WINDOWS, seed, noise=noise)
        ran = follow(columns, 1 / 60)
        start = 1_700_000_000 * 10**9
        asked += len(ran["saving"])
        savings = dict(zip(ran["saving"].times_ns.tolist(), ran["saving"].values, strict=True))
        lows = dict(zip(ran["saving_low"].times_ns.tolist(), ran["saving_low"].values, strict=True))
        highs = dict(
            zip(ran["saving_high"].times_ns.tolist(), ran["saving_high"].values, strict=True)
        )
        for at, text in zip(ran["advice"].times_ns.tolist(), ran["advice"].values, strict=True):
            row = (at - start) // NS_A_MINUTE
            window = slice(row - simulated.ROWS + 1, row + 1)
            flow = columns["plant/Product"][window].mean()
            temperature = columns["plant/Condition"][window].mean()
            found = NUMBER.search(json.loads(text)["message"])
            assert found is not None
            points = np.array([float(found[1]), columns["plant/Setpoint"][row]])
            best, now = simulated.true_specific(points, flow, temperature)
            told.append(savings[at])
            true.append(100 * (1 - best / now))
            inside.append(lows[at] <= true[-1] <= highs[at])
    if not told:
        print(f"noise {noise:.0%}: {asked} windows with like cases, no advice")
        return
    print(
        f"noise {noise:.0%}: {asked} windows, {len(told)} pieces of advice; "
        f"saving told {np.mean(told):.1f} %, true {np.mean(true):.1f} %; "
        f"{np.mean(np.array(true) > 0):.1%} truly save; band holds {np.mean(inside):.0%}"
    )


def flat(noise: float) -> None:
    """Print how much advice is given where the set-point changes nothing: all of it is wrong."""
    count = 0
    for seed in SEEDS:
        columns = simulated.plant(WINDOWS, seed, noise=noise)
        random = np.random.default_rng(seed)
        pressure = random.choice(simulated.PRESSURES, WINDOWS)
        columns["plant/Setpoint"] = np.repeat(pressure, simulated.ROWS)
        power = 0.2 * columns["plant/Product"]
        level = 1 + random.normal(scale=noise, size=WINDOWS)
        columns["plant/Power"] = power * np.repeat(level, simulated.ROWS)
        count += len(follow(columns, 1 / 60)["advice"])
    print(f"set-point without effect, noise {noise:.0%}: {count} pieces of advice")


def pump(folder: Path) -> None:
    """Print the energy a litre of the benchmark's pump without a fault."""
    path = next(iter(sorted(folder.rglob("anomaly-free*"))))
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    held = {
        name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "datetime"
    }
    columns = {
        "pump/Power": np.maximum(held["Current"] * held["Voltage"], 0) / 1000,
        "pump/Product": held["Volume Flow RateRMS"] * 60,
        "pump/Setpoint": np.ones(len(rows)),
    }
    ran = follow(columns, 1.0)
    wh = ran["specific"].values * 1000
    print(
        f"SKAB without a fault: {len(wh)} minutes, {wh.mean():.4f} VAh a litre, deviation "
        f"{wh.std():.4f}; advice {len(ran['advice'])}"
    )


def main() -> None:
    """Evaluate."""
    parser = argparse.ArgumentParser(description="Figures of the advisor plugin.")
    parser.add_argument("--data", type=Path, help="folder of SKAB's runs")
    given = parser.parse_args()
    if given.data:
        pump(given.data)
        return
    for noise in (0.01, 0.03, 0.1):
        simulation(noise)
    flat(0.03)


if __name__ == "__main__":
    main()
