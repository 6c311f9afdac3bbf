"""A plugin on data that is past: the same windows as live, from segment files, and the difference.

Owns the feed of segment files and the comparison with results that stand in the journal. Nothing is
written but to the plugin's own directories, and no value goes to a device. Must not know the
command line.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.clock import Stamp
from forebay.columnar import decode_batch, peek_schema_id
from forebay.errors import JournalCorrupt
from forebay.model import RecordKind, Stream
from forebay.pluginhost.results import WINDOW, checked, events, results_schemas, sparse
from forebay.pluginhost.rows import Selection, key_of
from forebay.pluginhost.rule import Rule
from forebay.pluginhost.running import Running
from forebay.pluginhost.seams import OutputKind
from forebay.pluginhost.windows import Moment, Taken, Through, Windows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

    from forebay.journal.offline import OfflineJournal, SegmentFile
    from forebay.model import Batch, Schema
    from forebay.pluginhost.results import Piece
    from forebay.pluginhost.running import Ground
    from forebay.pluginhost.seams import Results, Window, Work
    from forebay.pluginhost.settings import Instance

SHOWN_MOST = 1_000
"""Differences that are kept to be shown; all are counted."""
_HIDDEN = frozenset({WINDOW, "id"})
"""What counts windows from another beginning."""


class Sample(NamedTuple):
    """One value of a result: bit for bit, None if it is bad."""

    value: bool | int | float | str | bytes | None
    quality: int


class Place(NamedTuple):
    """Where a result stands: several samples of one output may have one time."""

    stream: Stream
    output: str
    time_ns: int


class Difference(NamedTuple):
    """What stands in the journal at one place, and what the plugin gave now; empty for nothing."""

    place: Place
    standing: tuple[Sample, ...]
    given: tuple[Sample, ...]


@dataclass(slots=True)
class Comparison:
    """How results of now compare with those that stand.

    `equal` places hold the same, bit for bit; `different` do not; `only_given` and `only_standing`
    hold results of one side only. Only places are compared that lie between the first and the last
    that was given, and not behind the last that stands in a stream: the gateway may be running, and
    what it gives next is not there yet.
    """

    windows: int = 0
    failed: int = 0
    equal: int = 0
    different: int = 0
    only_given: int = 0
    only_standing: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether all that stands came again, and nothing else."""
        return not (self.different or self.only_given or self.only_standing)


class Replayed(NamedTuple):
    """One window and what the plugin gave for it: what may stand.

    `refused` is with the first window of a work, for all of it: by reason, how many samples.
    `failure` is not empty if it could not work on it.
    """

    window: Window
    given: tuple[Piece, ...]
    refused: Mapping[str, int]
    failure: str


class Past:
    """What segment files hold for one instance: its inputs, and the results that stand. Blocks."""

    def __init__(self, instance: Instance, journal: OfflineJournal, first: SegmentFile) -> None:
        """Read from `first` on to the end of the journal, other streams from the same time on.

        JournalMissing if it cannot be read.
        """
        self._instance, self._journal, self._first = instance, journal, first
        self.damaged = 0
        """Records that could not be read."""
        self.standing: dict[Place, tuple[Sample, ...]] = {}
        """The results of this instance that stand."""
        content = journal.read(first)
        records = () if content is None else content.records()
        times = [r.time_min_ns for r in records if r.kind is RecordKind.BATCH]
        self._from_ns = min(times, default=0)
        schemas: dict[tuple[Stream, int], Schema] = {}
        for stream in (Stream.EVENTS, Stream.TELEMETRY, Stream.BULK):
            for record in self._records(stream):
                schema = self._schema(record.payload)
                if schema is None:
                    continue
                schemas[stream, schema.id] = schema
                if schema.source == instance.name:
                    batch = self._decoded(stream, record.payload, schema)
                    if batch is not None:
                        _lay(self.standing, stream, batch)
        known = [(stream, schema) for (stream, _), schema in schemas.items()]
        self.selection = Selection(instance.inputs, known, instance.name)
        """The inputs that are there."""

    def batches(self) -> Iterator[Batch]:
        """Walk what is wanted, in the order of the journal; several streams by time."""
        streams = [
            ((record.time_max_ns, number, stream, record.payload) for number, record in
             enumerate(self._records(stream)))
            for stream in self.selection.streams
        ]  # fmt: skip
        for _, _, stream, payload in streams[0] if len(streams) == 1 else heapq.merge(*streams):
            schema = self._schema(payload)
            if schema is not None and self.selection.of(stream, schema) is not None:
                batch = self._decoded(stream, payload, schema)
                if batch is not None:
                    yield batch

    def _records(self, stream: Stream) -> Iterator[Any]:
        for file in self._journal.segments(stream):
            if stream is self._first.stream and file.place < self._first.place:
                continue
            content = self._journal.read(file)
            for record in () if content is None else content.records():
                if record.kind is RecordKind.SCHEMA:
                    self._journal.schemas.take(record.payload)
                elif record.kind is RecordKind.BATCH and (
                    stream is self._first.stream or record.time_max_ns >= self._from_ns
                ):
                    yield record

    def _schema(self, payload: bytes) -> Schema | None:
        try:
            return self._journal.schemas.find(peek_schema_id(payload))
        except JournalCorrupt:
            self.damaged += 1
            return None

    def _decoded(self, stream: Stream, payload: bytes, schema: Schema) -> Batch | None:
        try:
            return replace(decode_batch(payload, schema), stream=stream)
        except JournalCorrupt:
            self.damaged += 1
            return None


def works(past: Past, instance: Instance) -> Iterator[Work]:
    """Cut what is past into windows, as they were cut live. Blocks while it reads.

    Windows of rows that do not follow each other row by row begin where those began whose results
    stand, if there are any.
    """
    rule = Rule.of(instance.window)
    phase = 0
    if not rule.every_ns and rule.stride > 1 and past.standing:
        phase = _phase(past, rule)
    selection = past.selection
    windows = Windows(
        rule, selection.inputs, selection.members, Moment(Through(0, phase, None), {})
    )
    for batch in past.batches():
        chosen = selection.of(batch.stream, batch.schema)
        assert chosen is not None
        together = windows.together(key_of(batch))
        windows.add(selection.blocks(batch, chosen, together=together))
        while (work := windows.take(instance.manifest.plugin.batch)) is not None:
            yield work
            assert isinstance(work.mark, Taken)
            windows.forget(work.mark.after)


async def replay(instance: Instance, past: Past, ground: Ground) -> AsyncIterator[Replayed]:
    """Run the plugin over what is past; give each window with what it gave.

    PluginError if it does not start, dies or is too slow: nothing is tried twice.
    """
    running = await Running.start(instance, ground, past.selection.inputs, replay=True)
    try:
        cut = works(past, instance)
        while (work := await asyncio.to_thread(next, cut, None)) is not None:
            for one in judged(instance, work, await _answered(running, work)):
                yield one
    finally:
        await running.stop("the replay is over")


def judged(instance: Instance, work: Work, results: Results) -> Iterator[Replayed]:
    """Give what may stand of the results of a work, window by window."""
    refused: Counter[str] = Counter()
    pieces = checked(work, results, instance.outputs, refused)
    counted = {reason: count for reason, count in refused.items() if count}
    for place, window in enumerate(work.windows):
        mine = (piece.of(place, place + 1) for piece in pieces)
        given = tuple(piece for piece in mine if len(piece.values))
        yield Replayed(window, given, counted, results.failures.get(place, ""))
        counted = {}


async def _answered(running: Running, work: Work) -> Results:
    answer: asyncio.Future[Results] = asyncio.get_running_loop().create_future()
    await running.channel.send(work, answer)
    await asyncio.wait((answer, running.lost), return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        raise running.lost.result()
    return answer.result()


def compare(instance: Instance, past: Past, replayed: Iterable[Replayed]) -> Comparison:
    """Hold what a plugin gave against what stands."""
    told = Comparison()
    given: dict[Place, tuple[Sample, ...]] = {}
    shapes = results_schemas(instance.name, instance.outputs)
    streams = {OutputKind.TAG: Stream.TELEMETRY, OutputKind.BLOB: Stream.BULK}
    at = Stamp(0, 0)
    for one in replayed:
        told.windows += 1
        told.failed += bool(one.failure)
        told.refused.update(one.refused)
        for kind, stream in streams.items():
            schema = shapes.results if stream is Stream.TELEMETRY else shapes.blobs
            mine = [p for p in one.given if instance.outputs[p.output].kind is kind]
            if mine and schema is not None:
                column = {tag.name: place for place, tag in enumerate(schema.tags)}
                pieces = [(column[instance.outputs[p.output].name], p) for p in mine]
                _lay(given, stream, sparse(schema, stream, pieces, 0, at))
        mine = [p for p in one.given if instance.outputs[p.output].kind is OutputKind.EVENT]
        if mine and shapes.events is not None:
            _lay(given, Stream.EVENTS, events(shapes.events, mine, instance.outputs, 0, 0, at))
    _held(told, past.standing, given)
    return told


def _held(
    told: Comparison,
    standing: dict[Place, tuple[Sample, ...]],
    given: dict[Place, tuple[Sample, ...]],
) -> None:
    times = [place.time_ns for place in given]
    begin, end = min(times, default=0), max(times, default=-1)
    compared = {place: v for place, v in standing.items() if begin <= place.time_ns <= end}
    last: dict[Stream, int] = {}
    for place in standing:
        last[place.stream] = max(place.time_ns, last.get(place.stream, place.time_ns))
    until_ns = min(last.values(), default=end)
    for place in sorted(given.keys() | compared.keys(), key=lambda p: (p.time_ns, p)):
        if place.time_ns > last.get(place.stream, until_ns):
            continue
        was, now = compared.get(place, ()), given.get(place, ())
        if _bits(was) == _bits(now):
            told.equal += 1
            continue
        told.different += bool(was and now)
        told.only_given += not was
        told.only_standing += not now
        if len(told.differences) < SHOWN_MOST:
            told.differences.append(Difference(place, was, now))


def _bits(samples: Sequence[Sample]) -> list[tuple[object, ...]]:
    """Give what makes samples equal: the bits of a float, not what `==` makes of them."""
    return [
        (type(s.value), np.float64(s.value).tobytes() if isinstance(s.value, float) else s.value,
         s.quality)
        for s in samples
    ]  # fmt: skip


def _lay(into: dict[Place, tuple[Sample, ...]], stream: Stream, batch: Batch) -> None:
    """Put the samples of a batch of results where they stand; an event is one of its output."""
    for name, time_ns, sample in _events(batch) if stream is Stream.EVENTS else _values(batch):
        place = Place(stream, name, time_ns)
        into[place] = (*into.get(place, ()), sample)


def _values(batch: Batch) -> Iterator[tuple[str, int, Sample]]:
    for one in batch.iter_samples():
        if one.tag.name != WINDOW:
            yield one.tag.name, one.time_ns, Sample(one.value, one.quality)


def _events(batch: Batch) -> Iterator[tuple[str, int, Sample]]:
    """Give events, each as one text of all that it says; its id counts from another beginning."""
    cells: dict[str, object] = {}
    time_ns = 0
    for one in batch.iter_samples():
        if one.tag.name == "id" and cells:
            yield _event(cells, time_ns)
            cells = {}
        if one.value is not None:
            cells[one.tag.name], time_ns = one.value, one.time_ns
    if cells:
        yield _event(cells, time_ns)


def _event(cells: Mapping[str, object], time_ns: int) -> tuple[str, int, Sample]:
    known = {name: value for name, value in cells.items() if name not in _HIDDEN}
    name, message = str(known.pop("type", "")), str(known.pop("message", ""))
    more = ", ".join(f"{what}={value}" for what, value in known.items())
    return name, time_ns, Sample(f"{message} ({more})" if more else message, 0)


def _phase(past: Past, rule: Rule) -> int:
    """Give the first row of the first window, so that windows end where results stand."""
    times: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for batch in past.batches():
        chosen = past.selection.of(batch.stream, batch.schema)
        assert chosen is not None
        blocks = past.selection.blocks(batch, chosen, together=None)
        times += [block.times_ns for block in blocks if 0 in block.inputs]
    if not times:
        return 0
    there = {place.time_ns for place in past.standing}
    ends = np.isin(np.concatenate(times), list(there))
    counts = [
        int(np.count_nonzero(ends[phase + rule.rows - 1 :: rule.stride]))
        for phase in range(rule.stride)
    ]
    return int(np.argmax(counts))


def segment(journal: OfflineJournal, name: str) -> SegmentFile | None:
    """Give the segment FILE or STREAM/FILE, by itself one of telemetry first; None for none."""
    part, _, file = name.rpartition("/")
    for stream in (Stream.TELEMETRY, *Stream):
        if not part or part == stream.value:
            for one in journal.segments(stream):
                if one.path.name == file:
                    return one
    return None
