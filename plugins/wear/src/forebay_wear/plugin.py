"""The plugin: rows of sensors in; cycles that remain, their band, and when service is due out.

Owns the outputs and what is due. The life itself is told by `estimators`.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_plugin import BAD, UNCERTAIN, Plugin, Result, held
from forebay_wear.estimators import ByModel, ByTrend, Estimate, number
from forebay_wear.history import History

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from forebay_plugin import Results, Setup, Window
    from forebay_wear.features import Numbers

_log = logging.getLogger(__name__)
ROLE, COUNTER = "values", "cycle"
REPEATED = 512
"""Cycles kept beside those that are looked at: for windows that come again after a crash."""
SAVE_S = 5.0


@dataclass(frozen=True)
class Taken:
    """What is known at a window's end: (cycles, sensors), and whether a new life began in it."""

    time_ns: int
    cycles: Numbers
    reborn: bool


class Wear(Plugin):
    """Cycles that remain. See README.md for settings and figures."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Open the model, or take the limits; take up the cycles seen before."""
        settings = setup.settings
        tags = setup.tags(ROLE)
        by_trend = settings.get("mode") == "trend"
        self._by: ByModel | ByTrend = (
            ByTrend(tags, settings) if by_trend else ByModel(tags, settings, setup.model_directory)
        )
        self._least = int(number(settings, "least", 2, self._by.cycles))
        self._due = number(settings, "due", 0, 1e6)
        self._off = number(settings, "due_off", self._due, 1e6)
        self._hold = int(number(settings, "hold", 1, 1000))
        self._report = int(number(settings, "report", 1, 1e6))
        sensors = [tags[index] for index in self._by.columns]
        self._history = History(setup.state_directory, sensors, self._by.cycles + REPEATED)
        self._cycles, self._saved_s, self._unsaved = 0, self.clock(), False
        self._silent = False
        return {"sensors": ", ".join(sensors), **self._by.facts()}

    def process(self, window: Window) -> Results:
        """Work on one window."""
        return self.process_many([window])[0]

    def process_many(self, windows: Sequence[Window]) -> Sequence[Results]:
        """Take all rows, then ask the model once for all windows."""
        taken = [self._take(window) for window in windows]
        asked = [one.cycles for one in taken if len(one.cycles) >= self._least]
        estimates = iter(self._by.estimate(asked) if asked else ())
        told = []
        for one in taken:
            results = [self._end(one.time_ns)] if self._ends(one) else []
            if len(one.cycles) < self._least:
                results += self._too_few(len(one.cycles))
            else:
                results += self._tell(next(estimates), one)
            told.append(results)
        self._keep()
        return told

    def close(self) -> None:
        """Write down what is known."""
        if self._unsaved:
            self._history.save()

    def _take(self, window: Window) -> Taken:
        """Take the rows of a window."""
        life = self._history.life
        matrix = window.matrix(ROLE)[:, self._by.columns]
        times = window.times_of(ROLE)
        counters = window.role(COUNTER)
        counted = held(counters[0], times) if counters else np.full(len(times), np.nan)
        for at, values, counter in zip(times.tolist(), matrix, counted.tolist(), strict=True):
            self._unsaved |= at > self._history.seen_ns
            if self._history.add(at, values, counter):
                self._cycles += 1
        cycles = self._history.until(window.last_ns)[-self._by.cycles :]
        return Taken(window.last_ns, cycles, self._history.life != life)

    def _ends(self, one: Taken) -> bool:
        """Give whether a new life ended what was due, also if this was told before."""
        history = self._history
        again = one.time_ns == history.changed_ns and len(one.cycles) == 1
        return not history.due if again else one.reborn and history.due

    def _too_few(self, cycles: int) -> list[Result]:
        if not self._silent:
            _log.info("%d cycles are too few, %d are needed", cycles, self._least)
        self._silent = True
        return [Result(name, 0.0, quality=BAD) for name in ("remaining", "low", "high")]

    def _tell(self, one: Estimate, taken: Taken) -> list[Result]:
        self._silent = False
        if one.quality & BAD or not np.isfinite(one.value):
            return [Result(name, 0.0, quality=BAD) for name in ("remaining", "low", "high")]
        quality = one.quality | (UNCERTAIN if len(taken.cycles) < self._by.sure else 0)
        news = self._judge(one.value, taken.time_ns)
        told = [
            Result("remaining", one.value, quality=quality),
            Result("low", one.low, quality=quality),
            Result("high", one.high, quality=quality),
            Result("due", self._history.due, quality=quality),
        ]
        if news:
            told.append(Result("service", self._event(one)))
        if self._cycles >= self._report:
            self._cycles = 0
            told.append(Result("state", self._by.state()))
        return told

    def _judge(self, remaining: float, time_ns: int) -> bool:
        """Give whether what is due changed at this time, also if this was asked before."""
        history = self._history
        if time_ns <= history.changed_ns:
            return time_ns == history.changed_ns
        crossed = remaining > self._off if history.due else remaining <= self._due
        history.streak = history.streak + 1 if crossed else 0
        if history.streak < self._hold:
            return False
        history.due, history.streak, history.changed_ns = not history.due, 0, time_ns
        return True

    def _end(self, time_ns: int) -> Result:
        history = self._history
        history.due, history.streak, history.changed_ns = False, 0, time_ns
        return Result("service", _event("a new life begins: service is done", due=False))

    def _event(self, one: Estimate) -> str:
        band = f"{one.value:.0f} cycles remain ({one.low:.0f} to {one.high:.0f})"
        due = self._history.due
        return _event(f"service {'is' if due else 'is no longer'} due: {band}", due=due)

    def _keep(self) -> None:
        now = self.clock()
        if self._unsaved and now - self._saved_s >= SAVE_S:
            self._history.save()
            self._saved_s, self._unsaved = now, False


def _event(message: str, *, due: bool) -> str:
    event: dict[str, Any] = {
        "message": message,
        "severity": 600 if due else 100,
        "condition": "service",
        "active": due,
    }
    return json.dumps(event)
