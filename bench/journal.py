"""What the journal costs.

Durable rows per second, held against plain append + fdatasync on the same disk in turns.

One row is one record of 64 KiB, committed alone; a virtual disk has fast and slow spells, so only
the paired ratio counts.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, figure
from forebay.clock import SystemClock
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import RecordKind, Stream
from forebay.net import SystemNetwork

ROW_BYTES, ROWS, ROUNDS = 64 << 10, 300, 7


def seams() -> Seams:
    """Give the real world, with a log that stays silent."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events())


def raw(directory: Path, payload: bytes) -> float:
    """Append and flush row by row; give rows per second."""
    fd = os.open(directory / "raw", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    begin = time.perf_counter()
    for _ in range(ROWS):
        os.write(fd, payload)
        os.fdatasync(fd)
    rate = ROWS / (time.perf_counter() - begin)
    os.close(fd)
    return rate


async def journaled(journal: Journal, payload: bytes) -> tuple[float, float]:
    """Submit row by row, each durable before the next.

    Give rows and CPU seconds per second and row.
    """
    begin, cpu = time.perf_counter(), time.process_time()
    for number in range(ROWS):
        entry = Entry(Stream.TELEMETRY, RecordKind.BATCH, payload, 1, number, number, None)
        await journal.submit([entry])
    return ROWS / (time.perf_counter() - begin), (time.process_time() - cpu) / ROWS * 1e6


async def measure() -> list[Figure]:
    """Measure in turns."""
    payload = os.urandom(ROW_BYTES)
    rates, cpus, raws = [], [], []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        directory = Path(name)
        limits = JournalLimits(4 << 30, 30 * 86_400.0, 16 << 20, 32 << 20)
        async with Journal(directory / "journal", limits, seams()) as journal:
            for _ in range(ROUNDS):
                raws.append(raw(directory, payload))
                rate, cpu = await journaled(journal, payload)
                rates.append(rate)
                cpus.append(cpu)
    against = "append + fdatasync"
    return [
        figure("journal.rows_per_s", rates, "rows/s", against=against, others=raws),
        figure("journal.row_cpu_us", cpus, "us"),
    ]


def run() -> list[Figure]:
    """Measure under uvloop, as the agent runs."""
    import uvloop

    return uvloop.run(measure())
