"""How good forecasts and calls are on simulated containers.

Run as `python evaluate.py [--runs 200]`. Each container holds 200 parts, of which one goes each
20 s on average, at random; the scale shakes by 0.5. Lead time 10 min, time in hand 5 min.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from forebay_replenish.need import Container, Known
from forebay_replenish.settings import understand
from forebay_replenish.simulated import level

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS


def main() -> None:
    """Print the figures for a quiet scale, and for one with spikes."""
    parser = argparse.ArgumentParser(prog=Path(__file__).name, description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    for spikes in (0.0, 0.05):
        _figures(given.runs, spikes)


def _figures(runs: int, spikes: float) -> None:
    random = np.random.default_rng(1)
    off, within, spare, late = [], [], [], 0
    for _ in range(runs):
        true = level(random, 6000, noise=0.0)
        seen = true + level(random, 6000, full=0.0, per_s=0.0, spikes=spikes)
        container = Container(understand({"refill": 20.0}, []), Known())
        for second, value in enumerate(seen.tolist()):
            container.moment(START_NS + second * NS, value, {})
        gone = int(np.flatnonzero(true <= 0)[0])
        calls = [one for one in container.news if one.kind == "call"]
        assert len(calls) == 1
        called = (calls[0].at_ns - START_NS) / NS
        spare.append(gone - called)
        late += gone - called < 600
        for at_ns, one in container.forecasts:
            at = (at_ns - START_NS) / NS
            if 1800 < at < called:
                off.append(abs(one.empty_s - (gone - at)) / (gone - at))
                within.append(one.soonest_s <= gone - at <= one.latest_s)
    minutes = np.array(spare) / 60
    print(
        f"spikes {spikes:.0%}: forecast off by {np.median(off):.1%} (median), in the interval "
        f"{np.mean(within):.0%}; called {np.median(minutes):.1f} min before empty "
        f"({minutes.min():.1f} to {minutes.max():.1f}), later than the lead time {late} of {runs}"
    )


if __name__ == "__main__":
    main()
