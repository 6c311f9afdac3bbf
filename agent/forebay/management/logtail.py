"""The last lines of the log, in memory, for `forebay log` and a diagnostics bundle.

Owns how many are kept. Must not know who writes them.
"""

from __future__ import annotations

from collections import deque
from itertools import count

MAX_LINES, MAX_CHARACTERS = 2_000, 4_096


class LogTail:
    """Of one process. Any thread may add."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._lines: deque[tuple[int, str]] = deque(maxlen=MAX_LINES)
        self._numbers = count(1)

    def add(self, line: str) -> None:
        """Keep a line, cut at MAX_CHARACTERS; the oldest beyond MAX_LINES goes."""
        self._lines.append((next(self._numbers), line[:MAX_CHARACTERS]))

    def lines(self) -> list[str]:
        """Give what there is, oldest first."""
        return [line for _, line in self._lines.copy()]

    def after(self, number: int, limit: int) -> list[tuple[int, str]]:
        """Give the newest `limit` lines behind that number, oldest first, with their numbers."""
        return [one for one in self._lines.copy() if one[0] > number][-limit:]
