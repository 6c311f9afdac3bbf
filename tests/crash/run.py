"""Modelled power cuts without end: `PYTHONPATH=tests N=20000 python -m crash.run`.

Each number is one seed of `support.crash.simulate`; FIRST (default 0) is where they start. A seed
that breaks a promise is printed with its traceback, and the exit code is 1.
"""

from __future__ import annotations

import os
import sys
import time
import traceback

from support.crash import simulate

PROGRESS_EVERY_S = 5.0


def main() -> int:
    """Run N seeds and say how it went."""
    first, count = int(os.environ.get("FIRST", "0")), int(os.environ.get("N", "1000"))
    failed: list[int] = []
    began_s = told_s = time.monotonic()
    for seed in range(first, first + count):
        try:
            simulate(seed)
        except AssertionError:
            failed.append(seed)
            sys.stdout.write(f"seed {seed}\n{traceback.format_exc()}")
        if time.monotonic() - told_s > PROGRESS_EVERY_S:
            told_s = time.monotonic()
            done = seed - first + 1
            sys.stdout.write(f"{done} of {count}, {done / (told_s - began_s):.0f}/s\n")
            sys.stdout.flush()
    sys.stdout.write(f"{count} lives with power cuts from seed {first}: {len(failed)} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
