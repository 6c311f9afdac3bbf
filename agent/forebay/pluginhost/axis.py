"""The rows of one axis in memory: appended at one end, let go at the other.

Owns the buffers. What was given out is never written to again, so that a work that is on its way
to a plugin stays as it is. Must not know windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.pluginhost.rows import NO_DATA, blank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from forebay.model import ValueType
    from forebay.pluginhost.rows import Block

_LEAST_ROWS = 64
_OBJECT_BYTES = 64
"""Roughly what a text in memory takes beside its letters."""


class Axis:
    """Times and values of the inputs that are read together. Rows are numbered from 0 for ever."""

    def __init__(self, inputs: Sequence[int], types: Sequence[ValueType]) -> None:
        """Hold `inputs`, whose types are `types`; no rows yet."""
        self.inputs, self._types = tuple(inputs), tuple(types)
        self._place = {number: place for place, number in enumerate(self.inputs)}
        self.first = self.end = 0
        """The first row that is held, and the one behind the last."""
        self.ascending = True
        """Whether no held row is older than the one before it."""
        self._base = 0
        self._times = np.empty(0, np.int64)
        self._received = np.empty(0, np.int64)
        self._values: list[NDArray[Any]] = [blank(kind, 0) for kind in self._types]
        self._quality = np.empty((0, len(self.inputs)), np.uint32)

    @property
    def nbytes(self) -> int:
        """What the held rows take, about."""
        each = 16 + 4 * len(self.inputs)
        each += sum(_OBJECT_BYTES if v.dtype == object else v.itemsize for v in self._values)
        return each * (self.end - self.first)

    def append(self, block: Block) -> None:
        """Put the rows of a block behind; an input that it has not is BadNoData in them."""
        rows = len(block.times_ns)
        if not rows:
            return
        times = block.times_ns
        back = bool((times[1:] < times[:-1]).any())
        if self.end > self.first:
            back = back or bool(times[0] < self._times[self.end - 1 - self._base])
            self.ascending = self.ascending and not back
        else:
            self.ascending = not back
        at = self._room(rows)
        here = slice(at, at + rows)
        self._times[here], self._received[here] = block.times_ns, block.received_ns
        places = [self._place[number] for number in block.inputs]
        if len(places) == len(self.inputs):
            self._quality[here] = block.quality
        else:
            self._quality[here] = NO_DATA
            for column, place in enumerate(places):
                self._quality[here, place] = block.quality[:, column]
        for place, values in zip(places, block.values, strict=True):
            self._values[place][here] = values
        self.end += rows

    def times(self, first: int, end: int) -> NDArray[np.int64]:
        """Give the times of the rows `first` up to `end`; a view."""
        return self._times[first - self._base : end - self._base]

    def since(self, time_ns: int) -> int:
        """Give the first held row that is not older than `time_ns`."""
        held = self.times(self.first, self.end)
        if self.ascending:
            return self.first + int(np.searchsorted(held, time_ns))
        younger = held >= time_ns
        return self.first + int(np.argmax(younger)) if younger.any() else self.end

    def span(self, begin_ns: int, end_ns: int) -> tuple[int, int]:
        """Give the held rows from the first to behind the last of [begin_ns, end_ns).

        There are others between them only where the axis is not ascending.
        """
        held = self.times(self.first, self.end)
        if self.ascending:
            low, high = np.searchsorted(held, (begin_ns, end_ns))
            return self.first + int(low), self.first + int(high)
        inside = np.flatnonzero((held >= begin_ns) & (held < end_ns))
        if not len(inside):
            return self.end, self.end
        return self.first + int(inside[0]), self.first + int(inside[-1]) + 1

    def spans(
        self, begin_ns: NDArray[np.int64], end_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give `span` for many at once: first rows, and those behind the last."""
        if self.ascending:
            held = self.times(self.first, self.end)
            low, high = np.searchsorted(held, begin_ns), np.searchsorted(held, end_ns)
            return self.first + low, self.first + high
        both = zip(begin_ns.tolist(), end_ns.tolist(), strict=True)
        found = np.array([self.span(begin, end) for begin, end in both], np.int64)
        return found[:, 0], found[:, 1]

    def received(self, first: int, end: int) -> NDArray[np.int64]:
        """Give when the gateway had these rows."""
        return self._received[first - self._base : end - self._base]

    def values(self, place: int, first: int, end: int) -> NDArray[Any]:
        """Give the values of the input at `place`; a view."""
        return self._values[place][first - self._base : end - self._base]

    def quality(self, place: int, first: int, end: int) -> NDArray[np.uint32] | None:
        """Give the qualities of the input at `place`; None if all are Good."""
        found = self._quality[first - self._base : end - self._base, place]
        return found if found.any() else None

    def drop(self, first: int) -> None:
        """Let go of the rows before `first`."""
        self.first = min(self.end, max(self.first, first))

    def _room(self, rows: int) -> int:
        """Make room for `rows` more; give where they begin."""
        at = self.end - self._base
        if at + rows <= len(self._times):
            return at
        low, kept = self.first - self._base, self.end - self.first
        size = max(_LEAST_ROWS, 2 * (kept + rows))
        self._times = _grown(self._times[low:at], size)
        self._received = _grown(self._received[low:at], size)
        self._quality = _grown(self._quality[low:at], size)
        self._values = [
            _filled(values[low:at], kind, size)
            for values, kind in zip(self._values, self._types, strict=True)
        ]
        self._base = self.first
        return kept


def _grown(kept: NDArray[Any], size: int) -> NDArray[Any]:
    larger = np.zeros((size, *kept.shape[1:]), kept.dtype)
    larger[: len(kept)] = kept
    return larger


def _filled(kept: NDArray[Any], kind: ValueType, size: int) -> NDArray[Any]:
    larger = blank(kind, size)
    larger[: len(kept)] = kept
    return larger
