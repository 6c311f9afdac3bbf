"""Modelled power cuts without end: `PYTHONPATH=tests N=20000 python -m crash.run`.

See `support.seeds` for what it takes and says.
"""

from __future__ import annotations

import sys

from support.crash import simulate
from support.seeds import run

if __name__ == "__main__":
    sys.exit(run(simulate, "lives with power cuts", 1_000))
