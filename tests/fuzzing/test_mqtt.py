"""Some seconds of fuzzed MQTT packets of a real broker; `make fuzz-drivers` does it for minutes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fuzzing import mqtt
from fuzzing.memory import STARTING_BYTES
from fuzzing.report import ways
from support.mosquitto import Mosquitto

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 6.0


@pytest.mark.e2e
async def test_no_value_is_invented_and_memory_stays(
    mosquitto_binary: Path, tmp_path: Path
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - pytest shows it if this fails
    async with Mosquitto(mosquitto_binary, tmp_path) as broker:
        counted = await mqtt.fuzz(broker.port, seed, SECONDS, print)
    assert counted["good"] > 0
    assert counted["growth_bytes"] < STARTING_BYTES
    assert ways(counted)["right"] > 0
    assert len(ways(counted)) > 1, "nothing was ever wrong on the line"
