"""The plugin: windows in, values and transitions out, what is known kept between them.

Owns what is new in a window, and what comes again. Expressions and alarms are elsewhere.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay_plugin import BAD, UNCERTAIN, Kind, Plugin, Result, Type
from forebay_plugin.windowlog import WindowLog
from forebay_rules.alarms import Facts, Memory, State, judge
from forebay_rules.lasting import lasting
from forebay_rules.memory import Known
from forebay_rules.rows import Rows, Track
from forebay_rules.settings import PRIORITIES, understand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay_plugin import Output, Setup, Window
    from forebay_plugin.windowlog import Before
    from forebay_rules.expression import Expression
    from forebay_rules.rows import Vector
    from forebay_rules.settings import Alarm

SYNC_NS = 60_000_000_000
"""So often what is known goes to the disk although no alarm has changed, by the data's time."""
FRESH_NS = 8_000_000_000
"""How old data may be from which a write follows; the host has a limit of its own, of 10 s."""
UNKNOWN_MOST = 64
"""So many windows that end before the last are let pass after a start; more: time went back."""
_log = logging.getLogger(__name__)


class Rules(Plugin):
    """Computes expressions and follows alarms over every row once, in order of time."""

    now_ns = staticmethod(time.time_ns)
    """The wall clock."""

    def setup(self, setup: Setup) -> dict[str, str]:
        """Understand all rules, and remember what was known."""
        self._settings = understand(setup)
        self._outputs = {output.name: output for output in setup.outputs}
        self._events = next((o.name for o in setup.outputs if o.kind is Kind.EVENT), "")
        self._replay = setup.replay
        known, self._history = WindowLog(setup.state_directory).load()
        self._log = WindowLog(None if setup.replay else setup.state_directory)
        self._known = Known.from_json("" if setup.replay else known)
        self._new: list[Before] = []
        self._used = self._settings.tags()
        self._forget()
        self._synced_ns = self._known.last_ns
        self._returning = UNKNOWN_MOST
        return {
            "expressions": str(len(self._settings.expressions)),
            "alarms": str(len(self._settings.alarms)),
        }

    def _forget(self) -> None:
        """Drop what is known of rules and tags that there are no more."""
        known, alarms = self._known, self._settings.alarms
        keys = self._settings.keys() | {
            f"{name}.{edge}" for name in alarms for edge in ("on", "off")
        }
        known.slots = {key: slot for key, slot in known.slots.items() if key in keys}
        known.alarms = {name: memory for name, memory in known.alarms.items() if name in alarms}
        known.tracks = {tag: last for tag, last in known.tracks.items() if tag in self._used}

    def process_many(self, windows: Sequence[Window]) -> list[list[Result]]:
        """Judge windows in order; what is known behind the last goes to the state directory."""
        before, known = self._decided(), self._known.to_json()
        try:
            given = [self._judged(window) for window in windows]
        except Exception:
            self._known, self._new = Known.from_json(known), []  # they are tried again alone
            raise
        now = before != self._decided() or self._known.last_ns - self._synced_ns > SYNC_NS
        self._log.append(self._new, self._known.to_json(), now=now)
        self._new = []
        if now:
            self._synced_ns = self._known.last_ns
        return given

    def _decided(self) -> tuple[dict[str, State], dict[str, tuple[float, int]]]:
        """What people and devices were told: it must not be forgotten by a power cut."""
        known = self._known
        return {name: one.state for name, one in known.alarms.items()}, dict(known.given)

    def _judged(self, window: Window) -> list[Result]:
        self._place(window)
        known = self._known
        before = (window.begin_ns, window.end_ns, known.to_json())
        self._history.add(before)
        self._new.append(before)
        tracks = {
            series.tag: Track.of(series, known.tracks.get(series.tag))
            for series in window.role("tags")
            if series.tag in self._used
        }
        seen = [track.times[track.times >= window.begin_ns] for track in tracks.values()]
        whole = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.int64)
        fresh = whole[whole > known.last_ns]
        if len(fresh):
            self._pause(int(fresh[0]))
        rows = Rows(
            fresh,
            whole,
            tracks,
            self._settings.stale_ns,
            self._settings.good_part,
            known.slots,
        )
        results = self._results(rows) if len(fresh) else []
        for tag, track in tracks.items():
            last = track.last()
            if last is not None:
                known.tracks[tag] = last
        known.last_ns = max(known.last_ns, int(whole[-1]) if len(whole) else 0)
        known.end_ns = window.end_ns
        return results

    def _place(self, window: Window) -> None:
        """Find what was known before `window`, if it comes again or time went back.

        A replay begins with what was known before its first window, if the state directory that it
        is given holds that, and else with nothing.
        """
        known = self._known
        begins = self._replay and not known.end_ns
        if window.end_ns > known.end_ns and not begins:
            self._returning = 0
            return
        before = None
        if self._returning:  # once something new came, nothing comes again: time went back
            before = self._history.before(window.begin_ns, window.end_ns)
        if before is not None:
            self._known = Known.from_json(before)
        if before is not None or begins:
            return
        self._returning = max(0, self._returning - 1)
        if not self._returning:
            _log.warning("time went back: delays begin anew, states stay")
            known.last_ns = window.begin_ns - 1
            known.slots.clear()
            known.tracks.clear()

    def _pause(self, first_ns: int) -> None:
        """Begin delays anew behind a time in which nothing is known of any tag."""
        known, stale_ns = self._known, self._settings.stale_ns
        if stale_ns and first_ns - known.last_ns > stale_ns:
            known.slots = {
                key: None if type(slot) is int else slot for key, slot in known.slots.items()
            }

    def _results(self, rows: Rows) -> list[Result]:
        results: list[Result] = []
        for name, expression in self._settings.expressions.items():
            at = rows.last_row() if expression.at_end else rows
            results.extend(self._given(self._outputs[name], at, expression.run(at), expression))
        news: list[tuple[int, str]] = []
        for alarm in self._settings.alarms.values():
            at = rows.last_row() if alarm.at_end else rows
            changes = self._followed(alarm, at)
            news.extend((when, _told(alarm, state)) for when, state in changes)
            output = self._outputs.get(alarm.name)
            if output is not None:
                results.extend(self._shown(output, alarm, int(at.times[-1])))
        if news:
            news.sort(key=lambda one: one[0])
            texts, times = [text for _, text in news], [when for when, _ in news]
            results.append(Result(self._events, values=texts, times_ns=times))
        return results

    def _given(
        self, output: Output, rows: Rows, values: Vector, expression: Expression
    ) -> list[Result]:
        bad = np.isnan(values)
        quality = np.where(bad, BAD, np.where(rows.uncertain(expression.tags), UNCERTAIN, 0))
        held = _as_type(np.where(bad, 0.0, values), output.type)
        if output.kind is not Kind.WRITE:
            return [
                Result(
                    output.name,
                    values=held,
                    times_ns=rows.times,
                    quality=quality.astype(np.uint32),
                )
            ]
        sure = np.flatnonzero(quality == 0)
        if not len(sure):
            return []
        return self._written(output.name, held[sure[-1]], int(rows.times[sure[-1]]))

    def _written(self, name: str, value: Any, when: int) -> list[Result]:  # noqa: ANN401 - of the output's type
        """A write is asked for when the value is another than the one asked for last.

        And while it is news: the gateway writes nothing that follows from older data. So after a
        pause the first window that is of now asks for what holds by then.
        """
        stale = not self._replay and self.now_ns() - when > FRESH_NS
        before, asked_ns = self._known.given.get(name, (None, 0))
        repeat_ns = self._settings.repeat_ns
        again = repeat_ns and when - asked_ns >= repeat_ns
        if stale or (before == float(value) and not again):
            return []
        self._known.given[name] = (float(value), when)
        return [Result(name, value, times_ns=when)]

    def _shown(self, output: Output, alarm: Alarm, when: int) -> list[Result]:
        state = self._known.alarms.get(alarm.name, Memory()).state
        if output.type is Type.STRING:
            return [Result(output.name, state.words, times_ns=when)]
        value = state.active if output.type is Type.BOOL else int(state)
        if output.kind is Kind.WRITE:
            return self._written(output.name, value, when)
        return [Result(output.name, value, times_ns=when)]

    def _followed(self, alarm: Alarm, rows: Rows) -> list[tuple[int, State]]:
        slots, times = rows.memory, rows.times
        raised = _truth(alarm.when.run(rows))
        cleared = 1.0 - raised
        if alarm.clear is not None:
            cleared = np.where(raised == 1, 0.0, _truth(alarm.clear.run(rows)))
        on, off = f"{alarm.name}.on", f"{alarm.name}.off"
        up, slots[on] = lasting(raised, times, slots.get(on), alarm.on_delay_ns)
        down, slots[off] = lasting(cleared, times, slots.get(off), alarm.off_delay_ns)
        nothing = np.zeros(len(times))
        inhibit = np.zeros(len(times), np.int64)
        inhibit[times < alarm.shelved_until_ns] = State.SHELVED
        if alarm.out_of_service:
            inhibit[:] = State.OUT_OF_SERVICE
        facts = Facts(
            times,
            up == 1,
            down == 1,
            _truth(alarm.acknowledge.run(rows)) if alarm.acknowledge else nothing,
            _truth(alarm.suppress.run(rows)) if alarm.suppress else nothing,
            inhibit,
        )
        memory, changes = judge(self._known.alarms.get(alarm.name, Memory()), alarm.manner, facts)
        self._known.alarms[alarm.name] = memory
        return changes


def _truth(values: Vector) -> Vector:
    return np.where(np.isnan(values), np.nan, (values != 0).astype(np.float64))


def _as_type(values: Vector, kind: Type) -> Any:  # noqa: ANN401 - an array of the output's type
    if kind is Type.BOOL:
        return values != 0
    if kind in (Type.FLOAT32, Type.FLOAT64):
        return values
    limits = np.iinfo(kind.dtype)
    return np.clip(np.round(values), limits.min, limits.max)


def _told(alarm: Alarm, state: State) -> str:
    event = {
        "message": f"{alarm.text}: {state.words} ({alarm.priority})",
        "severity": PRIORITIES[alarm.priority],
        "condition": alarm.name,
        "active": state.active,
        "acked": state not in (State.UNACKNOWLEDGED, State.RETURNED),
        "source": min(alarm.when.tags),
    }
    return json.dumps(event, ensure_ascii=False)
