"""What an uplink has spent today, kept over restarts in one small file.

Owns `budgets/NAME.json` in the journal's directory. It is written at most once a minute and when a
session ends, only where a daily limit is set; a crash forgets at most what a minute has sent. A
file that is missing or damaged, or a disk that refuses, costs the memory and nothing else.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from forebay.forwarding.budget import spent_from, spent_to

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.forwarding.budget import Budget
    from forebay.interfaces import Seams

SAVE_EVERY_S = 60.0
MAX_FILE_BYTES = 4096


class Purse:
    """The file of one uplink."""

    def __init__(self, path: Path, budget: Budget, seams: Seams) -> None:
        """Keep what `budget` spends in `path`."""
        self._path, self._budget, self._seams = path, budget, seams
        self._saved_s = 0.0

    async def load(self) -> None:
        """Go on from what the last run has spent."""
        if self._budget.remembers:
            self._budget.spent = spent_from(await asyncio.to_thread(self._read))

    async def save(self, *, soon: bool = False) -> None:
        """Write what was spent; with `soon`, only if the last time was a minute ago."""
        now_s = self._seams.clock.monotonic_s()
        if not self._budget.remembers or (soon and now_s < self._saved_s + SAVE_EVERY_S):
            return
        self._saved_s = now_s
        data = json.dumps(spent_to(self._budget.spent)).encode()
        await asyncio.to_thread(self._write, data)

    def _read(self) -> object:
        try:
            return json.loads(self._seams.disk.read_bytes(self._path, MAX_FILE_BYTES))
        except (OSError, ValueError, RecursionError):
            return None

    def _write(self, data: bytes) -> None:
        try:
            self._seams.disk.makedirs(self._path.parent)
            self._seams.disk.write_atomic(self._path, data)
        except OSError:
            return
