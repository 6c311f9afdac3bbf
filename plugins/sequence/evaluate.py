"""How many injected faults are found on simulated tightening curves, and how many good ones fail.

python evaluate.py [--curves 1000] [--noise 0.1]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from forebay_sequence.settings import Curve, understand
from forebay_sequence.simulated import CHECK, FAULTS, curve
from forebay_sequence.torque import Taught, judge, learn


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(prog=Path(__file__).name, description=__doc__)
    parser.add_argument("--curves", type=int, default=1000, help="of each fault")
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation, Nm")
    given = parser.parse_args()
    settings = {
        "serial": "station/Serial",
        "steps": [{"name": "screw", "begin": "station/Step", "checks": {"joint": dict(CHECK)}}],
    }
    tags = ["Serial", "Step", "Torque", "Angle"]
    recipe = understand(settings, [f"station/{tag}" for tag in tags])
    assert recipe is not None
    check = recipe.steps["screw"].checks["joint"]
    assert isinstance(check, Curve)
    random, taught = np.random.default_rng(1), Taught()
    while taught.count < 20:
        points = list(zip(*curve(random, noise=given.noise), strict=True))
        taught = learn(judge(points, check.limits, taught), check.limits, taught)
    for fault in ("", *FAULTS):
        codes: dict[str, int] = {}
        found = 0
        for _ in range(given.curves):
            points = list(zip(*curve(random, fault, noise=given.noise), strict=True))
            judged = judge(points, check.limits, taught)
            found += bool(judged.wrong or judged.doubt)
            for code in {code for code, _ in judged.wrong}:
                codes[code] = codes.get(code, 0) + 1
        why = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
        print(f"{fault or 'good':14s} {found / given.curves:7.1%} NOK  {why}")


if __name__ == "__main__":
    main()
