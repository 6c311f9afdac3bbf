"""The journal's writer thread under the simulation's hand: it works only when it is its turn.

The loop holds the writer's own lock while tasks run, and lets go of it between two turns, at a
drawn virtual time, until the writer waits again. So commits group what was submitted meanwhile, a
disk can be slow, and one seed gives one order.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from forebay.journal.journal import Journal

PATIENCE_S = 120.0
"""Real seconds for one commit; more means that writer and loop wait for each other."""


class WriterGate:
    """Holds back the writer of one journal between `close` calls of a simulation's turn."""

    def __init__(self, journal: Journal, rng: random.Random) -> None:
        self._writer = journal._writer  # noqa: SLF001 - the simulation takes the place of the thread's scheduler
        self._wake = self._writer._wake  # noqa: SLF001 - as above
        self._rng = rng
        self._due_s: float | None = None
        self._wake.acquire()

    def due_s(self, now_s: float, delay_most_s: float) -> float | None:
        """Give when the writer may work next; None if it has nothing to do."""
        if self._idle():
            self._due_s = None
        elif self._due_s is None:
            self._due_s = now_s + self._rng.uniform(0, delay_most_s)
        return self._due_s

    def turn(self) -> None:
        """Let the writer do what waits, and hold it back again."""
        self._due_s = None
        self.run_until_idle()

    def run_until_idle(self) -> None:
        """Let go until the writer waits for work or has ended."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            self._wake.release()
            time.sleep(0)
            self._wake.acquire()
            if self._idle():
                return
            assert time.monotonic() < end_s, "the writer hangs"

    def open(self) -> None:
        """Let go for good."""
        self._wake.release()

    def _idle(self) -> bool:
        thread = self._writer._thread  # noqa: SLF001 - as above
        waits = bool(self._wake._waiters)  # type: ignore[attr-defined]  # noqa: SLF001 - CPython's Condition
        # A copy that is being thinned takes no virtual time: else drops would always overtake it.
        # Unless the writer waits for room on a full disk, and the copy for the writer.
        made = bool(self._writer._copies)  # noqa: SLF001 - as above
        thinning = self._writer._retainer.thinning and not made  # noqa: SLF001 - as above
        return (waits and not thinning) or not thread.is_alive()
