"""The plugin: windows in, moments to the container, forecasts and calls out.

Owns what is new in a window, what comes again, and how it is told. Must not know when to call.
"""

from __future__ import annotations

import json
import logging
import math
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from forebay_plugin import Kind, Plugin, PluginError, Result, Type
from forebay_plugin.state import Keeper, Place
from forebay_replenish.need import CALLED, Container, Known, News
from forebay_replenish.settings import understand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_plugin import Series, Setup, Window

HOUR_S = 3600.0
LONGEST_S = 30 * 24 * HOUR_S
"""What is farther away is given as this: nothing, or next to nothing, is consumed."""
CALL = "call"
_NOT_GOOD = np.uint32(0xC000_0000)
_SEVERITY = {"call": 500, "again": 700, "lost": 700, "blind": 600, "cancelled": 600}
_WHOLE = (Type.INT16, Type.UINT16, Type.INT32, Type.UINT32, Type.INT64, Type.UINT64)
_log = logging.getLogger(__name__)


class Replenish(Plugin):
    """Watches one level and calls a transport in time, once for each need."""

    def setup(self, setup: Setup) -> dict[str, str]:
        """Understand the settings, and remember what was known."""
        answers = setup.tags("answers")
        self._keeper = Keeper.of(setup)
        plan = understand(setup.settings, answers)
        call = next((one for one in setup.outputs if one.name == CALL), None)
        if call is not None and (call.kind is not Kind.WRITE or not _callable(call.type)):
            raise PluginError('outputs.call must have kind = "write" and type bool or an integer')
        self._call = None if call is None else call.type
        self._written: int | bool | None = None
        if self._keeper.damaged:
            _log.warning("a file of the state was not whole: what it held is forgotten")
        self._container = Container(plan, Known.from_json(self._keeper.value))
        return {"state": self._container.known.state, "calls": str(self._container.known.number)}

    def process_many(self, windows: Sequence[Window]) -> list[list[Result]]:
        """Look at windows in order; what is known behind the last goes to the state directory."""
        before = (self._container.known.state, self._container.known.number)
        given = [self._looked(window) for window in windows]
        known = self._container.known
        self._keeper.save(now=before != (known.state, known.number))
        return given

    def _looked(self, window: Window) -> list[Result]:
        container, place = self._container, self._keeper.place(window)
        if place is Place.AGAIN:
            container.known = Known.from_json(self._keeper.value)
        elif place is Place.BACK:
            _log.warning("time went back: the rate is learnt anew, a call that is out stays out")
            _back(container.known, window.begin_ns)
        container.news, container.forecasts = [], []
        tags = [series.tag for series in window.role("level")][:1]
        for at_ns, fresh in moments(window, container.known.last_ns):
            answers = {tag: value for tag, value in fresh.items() if tag not in tags}
            level = fresh.get(tags[0]) if tags else None
            container.moment(at_ns, level, answers)
        if place is not Place.OLD:
            container.advance(window.end_ns)
        self._keeper.value = container.known.to_json()
        return [*self._results(), *self._state(window), *self._asked(window)]

    def _results(self) -> Iterator[Result]:
        forecasts, news = self._container.forecasts, self._container.news
        if forecasts:
            times = [at for at, _ in forecasts]
            of = [one for _, one in forecasts]
            rates = [max(one.rate, 0.0) * HOUR_S for one in of]
            yield Result("rate", values=rates, times_ns=times)
            yield Result("empty_in", values=[_capped(o.empty_s) for o in of], times_ns=times)
            yield Result("soonest", values=[_capped(o.soonest_s) for o in of], times_ns=times)
            yield Result("latest", values=[_capped(o.latest_s) for o in of], times_ns=times)
        if news:
            texts, times = [_event(one) for one in news], [one.at_ns for one in news]
            yield Result("news", values=texts, times_ns=times)

    def _state(self, window: Window) -> Iterator[Result]:
        if len(window.times):
            known = self._container.known
            yield Result("state", known.state)
            yield Result("calling", known.state == CALLED)
            yield Result("number", known.number)

    def _asked(self, window: Window) -> Iterator[Result]:
        """Ask for the write when the call changes, and once after a start: it is the same call."""
        known = self._container.known
        if self._call is None or not len(window.times) or not known.number:
            return
        again = any(one.kind == "again" for one in self._container.news)
        value: int | bool = known.number if self._call is not Type.BOOL else known.state == CALLED
        if value != self._written or again:
            self._written = value
            yield Result(CALL, value)

    def close(self) -> None:
        """Keep what is known."""
        if hasattr(self, "_container"):
            self._keeper.save(now=True)


def _callable(kind: Type) -> bool:
    return kind is Type.BOOL or kind in _WHOLE


def _capped(seconds: float) -> float:
    return min(seconds, LONGEST_S)


def _back(known: Known, at_ns: int) -> None:
    known.points, known.bin, known.last_ns = [], [], at_ns - 1
    known.level_ns = min(known.level_ns, at_ns)
    known.since_ns = min(known.since_ns, at_ns)


def _event(one: News) -> str:
    event = {
        "message": one.text,
        "severity": _SEVERITY.get(one.kind, 200),
        "condition": one.kind,
        "active": one.kind in ("call", "again", "blind"),
    }
    return json.dumps(event, ensure_ascii=False)


def moments(window: Window, after_ns: int) -> Iterator[tuple[int, dict[str, float | None]]]:
    """Give each moment behind `after_ns` with data, and what it says of which tag.

    What is not good (bad, or in doubt) or not finite has no value: nothing is called by it.
    """
    rows: list[tuple[int, str, float | None]] = []
    for one in window.series.values():
        rows += _rows(one, after_ns)
    rows.sort(key=lambda row: row[:2])
    for at_ns, some in groupby(rows, key=lambda row: row[0]):
        yield at_ns, {tag: value for _, tag, value in some}


def _rows(series: Series, after_ns: int) -> list[tuple[int, str, float | None]]:
    new = np.flatnonzero(series.times_ns > after_ns)
    fine = ((series.quality[new] & _NOT_GOOD) == 0).tolist()
    times, values = series.times_ns[new].tolist(), series.numbers()[new].tolist()
    return [
        (at_ns, series.tag, value if good and math.isfinite(value) else None)
        for at_ns, value, good in zip(times, values, fine, strict=True)
    ]
