"""Fault 1: `kill -9` of a real process on a real disk.

What it said was durable is there, once, in order.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from typing import TYPE_CHECKING

from support.faults import found, python

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Position

ROUNDS = int(os.environ.get("KILL_ROUNDS", "5"))


def killed_after(directory: Path, first: int, lines: int) -> int:
    """Run the writer, kill it when it has told `lines` times; give the last name it told."""
    told = first - 1
    command, environment = python("support.journal_writer", directory, first)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        for _ in range(lines):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().split(b"\n"):
            told = int(line) if line else told
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return told


async def test_fault_01_what_was_durable_before_kill_9_is_there(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    seen: dict[Position, bytes] = {}
    first, durable = 1, 0
    for _ in range(ROUNDS):
        durable = killed_after(tmp_path, first, rng.randint(1, 80))
        there = await found(tmp_path)
        assert there.names == list(range(1, len(there.names) + 1))
        assert len(there.names) >= durable
        for position, payload in there.records.items():
            assert seen.setdefault(position, payload) == payload
        assert there.produced == there.delivered + there.pending == len(there.names)
        first = len(there.names) + 1
