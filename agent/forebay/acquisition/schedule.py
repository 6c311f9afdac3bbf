"""When a group is due: a grid that never drifts, however long a poll takes; and whether it is kept.

Pure. Times are seconds on the monotonic clock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

OVERLOADED_AFTER = 3
"""Late polls in a row that make a group overloaded, and polls in time that end it."""
FIRST_WITHIN_S = 1.0
"""How long a group may wait for its first poll, however long its period is."""
_GOLDEN = 0.618_033_988_749_895
"""Its multiples, modulo 1, lie evenly however many there are."""


class Stagger(NamedTuple):
    """Where the groups of one device stand among all that are polled.

    `place` is that of its first group among the `places` groups of its line; `line` numbers the
    lines.
    """

    line: int = 0
    place: int = 0
    places: int = 1

    def phase(self, group: int) -> float:
        """Give where in its period the device's `group`-th group is due, in [0, 1).

        The groups of a line are spread evenly, and those of different lines do not all poll at
        once.
        """
        return ((self.place + group) / self.places + self.line * _GOLDEN) % 1.0


def first_s(phase: float, period_s: float, now_s: float) -> tuple[float, float]:
    """Give when a group is polled first, and the begin of the period that this poll is of.

    All grids have their origin at the clock's zero, so that phases hold between devices whenever
    each begins. The two are the same unless the period is so long that nobody would wait for its
    phase: then the first poll comes within FIRST_WITHIN_S, in the middle of its period.
    """
    offset_s = phase * period_s
    due_s = math.ceil((now_s - offset_s) / period_s) * period_s + offset_s
    if due_s - now_s <= FIRST_WITHIN_S:
        return due_s, due_s
    return now_s + phase * FIRST_WITHIN_S, due_s - period_s


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
