"""When a group is due: a grid that never drifts, however long a poll takes; and whether it is kept.

Pure. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import math

OVERLOADED_AFTER = 3
"""Late polls in a row that make a group overloaded, and polls in time that end it."""


def phase_s(number: int, period_s: float, spread_s: float = 1.0) -> float:
    """Give when the `number`-th group is due first, so that groups do not all poll at once.

    The golden ratio spreads any count of groups evenly over the period, at most over `spread_s`.
    """
    return (number * 0.618_033_988_749_895) % 1.0 * min(period_s, spread_s)


def next_due_s(due_s: float, period_s: float, now_s: float) -> tuple[float, int]:
    """Give the first due time after `now_s` on the grid of `due_s`, and how many went unserved."""
    if now_s < due_s + period_s:
        return due_s + period_s, 0
    passed = math.floor((now_s - due_s) / period_s)
    return due_s + (passed + 1) * period_s, passed


class Pace:
    """Whether a group keeps its period, with patience either way: one late poll is an accident."""

    __slots__ = ("_against", "overloaded")

    def __init__(self) -> None:
        """Begin as one that keeps it."""
        self.overloaded = False
        """Whether it is polled more slowly than it should be, persistently."""
        self._against = 0

    def note(self, *, late: bool) -> None:
        """Note a poll: `late` if due ones went unserved meanwhile."""
        self._against = self._against + 1 if late is not self.overloaded else 0
        if self._against == OVERLOADED_AFTER:
            self.overloaded, self._against = late, 0
