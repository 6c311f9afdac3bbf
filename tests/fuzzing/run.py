"""Drivers against peers that fuzz, for long: `PYTHONPATH=tests N=10 python -m fuzzing.run`.

N minutes each driver; ONLY=modbus, rtu, opcua or mqtt for one; SEED for the same choices again
(what the network and the processor add to them is not repeated). Exit status 1 if a value was
invented, if memory grew, or if too little came through to say anything.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from fuzzing import modbus, mqtt, opcua
from fuzzing.memory import GROWTH_BYTES
from support.mosquitto import Mosquitto
from support.node_opcua import NodeOpcua
from support.nodejs import find_node

if TYPE_CHECKING:
    from collections import Counter

LEAST_A_MINUTE = 100
"""Good and bad values each: less would mean that hardly anything was tried."""


async def _opcua(seed: int, seconds: float) -> Counter[str]:
    """Fuzz against node-opcua, which `scripts/setup-testbeds` installs."""
    node = find_node()
    assert node is not None, "scripts/setup-testbeds installs Node.js"
    with tempfile.TemporaryDirectory() as state:
        async with NodeOpcua(node, _TESTBEDS, Path(state)) as server:
            return await opcua.fuzz(server, seed, seconds, say)


async def _mqtt(seed: int, seconds: float) -> Counter[str]:
    """Fuzz against mosquitto, which `scripts/setup-testbeds` installs."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    with tempfile.TemporaryDirectory() as state:
        async with Mosquitto(Path(found or "mosquitto"), Path(state)) as broker:
            return await mqtt.fuzz(broker.port, seed, seconds, say)


async def _modbus(seed: int, seconds: float) -> Counter[str]:
    return await modbus.fuzz(seed, seconds, say)


async def _rtu(seed: int, seconds: float) -> Counter[str]:
    return await modbus.fuzz(seed, seconds, say, rtu=True)


_TESTBEDS = Path(__file__).resolve().parent.parent / "testbeds"
FUZZERS = {"modbus": _modbus, "rtu": _rtu, "opcua": _opcua, "mqtt": _mqtt}


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
            counted = uvloop.run(fuzz(seed, 60 * minutes))
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
