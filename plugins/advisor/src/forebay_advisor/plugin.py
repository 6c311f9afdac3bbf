"""The plugin: energy and product in; energy a unit, and advice on set-points, out. It never writes.

Owns the outputs and what makes a point of a window. The search is `points`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_advisor.history import History
from forebay_advisor.points import Advice, Rule, advise
from forebay_plugin import Plugin, PluginError, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay_advisor.points import Numbers
    from forebay_plugin import Series, Setup, Window

NS_AN_HOUR = 3600e9
SAVE_S = 10.0
KINDS = ("rate", "counter")


class Advisor(Plugin):
    """Energy a unit, and what took less. See README.md for settings and figures."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def setup(self, setup: Setup) -> Mapping[str, str]:
        """Check the settings; take up the points that were seen before."""
        settings = setup.settings
        self._energy, self._product = (_kind(settings, name) for name in ("energy", "product"))
        self._rule = Rule(
            _number(settings, "alike", 0, 100),
            _number(settings, "near", 0, 100),
            int(_number(settings, "support", 2, 10_000)),
            _number(settings, "least", 0, 1),
        )
        self._steady = _number(settings, "steady", 0, 1e9)
        self._unit = str(settings.get("unit", "unit"))
        conditions, self._knobs = setup.tags("conditions"), setup.tags("knobs")
        keep = int(_number(settings, "keep", 10, 20_000))
        tags = [*setup.tags("energy"), *setup.tags("product"), *conditions, *self._knobs]
        widths = (len(conditions) + 1, len(self._knobs))
        self._history = History(setup.state_directory, tags, widths, keep)
        self._replay = setup.replay
        self._given: tuple[float, ...] | None = None
        self._saved_s, self._unsaved = self.clock(), False
        return {"set-points": ", ".join(self._knobs), "points": str(len(self._history))}

    def process(self, window: Window) -> list[Result]:
        """Make a point of the window, and look for a better one among those before it."""
        (energy,), (product,) = window.role("energy"), window.role("product")
        used, made = _amount(energy, self._energy), _amount(product, self._product)
        if used is None or made is None or made <= 0 or used <= 0:
            return []
        hours = float(np.ptp(product.times_ns[product.good])) / NS_AN_HOUR
        specific = used / made
        results = [Result("specific", specific)]
        conditions = _means(window, "conditions")
        knobs = _means(window, "knobs")
        if conditions is None or knobs is None or not self._is_steady(window):
            return results
        conditions = np.append(conditions, made / hours)
        if float(window.end_ns) > self._history.seen_ns:
            self._history.add(window.end_ns, specific, conditions, knobs)
            self._unsaved = True
        points = self._history.until(window.end_ns)
        results += self._tell(advise(points, conditions, knobs, self._rule))
        self._keep()
        return results

    def close(self) -> None:
        """Write down the points."""
        if self._unsaved and not self._replay:
            self._history.save()

    def _tell(self, advice: Advice | None) -> list[Result]:
        if advice is None:
            self._given = None
            return [Result("saving", 0.0)]
        results = [
            Result("best", advice.best),
            Result("saving", advice.saving * 100),
            Result("saving_low", advice.low * 100),
            Result("saving_high", advice.high * 100),
        ]
        given = tuple(float(f"{value:.2g}") for value in advice.knobs)
        if given != self._given:
            self._given = given
            results.append(Result("advice", self._event(advice)))
        return results

    def _event(self, advice: Advice) -> str:
        where = ", ".join(
            f"{tag} {value:.4g}" for tag, value in zip(self._knobs, advice.knobs, strict=True)
        )
        message = (
            f"{where} took {advice.best:.4g} kWh/{self._unit} in {advice.seen} like cases: "
            f"{advice.saving:.1%} less than now ({advice.low:.1%} to {advice.high:.1%})"
        )
        return json.dumps({"message": message, "severity": 200, "condition": "advice"})

    def _is_steady(self, window: Window) -> bool:
        """Whether no set-point moved: a point between two says nothing of either."""
        for one in window.role("knobs"):
            values = one.numbers()
            if np.nanmax(values) - np.nanmin(values) > self._steady * np.nanmax(np.abs(values)):
                return False
        return True

    def _keep(self) -> None:
        now = self.clock()
        if self._unsaved and not self._replay and now - self._saved_s >= SAVE_S:
            self._history.save()
            self._saved_s, self._unsaved = now, False


def _amount(series: Series, kind: str) -> float | None:
    """What came together: the rise of a counter, or the integral of a rate a hour; None: unknown.

    A counter that goes back began anew: what it had counted in between is unknown.
    """
    good = series.good
    values, times = series.numbers()[good], series.times_ns[good]
    if len(values) < 2 or not np.isfinite(values).all() or times[-1] <= times[0]:
        return None
    if kind == "counter":
        return float(values[-1] - values[0]) if (np.diff(values) >= 0).all() else None
    hours = np.diff(times) / NS_AN_HOUR
    return float(((values[1:] + values[:-1]) / 2) @ hours)


def _means(window: Window, role: str) -> Numbers | None:
    """(tags) mean of each tag of a role; None where one has no value."""
    series = window.role(role)
    values = [one.numbers() for one in series]
    if any(not len(one) or not np.isfinite(one[~np.isnan(one)]).any() for one in values):
        return None
    means = np.array([float(np.nanmean(one)) for one in values])
    return means if np.isfinite(means).all() else None


def _kind(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    if value not in KINDS:
        raise PluginError(f"settings.{key} must be one of {', '.join(KINDS)}")
    return str(value)


def _number(settings: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise PluginError(f"settings.{key} must be a number from {least:g} to {most:g}")
    return float(value)
