"""An event loop on which time is a number: it jumps to the next thing that is due.

Threads are replaced by the loop itself: what is handed to an executor runs at once and its result
comes after a drawn delay, so that one seed gives one order of events.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from sim.gate import WriterGate


class Stuck(AssertionError):
    """Nothing is due any more and the run has not ended: somebody waits for what never comes."""


class _Selector(selectors.SelectSelector):
    """Never waits: the wait is added to the loop's time.

    Between two turns of the loop the journal's writer has its turn, if it is due.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.gate: WriterGate | None = None
        self.delay_most_s = 0.002

    def select(self, timeout: float | None = None) -> list[Any]:
        gate = self.gate
        due_s = None if gate is None else gate.due_s(self.now_s, self.delay_most_s)
        if gate is not None and due_s is not None:
            if due_s <= self.now_s:
                gate.turn()
                return super().select(0)
            wait_s = due_s - self.now_s
            timeout = wait_s if timeout is None else min(timeout, wait_s)
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Stuck
            self.now_s += max(0.0, timeout)
        return ready


class SimLoop(asyncio.SelectorEventLoop):
    """Virtual time from zero; `delay_s` draws how long the work of an executor takes."""

    def __init__(self, rng: random.Random) -> None:
        """Draw from `rng`."""
        self._time = _Selector()
        super().__init__(self._time)
        self._rng = rng

    @property
    def disk_delay_most_s(self) -> float:
        """The longest that disk work takes; a scenario makes the disk slow by it."""
        return self._time.delay_most_s

    @disk_delay_most_s.setter
    def disk_delay_most_s(self, seconds: float) -> None:
        self._time.delay_most_s = seconds

    @property
    def gate(self) -> WriterGate | None:
        """What holds the writer thread of the journal that is open."""
        return self._time.gate

    @gate.setter
    def gate(self, gate: WriterGate | None) -> None:
        if self._time.gate is not None:
            self._time.gate.open()
        self._time.gate = gate

    def time(self) -> float:
        """Give virtual seconds."""
        return self._time.now_s

    def run_in_executor(
        self, executor: object, func: Callable[..., Any], *args: object
    ) -> asyncio.Future[Any]:
        """Run `func` now; its result or exception comes later."""
        del executor
        if self.gate is not None and getattr(func, "__name__", "") == "stop":
            self.gate = None  # the end of a journal: its writer may do what it wants
        future: asyncio.Future[Any] = self.create_future()
        try:
            result, error = func(*args), None
        except Exception as raised:  # noqa: BLE001 - whatever it is, it belongs to the caller
            result, error = None, raised

        def deliver() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self.call_later(self._rng.uniform(0, self.disk_delay_most_s), deliver)
        return future
