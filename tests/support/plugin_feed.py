"""A real journal and pipeline with a plugin's feed, and a plugin that is a function.

The disk is in memory, so that a world can be killed at any moment and another one begun on what was
left of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable  # noqa: TC003 - an alias stands on it
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.clock import SystemClock
from forebay.columnar import decode_batch, decode_gap, peek_schema_id
from forebay.journal.journal import Journal
from forebay.model import Batch, Gap, RecordKind, Schema, Stream, Tag, ValueType
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.pluginhost.feed import FeedParts, JournalFeed
from forebay.pluginhost.manifest import Manifest
from forebay.pluginhost.seams import OutputColumn, Results
from forebay.pluginhost.settings import Instance, PluginSettings, combine
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, PLENTY, read_all, seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from forebay.errors import Fault
    from forebay.pluginhost.seams import Verdict, Window, Work
    from forebay.pluginhost.views import Write

PUMP = Schema(
    "pump",
    "fast",
    (
        Tag("speed", "1", ValueType.INT16, "1/min", 0.5),
        Tag("pressure", "2", ValueType.FLOAT32, "bar"),
        Tag("state", "3", ValueType.STRING),
    ),
)
OVEN = Schema("oven", "slow", (Tag("temp", "1", ValueType.FLOAT64, "°C"),))
S = 1_000_000_000
T0 = 1_795_000_000 * S


def instance(
    *,
    name: str = "score",
    tags: Sequence[str] = ("pump/speed", "pump/pressure"),
    outputs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Instance:
    """Give an instance of a plugin that takes `tags`; by default one derived tag."""
    plugin = {"name": "p", "version": "1", "command": ["p"], **more.pop("plugin", {})}
    inputs = more.pop("inputs", {"x": {"tags": list(tags)}})
    text = {"plugin": plugin, "inputs": inputs, "outputs": outputs or {"sum": {}}, **more}
    faults: list[Fault] = []
    made = combine(name, PluginSettings(), Manifest.model_validate(text), Path("/plugin"), faults)
    assert made is not None, faults
    return made


def pump(number: int, rows: int = 1, *, at_ns: int | None = None) -> Batch:
    """Give polls of the pump from second `number` on."""
    begin = (T0 + number * S) if at_ns is None else at_ns
    times = begin + np.arange(rows, dtype=np.int64) * S
    counts = np.arange(number, number + rows)
    lanes: dict[ValueType, Any] = {
        ValueType.INT16: (2 * counts[:, None]).astype(np.int16),
        ValueType.FLOAT32: (counts[:, None] / 4).astype(np.float32),
        ValueType.STRING: np.array([[f"s{n}"] for n in counts], object),
    }
    return Batch(PUMP, times, times + 1000, tuple(lanes[one.type] for one in PUMP.lanes))


def oven(number: int) -> Batch:
    """Give one poll of the oven at second `number`."""
    times = np.array([T0 + number * S], np.int64)
    return Batch(OVEN, times, times + 1000, (np.array([[float(number)]]),))


def summed(work: Work, window: Window) -> float:
    """Give the sum of all that a window holds."""
    total = 0.0
    for one in work.series:
        first, count = window.ranges[one.axis]
        total += float(one.values[first : first + count].astype(np.float64).sum())
    return total


def column(output: int, values: Any, times_ns: Any = None, quality: Any = None) -> OutputColumn:
    """Give samples of one output of one window, the only one of its work."""
    return OutputColumn(output, np.zeros(len(values), np.intp), values, times_ns, quality)


def answer(
    work: Work, columns: Callable[[Window], Iterable[OutputColumn]] | None = None
) -> Results:
    """Give results: by default the sum of each window as output 0."""
    give = columns or (lambda window: [column(0, np.array([summed(work, window)]))])
    found: list[OutputColumn] = []
    for place, window in enumerate(work.windows):
        found += [replace(one, windows=one.windows + place) for one in give(window)]
    return Results(found)


class World:
    """A running journal and pipeline on `disk`, with one feed at a time."""

    def __init__(self, disk: FaultyDisk, journal: Journal, pipeline: Pipeline) -> None:
        """Stand on parts that run."""
        self.disk, self.journal, self.pipeline = disk, journal, pipeline
        self.seams = journal._seams  # noqa: SLF001 - its own
        self.tasks: list[asyncio.Task[Any]] = []

    def feed(
        self,
        of: Instance,
        *,
        schemas: Sequence[Schema] = (PUMP, OVEN),
        write: Write | None = None,
    ) -> JournalFeed:
        """Give a feed that runs."""
        parts = FeedParts(
            self.journal, self.pipeline, self.pipeline.tail, self.seams,
            Path("/state") / f"{of.name}.json", write,
        )  # fmt: skip
        feed = JournalFeed(of, parts, [(Stream.TELEMETRY, one) for one in schemas])
        self.tasks.append(asyncio.create_task(feed.run(), name="feed"))
        feed.inputs()
        return feed

    async def accept(self, batches: Iterable[Batch]) -> None:
        """Have the pipeline take batches, one by one."""
        for batch in batches:
            await self.pipeline.accept(batch)

    async def results(self, name: str = "score", group: str = "results") -> list[tuple[Any, ...]]:
        """Give (tag, time in s, value) of all durable results, markers left out."""
        await self.pipeline.settled()
        found = []
        for stream in (Stream.TELEMETRY, Stream.EVENTS, Stream.BULK):
            for record in await read_all(self.journal, stream, 1 << 20):
                if record.kind is not RecordKind.BATCH:
                    continue
                schema = self.journal.schema(peek_schema_id(record.payload))
                if (schema.source, schema.group) != (name, group):
                    continue
                for sample in decode_batch(record.payload, schema).iter_samples():
                    if not sample.tag.name.startswith("_"):
                        at = (sample.time_ns - T0) / S
                        found.append((sample.tag.name, at, sample.value, sample.quality))
        return found

    async def gaps(self) -> list[Gap]:
        """Give all durable gaps of telemetry."""
        await self.pipeline.settled()
        records = await read_all(self.journal, Stream.TELEMETRY, 1 << 20)
        return [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]


@asynccontextmanager
async def world(disk: FaultyDisk | None = None, *, kill: bool = False) -> AsyncIterator[World]:
    """Run a world; with `kill` it ends without saving anything, as by SIGKILL."""
    disk = disk or FaultyDisk()
    parts = seams(disk, SystemClock())
    async with Journal(DIRECTORY, PLENTY, parts) as journal:
        pipeline = Pipeline(journal, Shadow([]), {}, parts, commit_interval_s=0.01)
        running = asyncio.create_task(pipeline.run(), name="pipeline")
        here = World(disk, journal, pipeline)
        try:
            yield here
        finally:
            for task in [*here.tasks, running]:
                task.cancel()
            await asyncio.wait([*here.tasks, running])
            if not kill:
                await pipeline.close()


async def work_through(feed: JournalFeed, windows: int) -> list[tuple[int, float, float]]:
    """Work on as many windows, each summed: (number, begin in s, sum)."""
    found: list[tuple[int, float, float]] = []
    while len(found) < windows:
        async with asyncio.timeout(20):
            work = await feed.next()
        found += [(w.number, (w.begin_ns - T0) / S, summed(work, w)) for w in work.windows]
        await feed.done(work, answer(work))
    return found


async def verdict_of(
    feed: JournalFeed, columns: Callable[[Window], Iterable[OutputColumn]]
) -> Verdict:
    """Give what becomes of `columns` as the results of the next work."""
    async with asyncio.timeout(20):
        work = await feed.next()
    return await feed.done(work, answer(work, columns))
