"""What stages that hold samples back share: batches as waves of vectors, and back into a batch.

Owns how a batch is walked without a Python object for a sample, and the rule that a tag gets. Must
not know what makes a sample pass.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from forebay.model import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from forebay.model import Schema, Stream

    Places: TypeAlias = NDArray[np.intp] | slice
    """An index into an array: of some places, or of all."""


MAX_SCHEMAS = 256
"""Schemas remembered per device; beyond that the one unused for longest begins anew."""


class Wave(NamedTuple):
    """Samples of k columns of one schema, none of them twice.

    `times_ns`, `received_ns`, `quality` and `columns` have shape (k,), and so has `boottime_ns`,
    unless nobody knows it. `values[l]` are those of lane l, `rows[l]` where they stand among the k,
    and `slots[l]` where their columns stand in the lane. `samples` are their rows in a sparse
    batch; None for a row of a dense one, which has every column, in order.
    """

    columns: NDArray[np.intp]
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    boottime_ns: NDArray[np.int64] | None
    quality: NDArray[np.uint32]
    values: tuple[NDArray[Any], ...]
    rows: tuple[NDArray[np.intp], ...]
    slots: tuple[Places, ...]
    samples: NDArray[np.intp] | None

    @property
    def at(self) -> Places:
        """The columns as an index into arrays of the schema's n columns."""
        return slice(None) if self.samples is None else self.columns


def waves(batch: Batch) -> Iterator[Wave]:
    """Walk a batch in order: a dense one row by row.

    Of a sparse one, wave k holds the k-th sample of each column.
    """
    return _dense(batch) if batch.index is None else _sparse(batch, batch.index)


def _dense(batch: Batch) -> Iterator[Wave]:
    schema = batch.schema
    count = len(schema.tags)
    columns, good = np.arange(count), np.zeros(count, np.uint32)
    rows = tuple(lane.columns for lane in schema.lanes)
    slots = (slice(None),) * len(rows)
    boottime_ns = batch.boottime_ns
    for row in range(batch.rows):
        yield Wave(
            columns,
            np.broadcast_to(batch.times_ns[row], count),
            np.broadcast_to(batch.received_ns[row], count),
            None if boottime_ns is None else np.broadcast_to(boottime_ns[row], count),
            good if batch.quality is None else batch.quality[row],
            tuple(values[row] for values in batch.values),
            rows,
            slots,
            samples=None,
        )


def _sparse(batch: Batch, index: NDArray[np.uint32]) -> Iterator[Wave]:
    schema, boottime_ns = batch.schema, batch.boottime_ns
    lane_of = schema.lane_of[index]
    in_lane = [np.flatnonzero(lane_of == number) for number in range(len(batch.values))]
    turn = _turns(index)
    for number in range(int(turn.max(initial=-1)) + 1):
        samples = np.flatnonzero(turn == number)
        columns = index[samples].astype(np.intp)
        rows = tuple(np.flatnonzero(lane_of[samples] == lane) for lane in range(len(in_lane)))
        yield Wave(
            columns,
            batch.times_ns[samples],
            batch.received_ns[samples],
            None if boottime_ns is None else boottime_ns[samples],
            np.zeros(len(samples), np.uint32) if batch.quality is None else batch.quality[samples],
            tuple(
                values[np.searchsorted(in_lane[lane], samples[rows[lane]])]
                for lane, values in enumerate(batch.values)
            ),
            rows,
            tuple(
                np.searchsorted(schema.lanes[lane].columns, columns[places])
                for lane, places in enumerate(rows)
            ),
            samples=samples,
        )


def _turns(index: NDArray[np.uint32]) -> NDArray[np.intp]:
    """For each sample, how many of the same column came before it in the batch."""
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    first = np.searchsorted(ordered, ordered)
    turns = np.empty(len(index), np.intp)
    turns[order] = np.arange(len(index)) - first
    return turns


class Kept(NamedTuple):
    """Samples that go on: as the fields of a sparse batch, whose index is `columns`."""

    columns: NDArray[np.intp]
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    boottime_ns: NDArray[np.int64] | None
    quality: NDArray[np.uint32]
    values: tuple[NDArray[Any], ...]


def kept(wave: Wave, keep: NDArray[np.bool_]) -> Kept:
    """Give those samples of a wave that `keep`, of shape (k,), says."""
    boottime_ns = wave.boottime_ns
    return Kept(
        wave.columns[keep],
        wave.times_ns[keep],
        wave.received_ns[keep],
        None if boottime_ns is None else boottime_ns[keep],
        wave.quality[keep],
        tuple(values[keep[rows]] for values, rows in zip(wave.values, wave.rows, strict=True)),
    )


def joined(schema: Schema, stream: Stream, parts: Sequence[Kept]) -> Batch | None:
    """Give the samples of `parts`, in order, as one sparse batch; None if there is none."""
    parts = [part for part in parts if len(part.columns)]
    if not parts:
        return None
    boottimes = [part.boottime_ns for part in parts if part.boottime_ns is not None]
    quality = np.concatenate([part.quality for part in parts])
    return Batch(
        schema,
        np.concatenate([part.times_ns for part in parts]),
        np.concatenate([part.received_ns for part in parts]),
        tuple(
            np.concatenate([part.values[lane] for part in parts])
            for lane in range(len(schema.lanes))
        ),
        quality if quality.any() else None,
        np.concatenate([part.columns for part in parts]).astype(np.uint32),
        np.concatenate(boottimes) if len(boottimes) == len(parts) else None,
        stream,
    )


def passed(batch: Batch, judged: Sequence[tuple[Wave, NDArray[np.bool_]]]) -> Batch | None:
    """Give those samples of `batch` that its waves keep, in their order; None if there is none.

    It is `batch` itself if they keep all.
    """
    if all(keep.all() for _, keep in judged):
        return batch
    if batch.index is None:
        return joined(batch.schema, batch.stream, [kept(wave, keep) for wave, keep in judged])
    keep_row = np.zeros(batch.rows, np.bool_)
    for wave, keep in judged:
        keep_row[wave.samples] = keep
    lane_of = batch.schema.lane_of[batch.index]
    part = Kept(
        batch.index[keep_row].astype(np.intp),
        batch.times_ns[keep_row],
        batch.received_ns[keep_row],
        None if batch.boottime_ns is None else batch.boottime_ns[keep_row],
        np.zeros(int(keep_row.sum()), np.uint32)
        if batch.quality is None
        else batch.quality[keep_row],
        tuple(values[keep_row[lane_of == lane]] for lane, values in enumerate(batch.values)),
    )
    return joined(batch.schema, batch.stream, [part])


class Rule(Protocol):
    """What some tags get: those whose names match the shell pattern `tags`."""

    @property
    def tags(self) -> str:
        """The pattern."""
        ...


R = TypeVar("R", bound=Rule)
S = TypeVar("S")


def first_match(rules: Iterable[R], tag_name: str) -> R | None:
    """Give the first rule that is for a tag of this name."""
    return next((rule for rule in rules if fnmatchcase(tag_name, rule.tags)), None)


class PerSchema(Generic[S]):
    """What a stage remembers, schema by schema; a new one where `make` has not been asked yet."""

    def __init__(self, make: Callable[[Schema], S]) -> None:
        self._make = make
        self._of: dict[int, S] = {}

    def of(self, schema: Schema) -> S:
        """Give what is remembered for `schema`."""
        found = self._of.pop(schema.id, None) or self._make(schema)
        self._of[schema.id] = found
        if len(self._of) > MAX_SCHEMAS:
            del self._of[next(iter(self._of))]
        return found
