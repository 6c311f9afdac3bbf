"""Thinning: which samples of a stretch of time stay when the disk cannot hold them all.

Owns the choice. Per column and bucket of time these stay, with their own times:

- the first and the last sample, in the order of their source times;
- the first of the least and the first of the greatest values, in raw numbers; a sample of bad
  quality has no value and NaN is no number, but the first NaN of a bucket stays too;
- of texts, instead, the first two changes;
- and, whatever the bucket, the last sample before and the first after each change of quality.

So a curve drawn through what is left touches every peak, a flag that was up is seen to be up, and
nothing that stays is made up. At most five samples of a bucket stay where the quality does not
change. Pure, and numpy on whole columns: never a loop over samples. Must not know records, files
or why room is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import wide_quality
from forebay.model import BAD_SEVERITY, Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from forebay.model import Lane, Schema

    Mask = NDArray[np.bool_]

LEVELS_S = (10, 60, 600)
"""The buckets, in seconds, in the order in which data grows thinner."""
RUN_SAMPLES = 1 << 20
"""Samples that are looked at together; bounds memory to some 60 MB."""

_TEXT_CHANGES = 2


def thin(batches: Sequence[Batch], bucket_s: int) -> list[Batch]:
    """Give for each of these batches, all of one schema and in order, what stays of it, sparse.

    A bucket spans batches: a batch of which nothing stays has no rows. More than `RUN_SAMPLES` are
    taken in several runs, each of which begins its buckets anew.
    """
    out: list[Batch] = []
    for run in _runs(batches):
        flat = _choose(run, bucket_s * 1_000_000_000)
        at = 0
        for batch in run:
            out.append(_kept(batch, flat[at : at + batch.samples]))
            at += batch.samples
    return out


def _runs(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    run: list[Batch] = []
    samples = 0
    for batch in batches:
        if run and samples + batch.samples > RUN_SAMPLES:
            yield run
            run, samples = [], 0
        run.append(batch)
        samples += batch.samples
    if run:
        yield run


class _Long(NamedTuple):
    """Samples of one lane, one after the other, by column and then by source time.

    `place` is each one's number in its run, batch by batch and row by row.
    """

    column: NDArray[Any]
    times_ns: NDArray[np.int64]
    values: NDArray[Any]
    quality: NDArray[np.uint32] | None
    place: NDArray[np.int64]


def _choose(run: Sequence[Batch], bucket_ns: int) -> Mask:
    """Give whether each sample of the run stays, batch by batch and row by row."""
    flat = np.zeros(sum(batch.samples for batch in run), bool)
    for number, lane in enumerate(run[0].schema.lanes):
        long = _long(run, number, lane)
        if len(long.place):
            flat[long.place[_stays(long, bucket_ns)]] = True
    return flat


def _stays(long: _Long, bucket_ns: int) -> Mask:
    """Give whether each of these samples stays."""
    bucket = long.times_ns // bucket_ns
    other = long.column[1:] != long.column[:-1]
    begins = np.concatenate([[True], other | (bucket[1:] != bucket[:-1])])
    stays = begins.copy()
    stays[:-1] |= begins[1:]
    stays[-1] = True
    group = np.cumsum(begins) - 1
    valued = np.ones(len(group), bool)
    if long.quality is not None:
        changes = np.flatnonzero((long.quality[1:] != long.quality[:-1]) & ~other)
        stays[changes] = stays[changes + 1] = True
        valued = (long.quality & np.uint32(BAD_SEVERITY)) == 0
    if long.values.dtype == object:
        stays |= _changes(long.values, begins, group)
        return stays
    if long.values.dtype.kind == "f":
        nan = np.isnan(long.values)
        stays[_firsts(np.flatnonzero(nan & valued), group)] = True
        valued &= ~nan
    there = np.flatnonzero(valued)
    if len(there):
        values, group = long.values[there], group[there]
        starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        lengths = np.diff(starts, append=len(group))
        for extreme in (np.minimum, np.maximum):
            found = values == np.repeat(extreme.reduceat(values, starts), lengths)
            stays[there[_firsts(np.flatnonzero(found), group)]] = True
    return stays


def _firsts(found: NDArray[np.intp], group: NDArray[Any]) -> NDArray[np.intp]:
    """Give the first of `found`, which ascends, in each group."""
    if not len(found):
        return found
    of = group[found]
    first: NDArray[np.intp] = found[np.concatenate([[True], of[1:] != of[:-1]])]
    return first


def _changes(texts: NDArray[np.object_], begins: Mask, group: NDArray[Any]) -> Mask:
    """Give whether each is one of the first changes of text within its group."""
    changed = np.concatenate([[False], (texts[1:] != texts[:-1]).astype(bool)]) & ~begins
    count = np.cumsum(changed)
    rank = count - count[np.flatnonzero(begins)][group]
    few: Mask = changed & (rank <= _TEXT_CHANGES)
    return few


# --- between batches and long columns -------------------------------------------------------------


def _long(run: Sequence[Batch], number: int, lane: Lane) -> _Long:
    """Lay out one lane of all batches of a run."""
    parts: list[_Long] = []
    at = first = 0
    while first < len(run):
        behind = first
        dense = run[first].index is None
        while behind < len(run) and (run[behind].index is None) is dense:
            behind += 1
        part = _dense if dense else _sparse
        parts.append(part(run[first:behind], number, lane, at))
        at += sum(batch.samples for batch in run[first:behind])
        first = behind
    long = parts[0] if len(parts) == 1 else _joined(parts)
    same = long.column[1:] == long.column[:-1]
    rising = long.column[1:] > long.column[:-1]
    if bool((rising | (same & (long.times_ns[1:] >= long.times_ns[:-1]))).all()):
        return long
    order = np.lexsort((long.times_ns, long.column))  # stable: ties stay in the order they came
    return _Long(
        long.column[order],
        long.times_ns[order],
        long.values[order],
        None if long.quality is None else long.quality[order],
        long.place[order],
    )


def _dense(run: Sequence[Batch], number: int, lane: Lane, at: int) -> _Long:
    """Lay out dense batches column by column, which is the order that is wanted."""
    columns, width = lane.columns, len(run[0].schema.tags)
    times = np.concatenate([batch.times_ns for batch in run])
    rows = len(times)
    quality = None
    if any(batch.quality is not None for batch in run):
        wide = np.concatenate([wide_quality(batch) for batch in run])
        quality = wide[:, columns].T.ravel()
    return _Long(
        np.repeat(columns, rows),
        np.tile(times, len(columns)),
        np.concatenate([batch.values[number] for batch in run]).T.ravel(),
        quality,
        (np.arange(rows) * width + (at + columns[:, np.newaxis])).ravel(),
    )


def _sparse(run: Sequence[Batch], number: int, lane: Lane, at: int) -> _Long:  # noqa: ARG001 - as _dense
    """Lay out sparse batches in the order of their rows."""
    index = np.concatenate([batch.index for batch in run if batch.index is not None])
    mine = np.flatnonzero(run[0].schema.lane_of[index] == number)
    quality = None
    if any(batch.quality is not None for batch in run):
        quality = np.concatenate([wide_quality(batch) for batch in run])[mine]
    return _Long(
        index[mine].astype(np.intp),
        np.concatenate([batch.times_ns for batch in run])[mine],
        np.concatenate([batch.values[number] for batch in run]),
        quality,
        mine + at,
    )


def _joined(parts: Sequence[_Long]) -> _Long:
    qualities = [
        np.zeros(len(part.place), np.uint32) if part.quality is None else part.quality
        for part in parts
    ]
    return _Long(
        np.concatenate([part.column for part in parts]),
        np.concatenate([part.times_ns for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate(qualities),
        np.concatenate([part.place for part in parts]),
    )


def _kept(batch: Batch, stays: Mask) -> Batch:
    """Give the samples of one batch that stay, in their order."""
    schema = batch.schema
    if batch.index is None:
        rows, columns = np.nonzero(stays.reshape(batch.rows, len(schema.tags)))
        lane_of, places = schema.lane_of[columns], _places(schema)[columns]
        values = tuple(
            lane[rows[lane_of == number], places[lane_of == number]]
            for number, lane in enumerate(batch.values)
        )
        quality = None if batch.quality is None else batch.quality[rows, columns]
        index = columns.astype(np.uint32)
    else:
        rows = np.flatnonzero(stays)
        lane_of = schema.lane_of[batch.index]
        values = tuple(lane[stays[lane_of == number]] for number, lane in enumerate(batch.values))
        quality = None if batch.quality is None else batch.quality[rows]
        index = batch.index[rows]
    return Batch(schema, batch.times_ns[rows], batch.received_ns[rows], values, quality, index)


def _places(schema: Schema) -> NDArray[np.intp]:
    """Give for each column its place within its lane."""
    places = np.empty(len(schema.tags), np.intp)
    for lane in schema.lanes:
        places[lane.columns] = np.arange(len(lane.columns))
    return places
