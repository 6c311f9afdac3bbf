"""What the journal costs: its durable rate over that of plain appends, and what it writes for it.

A virtual disk has fast and slow spells, so ours and the plain appends are measured in short turns,
and only the ratio of neighbours counts. README.md says what each figure means.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from bench.figures import Figure, figure, scratch, seams
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import RecordKind, Stream

SIZES = (4 << 10, 16 << 10, 64 << 10)
ROUNDS, TURN_ROWS = 61, 24
"""Many short turns: a spell of the disk then spoils few ratios, and not half a turn of each."""
OUTSTANDING = 4
"""Commits on the way at once; the intake lets more than one wait as well."""
SEGMENT_BYTES = 8 << 20
KEPT_BYTES, WRITTEN_BYTES = 48 << 20, 96 << 20
PACED_ROWS, PACED_EVERY_S = 160, 0.25


class Turn(NamedTuple):
    """One turn of one way to write."""

    rows_per_s: float
    cpu_us: float


def limits(max_bytes: int) -> JournalLimits:
    """Give limits of a journal of this size."""
    return JournalLimits(max_bytes, 30 * 86_400.0, SEGMENT_BYTES, 32 << 20)


def entry(payload: bytes, number: int) -> Entry:
    """Give a record of one sample that nobody decodes."""
    return Entry(Stream.TELEMETRY, RecordKind.BATCH, payload, 1, number, number, None)


def raw(directory: Path, payload: bytes, group: int = 1) -> float:
    """Append to one file and flush after each `group` of records; give records per second."""
    fd = os.open(directory / "raw", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    begin = time.perf_counter()
    for number in range(1, TURN_ROWS + 1):
        os.write(fd, payload)
        if number % group == 0:
            os.fdatasync(fd)
    rate = TURN_ROWS / (time.perf_counter() - begin)
    os.close(fd)
    return rate


async def journaled(journal: Journal, payload: bytes, outstanding: int) -> Turn:
    """Submit record by record, at most so many of them not yet durable."""
    waiting: deque[asyncio.Future[None]] = deque()
    begin, cpu = time.perf_counter(), time.process_time()
    for number in range(TURN_ROWS):
        if len(waiting) == outstanding:
            await waiting.popleft()
        waiting.append(journal.submit([entry(payload, number)]))
    for future in waiting:
        await future
    took, spent = time.perf_counter() - begin, time.process_time() - cpu
    return Turn(TURN_ROWS / took, spent / TURN_ROWS * 1e6)


async def rates(directory: Path) -> list[Figure]:
    """Measure in turns, in each round all sizes, each way beside its own plain appends."""
    found: list[Figure] = []
    turns: dict[tuple[int, int], list[Turn]] = {}
    raws: dict[tuple[int, int], list[float]] = {}
    grouped: dict[int, list[float]] = {}
    async with Journal(directory / "rates", limits(4 << 30), seams()) as journal:
        for _ in range(ROUNDS):
            for size in SIZES:
                payload = os.urandom(size)
                for outstanding in (1, OUTSTANDING):
                    key = (size, outstanding)
                    raws.setdefault(key, []).append(raw(directory, payload))
                    turn = await journaled(journal, payload, outstanding)
                    turns.setdefault(key, []).append(turn)
                grouped.setdefault(size, []).append(raw(directory, payload, OUTSTANDING))
    for (size, outstanding), of in turns.items():
        name = f"{size >> 10}k" + ("" if outstanding > 1 else "_awaited")
        found.append(
            figure(
                f"journal.rate_vs_raw.{name}",
                [turn.rows_per_s for turn in of],
                "rows/s",
                against="append + fdatasync",
                others=raws[size, outstanding],
            )
        )
    for size, others in grouped.items():
        mine = [turn.rows_per_s for turn in turns[size, OUTSTANDING]]
        against = f"{OUTSTANDING} x append + fdatasync"
        name = f"journal.rate_vs_grouped.{size >> 10}k"
        found.append(figure(name, mine, "rows/s", against=against, others=others))
    least = min(
        (one for one in found if "raw" in one["id"] and "awaited" not in one["id"]),
        key=lambda one: one["ratio"],
    )
    cpu = [turn.cpu_us for turn in turns[SIZES[-1], 1]]
    return [
        Figure(**(least | {"id": "journal.rate_vs_raw"})),
        *found,
        figure("journal.row_cpu_us", cpu, "us"),
    ]


def written_bytes() -> int:
    """Give the bytes that this process has caused to be written so far, by proc(5) io."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split(":")[1])
    raise RuntimeError("/proc/self/io tells no write_bytes")


async def amplification(directory: Path, size: int, outstanding: int, rows: int) -> float:
    """Write, deliver, drop; give the bytes written over those of the payloads.

    Everything counts: preallocation, headers, footers, tips, cursors, what opens and closes the
    journal. The consumer passes all, so that retention drops what it has, and the cursor moves.
    """
    payload, before = os.urandom(size), written_bytes()
    async with Journal(directory, limits(KEPT_BYTES), seams()) as journal:
        cursor = journal.cursor("bench")
        waiting: deque[asyncio.Future[None]] = deque()
        for number in range(rows):
            if len(waiting) == outstanding:
                await waiting.popleft()
            waiting.append(journal.submit([entry(payload, number)]))
            if number % 64 == 0:
                cursor.advance(journal.newest(Stream.TELEMETRY))
        for future in waiting:
            await future
    return (written_bytes() - before) / (rows * size)


async def paced(directory: Path) -> float:
    """Write at a plant's pace and deliver each record; give the bytes over those of the payloads.

    What opens and closes the journal does not count: it comes once in weeks.
    """
    payload = os.urandom(SIZES[1])
    async with Journal(directory, limits(KEPT_BYTES), seams()) as journal:
        cursor = journal.cursor("bench")
        await journal.submit([entry(payload, 0)])
        before = written_bytes()
        for number in range(PACED_ROWS):
            await asyncio.sleep(PACED_EVERY_S)  # the pace that is measured, no wait for anything
            await journal.submit([entry(payload, number)])
            cursor.advance(journal.newest(Stream.TELEMETRY))
        return (written_bytes() - before) / (PACED_ROWS * len(payload))


async def wear(directory: Path) -> list[Figure]:
    """Measure flat out, one record a commit and several, and at a plant's pace."""
    found: list[Figure] = []
    for size in SIZES[1:]:
        for outstanding in (1, OUTSTANDING):
            name = f"{size >> 10}k" + ("" if outstanding > 1 else "_awaited")
            place = directory / f"wear-{name}"
            value = await amplification(place, size, outstanding, WRITTEN_BYTES // size)
            found.append(figure(f"journal.write_amplification.{name}", [value], "x"))
    slow = await paced(directory / "paced")
    worst = max(one["value"] for one in found)
    return [
        figure("journal.write_amplification", [worst], "x"),
        *found,
        figure("journal.write_amplification_paced", [slow], "x"),
    ]


async def measure() -> list[Figure]:
    """Measure rates, then wear."""
    with scratch() as name:
        return [*await rates(Path(name)), *await wear(Path(name))]


def run() -> list[Figure]:
    """Measure under uvloop, as the agent runs."""
    import uvloop

    return uvloop.run(measure())
