"""A process with a journal that takes what it gets and says what becomes of it.

Run as `python -m support.journal_life DIRECTORY FIRST COUNT [ROLL]`: journals the entries FIRST to
FIRST + COUNT, one a commit, and prints for each the last durable name. With ROLL its segments hold
few records and its directory few segments, and its consumer has everything at once. Status 74 when
the disk fails.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from forebay.clock import SystemClock
from forebay.errors import JournalFailed
from forebay.files import SystemDisk
from forebay.journal.journal import Journal, JournalLimits
from support.journal import PLENTY, T, entry, seams

ROLLING = JournalLimits(max_bytes=256 << 10, max_age_s=1e9, segment_bytes=8192, ring_bytes=1 << 20)
SAMPLES = 7
"""Samples of each entry."""


async def main(directory: Path, first: int, count: int, *, roll: bool) -> None:
    """Journal and tell."""
    real = replace(seams(), disk=SystemDisk(), clock=SystemClock())
    async with Journal(directory, ROLLING if roll else PLENTY, real) as journal:
        cursor = journal.cursor("cloud")
        for name in range(first, first + count):
            await journal.submit([entry(name, size=2000, samples=SAMPLES)])
            if roll and name % 50 == 0:
                cursor.advance((await journal.read(cursor.get(T), 1 << 20))[-1].position)
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    words = sys.argv[1:]
    try:
        asyncio.run(main(Path(words[0]), int(words[1]), int(words[2]), roll="ROLL" in words))
    except* JournalFailed:
        sys.exit(74)
