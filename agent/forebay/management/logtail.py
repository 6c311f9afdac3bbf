"""The last lines of the log, in memory, for a diagnostics bundle.

Owns how many are kept. Must not know who writes them.
"""

from __future__ import annotations

from collections import deque

MAX_LINES, MAX_CHARACTERS = 2_000, 4_096


class LogTail:
    """Of one process. Any thread may add."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lines: deque[str] = deque(maxlen=MAX_LINES)

    def add(self, line: str) -> None:
        """Keep a line, cut at MAX_CHARACTERS; the oldest beyond MAX_LINES goes."""
        self._lines.append(line[:MAX_CHARACTERS])

    def lines(self) -> list[str]:
        """Give what there is, oldest first."""
        return list(self._lines)
