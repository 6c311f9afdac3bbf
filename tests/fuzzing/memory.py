"""How much memory this process has, and whether it grows."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GROWTH_BYTES = 4 << 20
"""What a run of minutes may gain: allocators give pages back late, and counts grow a little."""
STARTING_BYTES = 12 << 20
"""The same of some seconds, in which everything is still filling up for the first time."""
LOOK_S, TELL_S = 1.0, 15.0


def rss_bytes() -> int:
    """Give the resident size, garbage collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Sizes:
    """Resident sizes over a run, looked at every now and then."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def look(self) -> int:
        """Note and give the size now."""
        self.bytes.append(rss_bytes())
        return self.bytes[-1]

    @property
    def growth_bytes(self) -> int:
        """By how much it grew over the last two thirds: their last quarter less their first.

        Medians, since a single look may fall on a row that is just being made.
        """
        settled = self.bytes[len(self.bytes) // 3 :]
        quarter = max(1, len(settled) // 4)
        return int(statistics.median(settled[-quarter:]) - statistics.median(settled[:quarter]))

    def __str__(self) -> str:
        return f"resident {self.bytes[-1] >> 20} MiB, grown by {self.growth_bytes / 2**20:.1f}"


async def watched(seconds: float, wrong: Sequence[str], tell: Callable[[Sizes], None]) -> Sizes:
    """Look at the size for so long, or until something is `wrong`; `tell` now and then."""
    sizes, end_s, tell_s = Sizes(), time.monotonic() + seconds, time.monotonic() + TELL_S
    while (left_s := end_s - time.monotonic()) > 0 and not wrong:
        await asyncio.sleep(min(LOOK_S, left_s))
        sizes.look()
        if time.monotonic() >= tell_s:
            tell(sizes)
            tell_s += TELL_S
    tell(sizes)
    return sizes
