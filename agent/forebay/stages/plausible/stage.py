"""The marks themselves, in numpy: no Python object for a sample.

Owns, for each schema, since when each value has been the same. Must not know configuration files or
the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import Batch, Quality, ValueType
from forebay.sifting import PerSchema, waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.model import Schema
    from forebay.sifting import Wave
    from forebay.stages.plausible.config import PlausibleSettings

_NOT_NUMBERS = (ValueType.BOOL, ValueType.STRING, ValueType.BYTES)
_NEVER_NS = np.iinfo(np.int64).max
_SEVERITY = np.uint32(0xC000_0000)
_CODE = np.uint32(0xFFFF_0000)
"""The bits of a StatusCode beside its flags (OPC UA Part 4, 7.39)."""


class Plausible:
    """Implements `interfaces.Stage` for one device.

    Of samples of Good severity, and of no others, those out of their tag's range become
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, and those whose tag has had this very value for
    `stuck_after`, by the gateway's clock, UNCERTAIN_SENSOR_NOT_ACCURATE (OPC UA Part 8, 6.3; codes
    of Part 6, A.2). Nothing is held back and no value is changed.
    """

    def __init__(self, settings: PlausibleSettings) -> None:
        self._checks = PerSchema(lambda schema: _Check(schema, settings))

    def apply(self, batch: Batch) -> Batch | None:
        """See `Stage.apply`."""
        check = self._checks.of(batch.schema)
        if check.idle:
            return batch
        judged = [(wave, check.step(wave)) for wave in waves(batch)]
        if not any(marks.any() for _, marks in judged):
            return batch
        shape = (batch.rows,) if batch.index is not None else (batch.rows, len(batch.schema.tags))
        quality = np.zeros(shape, np.uint32) if batch.quality is None else batch.quality.copy()
        for row, (wave, marks) in enumerate(judged):
            at = row if batch.index is None else wave.samples
            was = quality[at]
            quality[at] = np.where(marks, was & ~_CODE | marks, was)
        return replace(batch, quality=quality)


class _Check:
    """The rules of one schema with n columns, and the last good value of each.

    `_low` and `_high` are in engineering units.
    """

    def __init__(self, schema: Schema, settings: PlausibleSettings) -> None:
        count = len(schema.tags)
        rules = [settings.of(tag.name) for tag in schema.tags]
        self._low, self._high = np.full(count, -np.inf), np.full(count, np.inf)
        self._stuck_ns = np.full(count, _NEVER_NS)
        for column, rule in enumerate(rules):
            if rule is not None:
                self._low[column] = -np.inf if rule.low is None else rule.low
                self._high[column] = np.inf if rule.high is None else rule.high
                if rule.stuck_after is not None:
                    self._stuck_ns[column] = round(rule.stuck_after * 1e9)
        for lane in schema.lanes:
            if lane.type in _NOT_NUMBERS:
                self._low[lane.columns], self._high[lane.columns] = -np.inf, np.inf
        self.idle = not any(rules)
        self._scale = schema.scales
        self._offset = np.array([tag.offset for tag in schema.tags], np.float64)
        self._values = [np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes]
        self._number = [lane.type not in _NOT_NUMBERS for lane in schema.lanes]
        self._since_ns = np.zeros(count, np.int64)
        self._known = np.zeros(count, np.bool_)

    def step(self, wave: Wave) -> NDArray[np.uint32]:
        """Judge the samples of a wave; give the status for each, 0 for none, shape (k,)."""
        columns, good = wave.columns, wave.quality & _SEVERITY == 0
        out, moved = np.zeros(len(columns), np.bool_), ~self._known[columns]
        for number, given in enumerate(wave.values):
            rows, slots = wave.rows[number], wave.slots[number]
            last = self._values[number][slots]
            moved[rows] |= _differ(given, last)
            through = good[rows]
            last[through] = given[through]
            self._values[number][slots] = last
            if self._number[number]:
                out[rows] = self._out_of_range(given, columns[rows])
        now_ns = wave.received_ns
        age_ns = now_ns - self._since_ns[columns]
        begins = good & (moved | (age_ns < 0))  # in the future: the clock was set back
        self._since_ns[columns[begins]] = now_ns[begins]
        self._known[columns[good]] = True
        stuck = ~begins & (age_ns >= self._stuck_ns[columns])
        status = np.where(stuck, np.uint32(Quality.UNCERTAIN_SENSOR_NOT_ACCURATE), np.uint32(0))
        status[out] = Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
        status[~good] = 0
        marks: NDArray[np.uint32] = status.astype(np.uint32)
        return marks

    def _out_of_range(self, given: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each raw value lies outside; NaN does not."""
        with np.errstate(invalid="ignore", over="ignore"):
            seen = given.astype(np.float64) * self._scale[columns] + self._offset[columns]
            outside: NDArray[np.bool_] = (seen < self._low[columns]) | (seen > self._high[columns])
            return outside


def _differ(now: NDArray[Any], last: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value is another than the last one; NaN is the same as NaN."""
    differ: NDArray[np.bool_] = np.asarray(now != last, np.bool_)
    return differ & ~(np.isnan(now) & np.isnan(last)) if now.dtype.kind == "f" else differ
