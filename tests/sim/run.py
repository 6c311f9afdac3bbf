"""Simulated runs without end: `PYTHONPATH=tests N=2000 python -m sim.run`; see `support.seeds`."""

from __future__ import annotations

import sys

from sim.trouble import judged, simulate
from support.seeds import run

if __name__ == "__main__":
    sys.exit(run(simulate, "simulated runs", 100, judged))
