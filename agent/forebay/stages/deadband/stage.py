"""The deadband itself, in numpy: no Python object for a sample.

Owns, for each schema, the last value that passed. Must not know configuration files or the journal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import BAD_SEVERITY, Batch, ValueType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.model import Schema
    from forebay.stages.deadband.config import DeadbandSettings

MAX_SCHEMAS = 256
"""Schemas remembered per device; beyond that the one unused for longest begins anew."""

_EXACT = (ValueType.BOOL, ValueType.STRING)


class Deadband:
    """Implements `interfaces.Stage` for one device.

    A sample passes if it is its tag's first, if its quality is not that of the last one passed, if
    it moved by more than the threshold from the last one passed, or if that was `max_silence` ago
    by the gateway's clock (or in its future: the clock was set back). A bad sample has no value
    that could move. What is left of a batch is sparse, unless everything passed.
    """

    def __init__(self, settings: DeadbandSettings) -> None:
        self._settings = settings
        self._filters: dict[int, _Filter] = {}

    def apply(self, batch: Batch) -> Batch | None:
        """See `Stage.apply`."""
        schema = batch.schema
        found = self._filters.pop(schema.id, None) or _Filter(schema, self._settings)
        self._filters[schema.id] = found
        if len(self._filters) > MAX_SCHEMAS:
            del self._filters[next(iter(self._filters))]
        return found.dense(batch) if batch.index is None else found.sparse(batch, batch.index)


class _Filter:
    """The deadband of one schema with n columns. State arrays hold what passed last, by column."""

    def __init__(self, schema: Schema, settings: DeadbandSettings) -> None:
        count = len(schema.tags)
        wanted = np.array([settings.of(tag.name) for tag in schema.tags], np.float64)
        wanted = wanted.reshape(count, 2)
        scales = np.abs(schema.scales)
        # A scale of zero makes every raw value the same for readers: only its first one moves.
        self._threshold = np.full(count, np.inf)
        np.divide(wanted[:, 0], scales, out=self._threshold, where=scales > 0)
        for lane in schema.lanes:
            if lane.type in _EXACT:
                self._threshold[lane.columns] = 0.0
        self._silence_ns = (wanted[:, 1] * 1e9).astype(np.int64)
        self._schema = schema
        self._values = [np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes]
        self._quality = np.zeros(count, np.uint32)
        self._passed_ns = np.zeros(count, np.int64)
        self._known = np.zeros(count, np.bool_)

    def dense(self, batch: Batch) -> Batch | None:
        """Filter scans: row after row, each as one vector."""
        rows, count = batch.rows, len(self._schema.tags)
        keep = np.empty((rows, count), np.bool_)
        everything = np.arange(count)
        for row in range(rows):
            keep[row] = self._step(
                everything,
                [values[row] for values in batch.values],
                None if batch.quality is None else batch.quality[row],
                np.full(count, batch.received_ns[row]),
            )
        if keep.all():
            return batch
        at, index = np.nonzero(keep)
        if not len(at):
            return None
        lanes = zip(self._schema.lanes, batch.values, strict=True)
        return Batch(
            schema=batch.schema,
            times_ns=batch.times_ns[at],
            received_ns=batch.received_ns[at],
            values=tuple(values[keep[:, lane.columns]] for lane, values in lanes),
            quality=_unless_good(None if batch.quality is None else batch.quality[keep]),
            index=index.astype(np.uint32),
        )

    def sparse(self, batch: Batch, index: NDArray[np.uint32]) -> Batch | None:
        """Filter samples: wave k holds the k-th sample of each column, so a wave is one vector."""
        keep = np.zeros(batch.rows, np.bool_)
        lane_of = self._schema.lane_of[index]
        in_lane = [np.flatnonzero(lane_of == number) for number in range(len(batch.values))]
        turn = _turns(index)
        for wave in range(int(turn.max(initial=-1)) + 1):
            rows = np.flatnonzero(turn == wave)
            values = [
                lane_values[np.searchsorted(places, rows[lane_of[rows] == number])]
                for number, (places, lane_values) in enumerate(
                    zip(in_lane, batch.values, strict=True)
                )
            ]
            quality = None if batch.quality is None else batch.quality[rows]
            keep[rows] = self._step(index[rows], values, quality, batch.received_ns[rows])
        if keep.all():
            return batch
        if not keep.any():
            return None
        lanes = zip(in_lane, batch.values, strict=True)
        return replace(
            batch,
            times_ns=batch.times_ns[keep],
            received_ns=batch.received_ns[keep],
            values=tuple(values[keep[places]] for places, values in lanes),
            quality=_unless_good(None if batch.quality is None else batch.quality[keep]),
            index=index[keep],
        )

    def _step(
        self,
        columns: NDArray[Any],
        values: list[NDArray[Any]],
        quality: NDArray[np.uint32] | None,
        now_ns: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Judge one sample each of `columns` (k,), remember those that pass, and give which do.

        `values[l]` holds those of lane l in the order of `columns`.
        """
        if quality is None:
            quality = np.zeros(len(columns), np.uint32)
        age_ns = now_ns - self._passed_ns[columns]
        keep: NDArray[np.bool_] = ~self._known[columns] | (quality != self._quality[columns])
        keep |= (age_ns >= self._silence_ns[columns]) | (age_ns < 0)
        usable = quality & BAD_SEVERITY == 0
        lane_of = self._schema.lane_of[columns]
        for number, given in enumerate(values):
            rows = np.flatnonzero(lane_of == number)
            places = np.searchsorted(self._schema.lanes[number].columns, columns[rows])
            last = self._values[number][places]
            moved = _moved(given, last, self._threshold[columns[rows]])
            keep[rows] |= moved & usable[rows]
            passed = keep[rows]
            self._values[number][places[passed]] = given[passed]
        kept = columns[keep]
        self._quality[kept] = quality[keep]
        self._passed_ns[kept] = now_ns[keep]
        self._known[kept] = True
        return keep


def _moved(
    now: NDArray[Any], last: NDArray[Any], threshold: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each raw value moved by more than its raw threshold; to and from NaN is a move.

    A threshold of 0 compares the values themselves.
    """
    changed: NDArray[np.bool_] = np.asarray(now != last, np.bool_)
    if now.dtype in (object, np.bool_):
        return changed
    far: NDArray[np.bool_] = changed & ((threshold == 0) | (_distance(now, last) > threshold))
    if now.dtype.kind == "f":
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


def _turns(index: NDArray[np.uint32]) -> NDArray[np.intp]:
    """For each sample, how many of the same column came before it in the batch."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    first = np.searchsorted(ordered, ordered)
    turns = np.empty(len(index), np.intp)
    turns[order] = np.arange(len(index)) - first
    return turns


def _unless_good(quality: NDArray[np.uint32] | None) -> NDArray[np.uint32] | None:
    return quality if quality is not None and quality.any() else None
