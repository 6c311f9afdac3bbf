"""Opens a journal after whatever happened to it, and says what it holds: one JSON line.

Run as `python -m support.journal_check DIRECTORY`. `names` are those of all readable batches,
`doubtful` the causes of gaps other than that of an unclean end, `balanced` the ledger's verdict.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from forebay.clock import SystemClock
from forebay.columnar import decode_gap
from forebay.files import SystemDisk
from forebay.journal.journal import Journal
from forebay.model import GapCause, RecordKind
from support.journal import PLENTY, T, name_of, read_all, seams


async def main(directory: Path) -> None:
    """Recover, read everything, tell."""
    real = replace(seams(), disk=SystemDisk(), clock=SystemClock())
    async with Journal(directory, PLENTY, real) as journal:
        records = await read_all(journal, T, max_bytes=1 << 20)
        account = journal.ledger(T, journal.cursor("cloud"))
    causes = [decode_gap(r.payload).cause for r in records if r.kind is RecordKind.GAP]
    told = {
        "names": [name_of(r) for r in records if r.kind is RecordKind.BATCH],
        "doubtful": [c.name for c in causes if c is not GapCause.UNCLEAN_SHUTDOWN],
        "balanced": account.balanced,
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
