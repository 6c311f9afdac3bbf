"""The plugin: windows in, moments to the engine, verdicts and the interlock out.

Owns what is new in a window, what comes again, and how it is told. Must not know what is right.
"""

from __future__ import annotations

import json
import logging
import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_plugin import Kind, Plugin, PluginError, Result, Type
from forebay_plugin.state import Keeper, Place
from forebay_sequence.engine import Engine, Held, Stray, Verdict
from forebay_sequence.known import Station
from forebay_sequence.settings import understand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forebay_plugin import Series, Setup, Window
    from forebay_sequence.engine import Told
    from forebay_sequence.known import Value

NS = 1_000_000_000
ROLE = "tags"
INTERLOCK = "interlock"
REASONS_MAX, VALUE_MAX = 8, 256
_SEVERITY = {"OK": 100, "UNKNOWN": 700, "NOK": 800}
_NOT_GOOD = np.uint32(0xC000_0000)
_log = logging.getLogger(__name__)


class SequencePlugin(Plugin):
    """Judges each unit of one station, and holds the line for those that are not OK."""

    def setup(self, setup: Setup) -> dict[str, str]:
        """Understand the recipe, and remember what was known."""
        self._recipe = understand(setup.settings, setup.tags(ROLE))
        self._keeper = Keeper.of(setup)
        self._restarted = True
        self._asked: tuple[bool, int] | None = None
        interlock = next((one for one in setup.outputs if one.name == INTERLOCK), None)
        self._interlocks = interlock is not None
        if interlock is not None and (interlock.kind, interlock.type) != (Kind.WRITE, Type.BOOL):
            raise PluginError('outputs.interlock must have kind = "write" and type = "bool"')
        if self._recipe is None:
            _log.warning("there is no recipe: nothing is judged; see the README for [settings]")
            return {"recipe": "none"}
        if self._interlocks and self._recipe.reset is None:
            raise PluginError("settings.reset is missing: the tag that releases the interlock")
        if self._keeper.damaged:
            _log.warning("a file of the state was not whole: units under way are in doubt")
        self._engine = Engine(self._recipe, Station.from_json(self._keeper.value))
        self._interrupt()
        return {
            "recipe": f"{len(self._recipe.steps)} steps",
            "line": "held" if self._engine.station.hold else "free",
        }

    def _interrupt(self) -> None:
        unit = self._engine.station.unit
        if unit is not None:
            _log.warning("unit %s was under way at a restart: it is in doubt", unit.serial)
        self._engine.interrupt("restart", "the plugin was started anew while it was under way")

    def process_many(self, windows: Sequence[Window]) -> list[list[Result]]:
        """Look at windows in order; what is known behind the last goes to the state directory."""
        if self._recipe is None:
            return [[] for _ in windows]
        given = [self._judged(window) for window in windows]
        self._keeper.save(now=any(results for results in given))
        return given

    def _judged(self, window: Window) -> list[Result]:
        engine, place = self._engine, self._keeper.place(window)
        if place is Place.AGAIN:
            engine.station = Station.from_json(self._keeper.value)
            if self._restarted:
                self._interrupt()
        self._restarted = False
        if place is Place.BACK:
            _log.warning("time went back: a unit under way is in doubt")
            engine.station.last_ns = window.begin_ns - 1
            engine.interrupt("time", "the time of the data went back")
        engine.told = []
        for at_ns, fresh in moments(window.role(ROLE), engine.station.last_ns):
            engine.moment(at_ns, fresh)
        if place is not Place.OLD:
            engine.advance(window.end_ns)
        self._keeper.value = engine.station.to_json()
        return [*self._results(engine.told), *self._interlock(window)]

    def _results(self, told: Sequence[Told]) -> Iterator[Result]:
        verdicts = [one for one in told if isinstance(one, Verdict)]
        if told:
            times = [one.at_ns for one in told]
            yield Result("news", values=[news(one) for one in told], times_ns=times)
        if verdicts:
            times = [one.at_ns for one in verdicts]
            yield Result("result", values=[one.word for one in verdicts], times_ns=times)
            yield Result("serial", values=[one.unit.serial for one in verdicts], times_ns=times)
            took = [(one.at_ns - one.unit.began_ns) / NS for one in verdicts]
            yield Result("took", values=took, times_ns=times)
            yield Result("record", values=[record(one) for one in verdicts], times_ns=times)
            for word, count in self._engine.station.counts.items():
                yield Result(f"count_{word.lower()}", count, times_ns=times[-1])
        holds = [one for one in told if isinstance(one, Held)]
        if holds:
            values, times = [one.hold for one in holds], [one.at_ns for one in holds]
            yield Result("hold", values=values, times_ns=times)

    def _interlock(self, window: Window) -> Iterator[Result]:
        """Ask for the write when it changes, after a restart, and while the device disagrees."""
        if not self._interlocks or not len(window.times):
            return
        recipe, station = self._engine.recipe, self._engine.station
        hold, now_ns = station.hold, window.last_ns
        if self._asked is None:
            wanted = hold
        elif self._asked[0] != hold:
            wanted = True
        else:
            due = recipe.again_ns and now_ns - self._asked[1] >= recipe.again_ns
            shown = station.values.get(recipe.state) if recipe.state else None
            agrees = shown is not None and (shown not in (0.0, "")) == hold
            wanted = bool(due) and (not agrees if recipe.state else hold)
        if wanted or self._asked is None:
            self._asked = (hold, now_ns)
        if wanted:
            yield Result(INTERLOCK, hold, times_ns=now_ns)

    def close(self) -> None:
        """Keep what is known."""
        if getattr(self, "_recipe", None) is not None:
            self._keeper.save(now=True)


def moments(
    series: Sequence[Series], after_ns: int
) -> Iterator[tuple[int, dict[str, Value | None]]]:
    """Give each moment behind `after_ns` at which there is data, and what it says of which tag.

    What is not good (bad, or in doubt) or not finite has no value: nothing may be OK by it.
    """
    rows: list[tuple[int, int, str, Value | None]] = []
    for place, one in enumerate(series):
        new = np.flatnonzero(one.times_ns > after_ns)
        good = (one.quality[new] & _NOT_GOOD) == 0
        times, values = one.times_ns[new].tolist(), one.values[new].tolist()
        for at_ns, value, fine in zip(times, values, good.tolist(), strict=True):
            rows.append((at_ns, place, one.tag, _value(value) if fine else None))
    rows.sort(key=lambda row: row[:2])
    for at_ns, some in groupby(rows, key=lambda row: row[0]):
        yield at_ns, {tag: value for _, _, tag, value in some}


def _value(value: Any) -> Value | None:  # noqa: ANN401 - what a tag holds
    if isinstance(value, str):
        return value[:VALUE_MAX]
    number = float(value)
    return number if math.isfinite(number) else None


def news(told: Told) -> str:
    """The event of one thing told."""
    if isinstance(told, Stray):
        text = f"step {told.step} was begun without a unit"
        return _event(text, 600, "stray", active=True)
    if isinstance(told, Held):
        return _event(told.text, 800 if told.hold else 200, "hold", active=told.hold)
    texts = [text for _, _, text in told.reasons[:REASONS_MAX]]
    if len(told.reasons) > REASONS_MAX:
        texts.append(f"and {len(told.reasons) - REASONS_MAX} more")
    text = f"unit {told.unit.serial or '?'}: {told.word}{': ' + '; '.join(texts) if texts else ''}"
    return _event(text, _SEVERITY[told.word], "unit", active=told.word != "OK")


def _event(message: str, severity: int, condition: str, *, active: bool) -> str:
    event = {
        "message": message,
        "severity": severity,
        "condition": condition,
        "active": active,
    }
    return json.dumps(event, ensure_ascii=False)


def record(verdict: Verdict) -> str:
    """The unit's record as JSON: what is kept of it for those who ask in ten years."""
    unit = verdict.unit
    steps = {
        name: {
            "began_s": (run.began_ns - unit.began_ns) / NS,
            "took_s": None if run.took_ns is None else run.took_ns / NS,
            "runs": run.runs,
            "readings": run.readings,
        }
        for name, run in unit.steps.items()
    }
    reasons = [
        {"step": step, "code": code, "text": text} for step, code, text in verdict.reasons[:64]
    ]
    whole = {
        "serial": unit.serial,
        "result": verdict.word,
        "began_ns": unit.began_ns,
        "ended_ns": verdict.at_ns,
        "reasons": reasons,
        "steps": steps,
    }
    return json.dumps(whole, ensure_ascii=False)
