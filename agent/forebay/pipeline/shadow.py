"""The last known value, quality and time of every tag: the box's digital twin.

Owns memory only; it is rebuilt from the devices after a start. Must not know where batches come
from or go to.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.model import Quality, Sample, ValueType, engineering, is_bad

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from forebay.model import Batch, Schema


_DIGEST_CHARACTERS = 12


class Snapshot(NamedTuple):
    """The last sample of each column of a schema at one moment; copies, which nothing changes.

    `values` has an array for each lane of the schema; `place` says where in it a column is.
    """

    schema: Schema
    times_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    quality: NDArray[np.uint32]
    values: tuple[NDArray[Any], ...]
    place: NDArray[np.intp]

    def sample(self, column: int) -> Sample:
        """Give the sample of one column."""
        tag, quality = self.schema.tags[column], int(self.quality[column])
        raw = self.values[self.schema.lane_of[column]][self.place[column]]
        value = None if is_bad(quality) else engineering(tag, raw)
        return Sample(
            tag, int(self.times_ns[column]), int(self.received_ns[column]), value, quality
        )


class _Twin:
    """The last sample of each column of one schema.

    A dense batch is kept as it is until somebody reads. Of bytes their length and the begin of
    their SHA-256 are kept, as text.
    """

    def __init__(self, schema: Schema) -> None:
        count = len(schema.tags)
        self.schema = schema
        self.times_ns = np.zeros(count, np.int64)
        self.received_ns = np.zeros(count, np.int64)
        self.quality = np.full(count, Quality.BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        self.values: list[NDArray[Any]] = [
            np.zeros(len(lane.columns), lane.type.dtype) for lane in schema.lanes
        ]
        self.place = np.empty(count, np.intp)
        for lane in schema.lanes:
            self.place[lane.columns] = np.arange(len(lane.columns))
        self._row: Batch | None = None
        self._blobs = [n for n, lane in enumerate(schema.lanes) if lane.type is ValueType.BYTES]

    def update(self, batch: Batch) -> None:
        if self._blobs:
            batch = self._without_blobs(batch)
        if batch.index is None:
            self._row = batch
            return
        self.settle()
        self.times_ns[batch.index] = batch.times_ns
        self.received_ns[batch.index] = batch.received_ns
        self.quality[batch.index] = 0 if batch.quality is None else batch.quality
        lanes = self.schema.lane_of[batch.index]
        for number, values in enumerate(batch.values):
            self.values[number][self.place[batch.index[lanes == number]]] = values

    def _without_blobs(self, batch: Batch) -> Batch:
        values = list(batch.values)
        for number in self._blobs:
            blobs = values[number] if batch.index is not None else values[number][-1:]
            told = [f"{len(b):,} bytes, SHA-256 {_digest(b)}" for b in blobs.flat]
            values[number] = np.array(told, object).reshape(blobs.shape)
        return replace(batch, values=tuple(values))

    def settle(self) -> None:
        """Spread the kept dense row over the columns."""
        row, self._row = self._row, None
        if row is None or not row.rows:
            return
        self.times_ns[:] = row.times_ns[-1]
        self.received_ns[:] = row.received_ns[-1]
        self.quality[:] = 0 if row.quality is None else row.quality[-1]
        for mine, values in zip(self.values, row.values, strict=True):
            mine[:] = values[-1]

    def sample(self, column: int) -> Sample:
        return self._now().sample(column)

    def snapshot(self) -> Snapshot:
        values = tuple(one.copy() for one in self.values)
        times_ns, received_ns = self.times_ns.copy(), self.received_ns.copy()
        quality = self.quality.copy()
        return Snapshot(self.schema, times_ns, received_ns, quality, values, self.place)

    def _now(self) -> Snapshot:
        values = tuple(self.values)
        return Snapshot(
            self.schema, self.times_ns, self.received_ns, self.quality, values, self.place
        )

    def inherit(self, before: _Twin) -> None:
        """Take over the last samples of the tags that are the same in both schemas."""
        before.settle()
        known = {tag.name: column for column, tag in enumerate(before.schema.tags)}
        for column, tag in enumerate(self.schema.tags):
            was = known.get(tag.name)
            if was is None or before.schema.tags[was] != tag:
                continue
            self.times_ns[column] = before.times_ns[was]
            self.received_ns[column] = before.received_ns[was]
            self.quality[column] = before.quality[was]
            value = before.values[before.schema.lane_of[was]][before.place[was]]
            self.values[self.schema.lane_of[column]][self.place[column]] = value


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()[:_DIGEST_CHARACTERS]


class Shadow:
    """Last values by device and tag."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        """Know every tag of `schemas` from the start.

        Until it is read its quality is BadWaitingForInitialData.
        """
        self._twins = {schema.id: _Twin(schema) for schema in schemas}
        self._columns = {
            (twin.schema.source, tag.name): (twin, column)
            for twin in self._twins.values()
            for column, tag in enumerate(twin.schema.tags)
        }
        self.turns = 0
        """How often there came to be other tags."""

    def follow(self, known: Mapping[str, Iterable[Schema]]) -> None:
        """Know of each source in `known` the tags of its schemas, and no others, from now on.

        A tag that stays as it was keeps its last sample, in whichever group it is now.
        """
        self.turns += 1
        before: dict[str, list[_Twin]] = {}
        for id_, twin in tuple(self._twins.items()):
            if twin.schema.source in known:
                before.setdefault(twin.schema.source, []).append(self._twins.pop(id_))
        for source, schemas in known.items():
            olds = before.get(source, [])
            for schema in schemas:
                same = next((old for old in olds if old.schema.id == schema.id), None)
                twin = self._twins[schema.id] = same or _Twin(schema)
                for old in olds if same is None else ():
                    twin.inherit(old)
        self._columns = {
            (twin.schema.source, tag.name): (twin, column)
            for twin in self._twins.values()
            for column, tag in enumerate(twin.schema.tags)
        }

    def update(self, batch: Batch) -> None:
        """Take the newest of `batch`.

        Called for each batch in the order of its source; a poll costs one assignment.
        """
        twin = self._twins.get(batch.schema.id)
        if twin is None:
            self.turns += 1
            twin = self._twins[batch.schema.id] = _Twin(batch.schema)
            for column, tag in enumerate(batch.schema.tags):
                self._columns[batch.schema.source, tag.name] = (twin, column)
        twin.update(batch)

    def get(self, device: str, tag: str) -> tuple[Schema, Sample] | None:
        """Give a tag's schema and last sample, or None if there is no such tag."""
        found = self._columns.get((device, tag))
        if found is None:
            return None
        twin, column = found
        twin.settle()
        return twin.schema, twin.sample(column)

    def walk(self, device: str = "") -> Iterator[tuple[Schema, int]]:
        """Give (schema, column) of every tag of `device`, or of all; cheap, no value is touched."""
        for twin in self._twins.values():
            if not device or twin.schema.source == device:
                for column in range(len(twin.schema.tags)):
                    yield twin.schema, column

    def sample(self, schema: Schema, column: int) -> Sample:
        """Give the last sample of one column that `walk` named."""
        twin = self._twins[schema.id]
        twin.settle()
        return twin.sample(column)

    def snapshots(self) -> list[Snapshot]:
        """Give all there is at this moment, a snapshot for each schema; no value is looked at."""
        for twin in self._twins.values():
            twin.settle()
        return [twin.snapshot() for twin in self._twins.values()]

    def bad_counts(self) -> dict[str, int]:
        """Give for each device how many of its tags have no usable value now."""
        counts: dict[str, int] = {}
        for twin in self._twins.values():
            twin.settle()
            bad = int(np.count_nonzero(twin.quality >> 31))
            counts[twin.schema.source] = counts.get(twin.schema.source, 0) + bad
        return counts
