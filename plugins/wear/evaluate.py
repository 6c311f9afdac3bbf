"""Figures of the wear plugin on engines whose end is known, through its own `process`.

    python plugins/wear/evaluate.py --data PATH

PATH is a folder in C-MAPSS' form with files test* and RUL*. Of each engine the answer at its last
cycle is held against the truth, both at most 125 cycles as the literature has it, beside baselines
that the training wrote down. With --last N the plugin sees only the last N cycles of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from forebay_plugin import BAD, UNCERTAIN
from forebay_plugin.models import Model, Trust, load
from forebay_wear import cmapss
from forebay_wear.cmapss import MOST, SENSORS, Engine
from forebay_wear.features import Numbers, sensors_of

PLUGIN = Path(__file__).resolve().parent


def baselines(model: Model, engines: list[Engine]) -> dict[str, Numbers]:
    """(engines) answers of each baseline."""
    held = model.constants
    columns = [SENSORS.index(one) for one in sensors_of(list(model.manifest.inputs["x"].names))]
    last = np.array([[1.0, e.cycles[-1], *e.sensors[-1, columns]] for e in engines])
    ages = np.array([e.cycles[-1] for e in engines])
    return {
        "mean of training": np.full(len(engines), float(held["baseline_mean"])),
        "mean life less age": held["baseline_life"] - ages,
        "linear regression": last @ held["baseline_weights"],
    }


def cut(engine: Engine, last: int | None) -> Engine:
    """Give the engine's last cycles only."""
    if last is None:
        return engine
    return Engine(engine.number, engine.cycles[-last:], engine.sensors[-last:])


def rmse(said: Numbers, true: Numbers) -> float:
    """Give the root of the mean squared error, both clipped to what a life counts."""
    return float(np.sqrt(np.mean((np.clip(said, 0, MOST) - np.minimum(true, MOST)) ** 2)))


def evaluate(test: cmapss.Test, last_cycles: int | None = None) -> dict[str, Any]:
    """Give figures by name, of the plugin and its baselines."""
    shown = [cut(engine, last_cycles) for engine in test.engines]
    answers = [cmapss.judge(engine, PLUGIN) for engine in shown]
    last = {
        name: np.array([float(one[name].values[-1]) for one in answers])
        for name in ("remaining", "low", "high")
    }
    quality = np.array([int(one["remaining"].quality[-1]) for one in answers])
    said = (quality & BAD) == 0
    true = np.minimum(test.truths, MOST)
    inside = (last["low"] <= true) & (true <= last["high"])
    engines = [engine for engine, one in zip(shown, said, strict=True) if one]
    model = load(PLUGIN / "model", Trust(allow_unsigned=True))
    if not said.any():
        return {"engines": len(said), "without": len(said), "uncertain": 0}
    figures: dict[str, Any] = {
        "engines": len(said),
        "without": int((~said).sum()),
        "uncertain": int(((quality & UNCERTAIN) != 0)[said].sum()),
        "wear plugin": rmse(last["remaining"][said], true[said]),
        "worst": float(np.abs(last["remaining"] - true)[said].max(initial=0.0)),
        "coverage": float(inside[said].mean()),
        "width": float(np.mean((last["high"] - last["low"])[said])),
    }
    for name, values in baselines(model, engines).items():
        figures[name] = rmse(values, true[said])
    return figures


def show(test: cmapss.Test, last_cycles: int | None = None) -> None:
    """Print the figures of one file."""
    if test.note:
        print(test.note)
    if not test.engines:
        return
    found = evaluate(test, last_cycles)
    print(
        f"{test.name}: {found['engines']} engines, {found['without']} too short for an answer, "
        f"{found['uncertain']} answers uncertain"
    )
    if "wear plugin" not in found:
        return
    for name in ("wear plugin", "linear regression", "mean of training", "mean life less age"):
        print(f"  {name:19} RMSE {found[name]:6.2f} cycles")
    print(f"  largest error       {found['worst']:6.1f} cycles")
    print(f"  band                holds {found['coverage']:.0%}, mean {found['width']:.1f} cycles")


def main() -> None:
    """Evaluate every file test* of a folder."""
    parser = argparse.ArgumentParser(description="Figures of the wear plugin.")
    parser.add_argument("--data", type=Path, required=True, help="folder of C-MAPSS' files")
    parser.add_argument("--last", type=int, help="cycles that the plugin sees; default all")
    given = parser.parse_args()
    for test in cmapss.tests(given.data):
        show(test, given.last)


if __name__ == "__main__":
    main()
