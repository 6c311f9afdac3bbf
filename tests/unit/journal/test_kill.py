"""`kill -9` of a real process on a real disk: what it said was durable is there, once, in order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from forebay.clock import SystemClock
from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from forebay.model import Position, RecordKind
from support.journal import PLENTY, T, name_of, read_all, seams

ROUNDS = int(os.environ.get("KILL_ROUNDS", "5"))
TESTS = Path(__file__).parents[2]


def killed_after(directory: Path, first: int, lines: int) -> int:
    """Run the writer, kill it when it has told `lines` times; give the last name it told."""
    told = first - 1
    with subprocess.Popen(
        [sys.executable, "-m", "support.journal_writer", str(directory), str(first)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    ) as process:
        assert process.stdout is not None
        for _ in range(lines):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout.read().split(b"\n"):
            told = int(line) if line else told
        process.wait()
    assert process.returncode == -signal.SIGKILL
    return told


async def test_what_was_durable_before_kill_9_is_there(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    rng = random.Random(seed)
    seen: dict[Position, bytes] = {}
    first, durable = 1, 0
    for _ in range(ROUNDS):
        durable = killed_after(tmp_path, first, rng.randint(1, 80))
        real = replace(seams(), disk=SystemDisk(), clock=SystemClock())
        async with Journal(tmp_path, PLENTY, real) as journal:
            records = await read_all(journal, T, 1 << 20)
            names = [name_of(r) for r in records if r.kind is RecordKind.BATCH]
            account = journal.ledger(T, journal.cursor("cloud"))
        assert names == list(range(1, len(names) + 1))
        assert len(names) >= durable
        for record in records:
            assert seen.setdefault(record.position, record.payload) == record.payload
        assert account.produced == account.delivered + account.pending == len(names)
        first = len(names) + 1
