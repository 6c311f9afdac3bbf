"""Some seconds of fuzzed OPC UA chunks of a real server, and that the judge of them can say no.

`make fuzz-drivers` does this for minutes.
"""

from __future__ import annotations

import random
import struct
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay.clock import SystemClock
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from fuzzing import opcua
from fuzzing.line import FuzzingLine, Spoilt
from fuzzing.memory import STARTING_BYTES
from fuzzing.opcua import TAGS, OpcUaJudge, Pen, decoded, encoded
from fuzzing.report import ways
from support.node_opcua import NodeOpcua

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 8.0


@pytest.mark.e2e
async def test_no_value_is_invented_and_memory_stays(
    node_binary: Path, node_opcua_dir: Path, tmp_path: Path
) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - pytest shows it if this fails
    async with NodeOpcua(node_binary, node_opcua_dir, tmp_path) as server:
        counted = await opcua.fuzz(server, seed, SECONDS, print)
    assert counted["good"] > 0
    assert counted["growth_bytes"] < STARTING_BYTES
    assert ways(counted)["right"] > 0
    assert len(ways(counted)) > 1, "nothing was ever wrong on the line"


@pytest.mark.parametrize("tag", [0, 1, 23])
@pytest.mark.parametrize("counter", [1, 2**24 - 1])
def test_a_value_says_whose_it_is(tag: int, counter: int) -> None:
    assert decoded(encoded(tag, counter)) == (tag, counter)


@pytest.mark.parametrize("change", [1.0, -1.0, 0.5, 2.0**20, 2.0**41, -(2.0**60)])
def test_a_value_that_was_changed_is_not_whole(change: float) -> None:
    assert decoded(encoded(5, 1000) + change) is None


CLOCK = SystemClock()
SCHEMA = Schema("press", "g", tuple(Tag(f"V{n}", "-", ValueType.FLOAT64) for n in range(TAGS)))


class Given(Pen):
    """A pen whose server has had the counter 100 in tag 3 for a second."""

    def __init__(self) -> None:
        self.given = [[] for _ in range(TAGS)]
        self.given[3] = [(CLOCK.boottime_ns() - 1_000_000_000, 100)]


async def judged(*values: float, spoilt: bytes = b"", polled: bool = True) -> list[str]:
    """What the judge says of tag 3, which has these values one after the other."""
    line = FuzzingLine(0, random.Random(1), CLOCK.boottime_ns, wild=0)
    line.spoilt.append(Spoilt(CLOCK.boottime_ns(), spoilt))
    judge = OpcUaJudge(line, Given(), CLOCK.boottime_ns)
    for value in values:
        now, boot = np.array([CLOCK.now_ns()]), np.array([CLOCK.boottime_ns()])
        if polled:
            row, quality = np.zeros((1, TAGS)), np.full((1, TAGS), Quality.BAD, np.uint32)
            row[0, 3], quality[0, 3] = value, 0
            batch = Batch(SCHEMA, now - 1_000_000, now, (row,), quality, boottime_ns=boot)
        else:
            index = np.array([3], np.uint32)
            batch = Batch(SCHEMA, now, now, (np.array([value]),), None, index, boot)
        await judge.accept(batch)
    return judge.wrong


async def test_what_the_server_had_is_believed() -> None:
    assert await judged(encoded(3, 100), encoded(3, 100), encoded(3, 101)) == []
    assert await judged(encoded(3, 90), polled=False) == []


@pytest.mark.parametrize(
    "values",
    [
        [encoded(4, 100)],
        [encoded(3, 100) + 1],
        [encoded(3, 99)],
        [encoded(3, 105), encoded(3, 104)],
        [float("nan")],
    ],
    ids=["another tag's", "changed", "older than the poll", "older than before", "no number"],
)
async def test_what_it_had_not_is_not_believed(values: list[float]) -> None:
    assert await judged(*values) != []


async def test_what_the_line_had_changed_is_its_own_doing() -> None:
    changed = encoded(3, 100) + 1
    assert await judged(changed, spoilt=b"MSGF" + struct.pack("<d", changed)) == []
