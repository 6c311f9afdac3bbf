"""How long a start takes on a journal of 10 GiB: after a crash, and with damage all over it.

A process of its own fills the journal and ends without closing it; each start measured is a process
of its own too, on files that the page cache has forgotten, and ends in the same way. README.md says
what each figure means.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from bench.figures import Figure, figure, scratch, seams
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import RecordKind, Stream

TOTAL_BYTES, RECORD_BYTES = 10 << 30, 64 << 10
SEGMENT_BYTES = 16 << 20
ROUNDS, OUTSTANDING = 3, 64
DAMAGED = 16
"""Segments that lose their footer before each start of the second kind."""
FILL_TIMEOUT_S, START_TIMEOUT_S = 600.0, 60.0
MODULE = "bench.recovery"


def journal(directory: Path) -> Journal:
    """Give the journal; its limits drop nothing."""
    limits = JournalLimits(2 * TOTAL_BYTES, 30 * 86_400.0, SEGMENT_BYTES, 64 << 20)
    return Journal(directory, limits, seams())


async def submit(log: Journal, count: int) -> None:
    """Write `count` records of 64 KiB and wait until they are durable."""
    noise = os.urandom(2 * RECORD_BYTES)
    waiting: deque[asyncio.Future[None]] = deque()
    for number in range(count):
        if len(waiting) == OUTSTANDING:
            await waiting.popleft()
        begin = 7 * number % RECORD_BYTES
        payload = noise[begin : begin + RECORD_BYTES]
        entry = Entry(Stream.TELEMETRY, RecordKind.BATCH, payload, 1, number, number, None)
        waiting.append(log.submit([entry]))
    for future in waiting:
        await future


async def fill(directory: Path) -> None:
    """Fill the journal, and end as by SIGKILL."""
    async with journal(directory) as log:
        await submit(log, TOTAL_BYTES // RECORD_BYTES)
        os._exit(0)


async def start(directory: Path) -> None:
    """Start once, print how long that took, write a little, and end as by SIGKILL."""
    begin = time.perf_counter()
    async with journal(directory) as log:
        print(time.perf_counter() - begin, flush=True)
        await submit(log, 100)
        os._exit(0)


def forget(directory: Path) -> None:
    """Have the kernel drop what it keeps of the files in memory: a start after a power cut."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def damage(directory: Path, rng: random.Random) -> None:
    """Overwrite the footers of a few segments and a byte amid the newest; remove the tip file."""
    segments = sorted((directory / Stream.TELEMETRY.value).glob("*.seg"))
    if len(segments) <= DAMAGED:
        raise RuntimeError(f"{directory} has only {len(segments)} segments")
    for path in rng.sample(segments[:-1], DAMAGED):
        with path.open("r+b") as file:
            file.seek(-4096, os.SEEK_END)
            file.write(rng.randbytes(4096))
    with segments[-1].open("r+b") as file:
        file.seek(RECORD_BYTES // 2)
        file.write(b"\xff")
    for path in directory.glob("tip*"):
        path.unlink()


def run_apart(word: str, directory: Path, timeout_s: float) -> str:
    """Run one of the above in a process of its own; give what it printed."""
    command = [sys.executable, "-m", MODULE, word, str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=timeout_s)
    return done.stdout


def run() -> list[Figure]:
    """Fill once, then start a few times without and a few times with damage.

    Two to four minutes, nearly all of it to write 10 GiB.
    """
    rng = random.Random(1)
    whole: list[float] = []
    damaged: list[float] = []
    with scratch() as name:
        directory = Path(name) / "journal"
        run_apart("fill", directory, FILL_TIMEOUT_S)
        for harmed, into in ((False, whole), (True, damaged)):
            for _ in range(ROUNDS):
                if harmed:
                    damage(directory, rng)
                forget(directory)
                into.append(float(run_apart("start", directory, START_TIMEOUT_S)))
    return [
        figure("journal.recovery_s_10gib", whole, "s"),
        figure("journal.recovery_damaged_s_10gib", damaged, "s"),
    ]


if __name__ == "__main__":
    work = {"fill": fill, "start": start}[sys.argv[1]]
    asyncio.run(work(Path(sys.argv[2])))
