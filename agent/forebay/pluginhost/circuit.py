"""How often a plugin may be started again, and when it is left alone for a while.

Pure: knows times and draws that it is given, and no process. Owns back-off and circuit breaker.

    closed ──too many failures in a time──▶ open ──cool-down──▶ half-open ──┬─▶ closed: it worked
      ▲                                      ▲                             │
      └──── reset by hand ───────────────────┴──────── it failed ◀─────────┘
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from forebay.settings import BackoffSettings

MAX_DOUBLINGS = 8


class CircuitState(StrEnum):
    """Whether a plugin is started at once, not at all for now, or once to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many failures in how long open the circuit, and for how long.

    The cool-down doubles with each probe that fails, up to `most_cool_s`.
    """

    failures: int = 5
    within_s: float = 120.0
    cool_s: float = 60.0
    most_cool_s: float = 600.0
    backoff: BackoffSettings = BackoffSettings(first=0.5, most=15.0)  # noqa: RUF009 - frozen


class Circuit:
    """The breaker of one plugin. All times are seconds on one monotonic clock."""

    def __init__(self, budget: Budget) -> None:
        """Begin closed."""
        self._budget = budget
        self._failed_at: deque[float] = deque(maxlen=budget.failures)
        self._in_a_row = 0
        self._openings = 0
        self._state = CircuitState.CLOSED
        self._until_s = 0.0

    @property
    def state(self) -> CircuitState:
        """How it stands since the last call of `begin`, `failed`, `worked` or `reset`."""
        return self._state

    @property
    def until_s(self) -> float:
        """When the next start may be; in the past if it may be now."""
        return self._until_s

    def begin(self) -> None:
        """Say that a start is made now, after `until_s`: it is a probe if the circuit was open."""
        if self._state is CircuitState.OPEN:
            self._state = CircuitState.HALF_OPEN

    def worked(self) -> None:
        """Say that the plugin has given results: what failed before is forgotten, but for the time.

        Failures within the time still count: a plugin that works once after each start is looping.
        """
        self._in_a_row = 0
        if self._state is CircuitState.HALF_OPEN:
            self.reset()

    def failed(self, now_s: float, draw: float) -> bool:
        """Say that the process failed, and give whether that opened the circuit.

        `draw` is uniform in [0, 1): it spreads the next start.
        """
        budget = self._budget
        self._in_a_row += 1
        self._failed_at.append(now_s)
        full = len(self._failed_at) == budget.failures
        loops = full and now_s - self._failed_at[0] <= budget.within_s
        if self._state is CircuitState.HALF_OPEN or loops:
            opened = self._state is CircuitState.CLOSED
            doubled = budget.cool_s * 2.0 ** min(self._openings, MAX_DOUBLINGS)
            ceiling = min(doubled, budget.most_cool_s)
            self._until_s = now_s + ceiling * (0.75 + 0.25 * draw)
            self._openings += 1
            self._state = CircuitState.OPEN
            return opened
        self._until_s = now_s + budget.backoff.wait_s(self._in_a_row, draw)
        return False

    def reset(self) -> None:
        """Close it: a person repaired the plugin, or a probe worked."""
        self._failed_at.clear()
        self._in_a_row = self._openings = 0
        self._state, self._until_s = CircuitState.CLOSED, 0.0
