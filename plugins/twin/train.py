"""Fit a twin to a table of history: weights, and what residuals are normal. No randomness.

    python plugins/twin/train.py --data HISTORY.csv --target Flow --given Speed,Valve --out MODEL

HISTORY is CSV with a line of names; the first column is the time. Rows must be evenly spaced, as
the twin's will be. MODEL becomes a directory with `twin.json`: name it by `model` of the plugin,
with `learn = 0`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from forebay_twin import fitting, history
from forebay_twin.models import How


def main() -> None:
    """Fit, tell how well, write."""
    parser = argparse.ArgumentParser(description="Fit a twin to a table of history.")
    parser.add_argument("--data", type=Path, required=True, help="CSV, plain or gzipped")
    parser.add_argument("--target", required=True, help="column that the twin tells")
    parser.add_argument("--given", required=True, help="columns that it tells it from: A,B,...")
    parser.add_argument("--lags", type=int, default=3, help="rows of each, the newest included")
    parser.add_argument("--squares", action="store_true", help="squares of them, too")
    parser.add_argument("--ridge", type=float, default=0.001)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    names = given.given.split(",")
    table = history.read(given.data)
    target, inputs = table.columns([given.target])[:, 0], table.columns(names)
    how = How(given.lags, given.ridge, given.squares)
    known = fitting.learn(None, inputs, target, table.times_s, how)
    given.out.mkdir(parents=True, exist_ok=True)
    fitting.write(given.out, known, [given.target, *names])
    rest = target[round(len(target) * fitting.FIT_PART) :]
    explained = 1 - known.spread**2 / max(float(np.nanvar(rest)), 1e-30)
    print(f"residuals of rows not fitted: mean {known.centre:.4g}, deviation {known.spread:.4g}")
    print(f"variance explained there: {explained:.1%}")


if __name__ == "__main__":
    main()
