"""Fault 2: `kill -9` at every step of sealing and dropping; each step may be done again.

The signal comes with a system call of the real process, so the steps are those of the real disk.
What a cut makes of the steps of thinning is in `test_fault_02_power_cut_while_thinning`.
"""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from support.faults import found, injecting, lived
from support.journal_life import SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.model import Position

ROUNDS = int(os.environ.get("KILL_ROUNDS", "3"))
STEPS = {
    "seal": ("ftruncate", 2, 8),
    "create": ("fallocate", 2, 8),
    "name": ("rename", 2, 8),
    "drop": ("unlink", 2, 8),
    "flush": ("fdatasync", 9, 60),
    "directory": ("fsync", 9, 60),
}
"""The system call of each step, and which of its calls may be the last."""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("step", STEPS)
async def test_fault_02_kill_at_every_step(step: str, tmp_path: Path, strace_binary: Path) -> None:
    rng = random.Random(step)
    seen: dict[Position, bytes] = {}
    durable: set[int] = set()
    first = 1
    for number in range(ROUNDS):
        call, least, most = STEPS[step]
        kill = f"{call}:signal=SIGKILL:when={rng.randint(least, most)}"
        before = injecting(strace_binary, tmp_path / f"strace-{number}", kill)
        status, told = lived(tmp_path / "journal", first, 400, "ROLL", before=before)
        assert status == -signal.SIGKILL
        durable |= set(range(first, told + 1))
        there = await found(tmp_path / "journal")
        assert there.names == sorted(set(there.names)), "twice or out of order"
        for position, payload in there.records.items():
            assert seen.setdefault(position, payload) == payload
        gone = durable - set(there.names)
        assert there.pending + there.gapped + there.delivered == there.produced
        assert there.produced >= len(durable) * SAMPLES
        assert there.gapped + there.delivered >= len(gone) * SAMPLES, "durable, gone, and not told"
        first = max([told, *there.names]) + 1
    assert durable, "a kill came after something was durable"
