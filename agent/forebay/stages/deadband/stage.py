"""The deadband itself, in numpy: no Python object for a sample.

Owns, for each schema, the last value that passed. Must not know configuration files or the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import BAD_SEVERITY, Batch, ValueType
from forebay.sifting import PerSchema, passed, waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.model import Schema
    from forebay.sifting import Wave
    from forebay.stages.deadband.config import DeadbandSettings

_EXACT = (ValueType.BOOL, ValueType.STRING, ValueType.BYTES)


class Deadband:
    """Implements `interfaces.Stage` for one device.

    A sample passes if it is its tag's first, if its quality is not that of the last one passed, if
    it moved by more than the threshold from the last one passed, or if that was `max_silence` ago
    by the gateway's clock (or in its future: the clock was set back). A bad sample has no value
    that could move. What is left of a batch is sparse, unless everything passed.
    """

    def __init__(self, settings: DeadbandSettings) -> None:
        self._filters = PerSchema(lambda schema: _Filter(schema, settings))

    def apply(self, batch: Batch) -> Batch | None:
        """See `Stage.apply`."""
        found = self._filters.of(batch.schema)
        return passed(batch, [(wave, found.step(wave)) for wave in waves(batch)])


class _Filter:
    """The deadband of one schema with n columns. State arrays hold what passed last, by column.

    `_threshold` and `_base` are raw: a value moves if it is farther from the last one than the
    threshold, and farther than `_share` of the last one's distance to `_base`, which is what
    readers see as zero.
    """

    def __init__(self, schema: Schema, settings: DeadbandSettings) -> None:
        count = len(schema.tags)
        rules = [settings.of(tag.name) for tag in schema.tags]
        wanted = np.array(rules, np.float64).reshape(count, 3)
        scales = schema.scales
        self._share = wanted[:, 1] / 100.0
        # A scale of zero makes every raw value the same for readers: only its first one moves.
        self._threshold = np.full(count, np.inf)
        np.divide(wanted[:, 0], np.abs(scales), out=self._threshold, where=scales != 0)
        self._base = np.zeros(count)
        np.divide([-t.offset for t in schema.tags], scales, out=self._base, where=scales != 0)
        for lane in schema.lanes:
            if lane.type in _EXACT:
                self._threshold[lane.columns] = self._share[lane.columns] = 0.0
        self._silence_ns = (wanted[:, 2] * 1e9).astype(np.int64)
        self._shares = [bool(self._share[lane.columns].any()) for lane in schema.lanes]
        self._values = [np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes]
        self._quality = np.zeros(count, np.uint32)
        self._passed_ns = np.zeros(count, np.int64)
        self._known = np.zeros(count, np.bool_)

    def step(self, wave: Wave) -> NDArray[np.bool_]:
        """Judge the samples of a wave, remember those that pass, and give which do, shape (k,)."""
        at, quality = wave.at, wave.quality
        age_ns = wave.received_ns - self._passed_ns[at]
        keep: NDArray[np.bool_] = ~self._known[at] | (quality != self._quality[at])
        keep |= (age_ns >= self._silence_ns[at]) | (age_ns < 0)
        usable = quality & BAD_SEVERITY == 0
        for number, given in enumerate(wave.values):
            rows, slots = wave.rows[number], wave.slots[number]
            last = self._values[number][slots]
            limit = self._limit(number, last, wave.columns[rows])
            keep[rows] |= _moved(given, last, limit) & usable[rows]
            through = keep[rows]
            last[through] = given[through]
            self._values[number][slots] = last
        columns = wave.columns[keep]
        self._quality[columns] = quality[keep]
        self._passed_ns[columns] = wave.received_ns[keep]
        self._known[columns] = True
        return keep

    def _limit(
        self, lane: int, last: NDArray[Any], columns: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Give beyond which raw distance from `last`, values of a lane's `columns`, one moved."""
        limit = self._threshold[columns]
        if not self._shares[lane]:
            return limit
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.abs(last.astype(np.float64) - self._base[columns])
            most: NDArray[np.float64] = np.fmax(limit, self._share[columns] * size)
            return most


def _moved(now: NDArray[Any], last: NDArray[Any], limit: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each raw value moved by more than its raw limit; to and from NaN is a move.

    A limit of 0 compares the values themselves.
    """
    changed: NDArray[np.bool_] = np.asarray(now != last, np.bool_)
    if now.dtype in (object, np.bool_):
        return changed
    far: NDArray[np.bool_] = changed & ((limit == 0) | (_distance(now, last) > limit))
    if now.dtype.kind == "f":
        # From an infinity every other value is far, whatever share of it was allowed.
        far |= changed & (np.isinf(last) | np.isinf(now))
        unlike = np.isnan(now) | np.isnan(last)
        far = np.where(unlike, np.isnan(now) != np.isnan(last), far)
    return far


def _distance(now: NDArray[Any], last: NDArray[Any]) -> NDArray[Any]:
    """Give |now - last|: of integers exactly, as unsigned ones of the same width."""
    if now.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            return np.abs(now.astype(np.float64) - last.astype(np.float64))
    # The larger minus the smaller may wrap in a signed type; read as unsigned it is right.
    apart: NDArray[Any] = np.maximum(now, last) - np.minimum(now, last)
    return apart.view(np.dtype(f"u{apart.dtype.itemsize}"))
