"""Figures of the twin plugin through its own `process`.

    python plugins/twin/evaluate.py [--data SKAB]

Without data: a simulated pump and a simulated tank, sound and with faults of known size. With the
folder of the Skoltech Anomaly Benchmark: the flow from the other sensors, learnt from the first 400
rows of each run, drift held against the labels. Nothing was chosen on either.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from forebay_plugin.testing import Frame, Ran, run
from forebay_twin import Twin, history, simulated

PLUGIN = Path(__file__).resolve().parent
ROWS, BEGIN, SEEDS = 6000, 4000, range(10)
FITTED: dict[str, Any] = {"kind": "fitted", "squares": True}
LEARN, SHOWN = 400, 3000
PUMP: dict[str, Any] = {
    "kind": "pump-head",
    "head_zero": simulated.HEAD_ZERO,
    "bend": simulated.BEND,
    "speed": simulated.SPEED,
}
TANK: dict[str, Any] = {"kind": "tank", "area": simulated.AREA}


def follow(columns: dict[str, Any], settings: dict[str, Any], rate_hz: float = 1.0) -> Ran:
    """Let the plugin follow: the first column is the target, the others are given."""
    target, *given = columns
    return run(
        Twin,
        PLUGIN,
        [Frame.sampled(columns, rate_hz=rate_hz)],
        settings={"learn": SHOWN, **settings},
        inputs={"target": [target], "given": given},
    )


def delay(ran: Ran, begin: int) -> float:
    """Give rows from `begin` to the first drift; negative: before it; infinite: none."""
    at = np.flatnonzero(ran["cusum"].values > 1)
    return float(at[0] + SHOWN - begin) if len(at) else float("inf")


def simulations() -> None:
    """Print how soon faults of several sizes are told, and how often sound machines are called."""
    for name, settings in (("first principles", PUMP), ("fitted", FITTED)):
        for wear in (0.0, 0.01, 0.02, 0.05):
            found = [
                delay(follow(simulated.pump(ROWS, seed, wear=wear, begin=BEGIN), settings), BEGIN)
                for seed in SEEDS
            ]
            _print(f"pump, {name}, head less {wear:.0%}", found)
    for leak in (0.0, 0.1, 0.5, 1.0):
        found = [
            delay(follow(simulated.tank(ROWS, seed, leak=leak, begin=BEGIN), TANK, 0.1), BEGIN)
            for seed in SEEDS
        ]
        _print(f"tank, leak {leak:g} m3/h", found)


def _print(title: str, delays: list[float]) -> None:
    early = sum(one < 0 for one in delays)
    found = [one for one in delays if 0 <= one < float("inf")]
    median = f"{np.median(found):5.0f} rows" if found else "    -"
    print(f"{title:40} told in {len(found)} of {len(delays)}, after {median}; before: {early}")


def benchmark(folder: Path) -> None:
    """Print F1, false alarms and missed rows of drift over all labelled runs."""
    said, true = [], []
    for path in sorted(folder.rglob("*.csv*")):
        table = history.read(path)
        if "anomaly" not in table.names:
            continue
        names = [name for name in table.names if name not in {"anomaly", "changepoint"}]
        names.sort(key=lambda name: "Flow" not in name)
        columns = {f"pump/{name}": table.columns([name])[:, 0] for name in names}
        drift = np.zeros(len(table.times_s), bool)
        ran = follow(columns, {"kind": "fitted", "learn": LEARN, "limit": 20.0})
        drift[LEARN : LEARN + len(ran["cusum"])] = ran["cusum"].values > 1
        said.append(drift)
        true.append(table.columns(["anomaly"])[:, 0] > 0)
    drift, label = np.concatenate(said), np.concatenate(true)
    hits, wrong, missed = (drift & label).sum(), (drift & ~label).sum(), (~drift & label).sum()
    print(
        f"SKAB, {len(said)} runs: F1 {2 * hits / (2 * hits + wrong + missed):.3f}, "
        f"false alarms {wrong / (~label).sum():.1%}, missed {missed / label.sum():.1%}"
    )


def main() -> None:
    """Evaluate."""
    parser = argparse.ArgumentParser(description="Figures of the twin plugin.")
    parser.add_argument("--data", type=Path, help="folder of SKAB's runs")
    given = parser.parse_args()
    if given.data:
        benchmark(given.data)
    else:
        simulations()


if __name__ == "__main__":
    main()
