"""Drivers against peers that fuzz, for long: `PYTHONPATH=tests N=10 python -m fuzzing.run`.

N minutes each driver; ONLY=modbus or ONLY=opcua for one; SEED for the same choices again (what the
network and the processor add to them is not repeated). Exit status 1 if a value was invented, if
memory grew, or if too little came through to say anything.
"""

from __future__ import annotations

import os
import sys
import time

import uvloop

from fuzzing import modbus
from fuzzing.memory import GROWTH_BYTES

FUZZERS = {"modbus": modbus.fuzz}
LEAST_A_MINUTE = 1000
"""Good and bad values each: less would mean that hardly anything was tried."""


def say(line: str) -> None:
    """Tell a person who watches."""
    print(line, flush=True)  # noqa: T201 - what this command is for


def main() -> int:
    """Run the fuzzers one after the other."""
    minutes, seed = float(os.environ.get("N", "10")), int(os.environ.get("SEED", time.time_ns()))
    wanted = os.environ.get("ONLY", "")
    failed = False
    for name, fuzz in FUZZERS.items():
        if wanted not in ("", name):
            continue
        say(f"{name}: {minutes:g} minutes, SEED={seed}")
        try:
            counted = uvloop.run(fuzz(seed, 60 * minutes, say))
        except AssertionError as wrong:
            say(f"{name}: {wrong}")
            failed = True
            continue
        grown, least = counted["growth_bytes"], LEAST_A_MINUTE * minutes
        quiet = min(counted["good"], counted["bad"]) < least
        say(f"{name}: grown by {grown / 2**20:.1f} MiB{', too little tried' if quiet else ''}")
        failed = failed or quiet or grown > GROWTH_BYTES
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
