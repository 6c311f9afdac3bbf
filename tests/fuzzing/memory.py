"""How much memory this process has, and whether it grows."""

from __future__ import annotations

import gc
import os
from pathlib import Path

GROWTH_BYTES = 12 << 20
"""What a run may keep beyond its first quarter: allocators keep pages, and counts grow a little."""


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
        """By how much the size at the end is above the largest of the first quarter."""
        first = self.bytes[: max(1, len(self.bytes) // 4)]
        return self.bytes[-1] - max(first)

    def __str__(self) -> str:
        return f"resident {self.bytes[-1] >> 20} MiB, grown by {self.growth_bytes / 2**20:.1f}"
