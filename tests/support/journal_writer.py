"""A process that journals for ever and says on its output what is durable: to be killed.

Run as `python -m support.journal_writer DIRECTORY FIRST`; each line is the last durable name.
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


async def main(directory: Path, first: int) -> None:
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


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
