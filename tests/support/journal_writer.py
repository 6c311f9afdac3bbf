"""A process that journals for ever and says on its output what is durable: to be killed.

Run as `python -m support.journal_writer DIRECTORY FIRST [PACE_S]`; each line is the last durable
name. PACE_S is how long it rests between two commits.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from forebay.clock import SystemClock
from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from support.journal import PLENTY, T, entry, read_all, seams


async def main(directory: Path, first: int, pace_s: float) -> None:
    """Submit three entries at a time, wait, tell."""
    real = replace(seams(), disk=SystemDisk(), clock=SystemClock())
    async with Journal(directory, PLENTY, real) as journal:
        cursor = journal.cursor("cloud")
        name = first
        while True:
            await journal.submit([entry(n, size=900, samples=1) for n in range(name, name + 3)])
            name += 3
            sys.stdout.write(f"{name - 1}\n")
            sys.stdout.flush()
            if name % 10 == 0:
                cursor.advance((await read_all(journal, T))[-1].position)
            if pace_s:
                await asyncio.sleep(pace_s)


if __name__ == "__main__":
    pace_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), pace_s))
