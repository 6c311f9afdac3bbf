"""What the plugin host adds: to a value's way to a result, to a closed loop, to a model's work.

`plugin.added_latency_*` and `plugin.loop_*`: the real agent polls 10,000 tags of a libmodbus server
each second, and one of them ten times a second besides. A plugin gets each reading of that one,
works a little, and writes the value back. The journal says when the gateway held a reading, when it
held the result, and when the device had answered the write. `plugin.onnx_*`: a journal holds a
backlog; a small model works it off through the host, and, in turns, by ONNX Runtime alone on the
same rows in the same batches, with one thread each.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.figures import Figure, figure, scratch, seams
from bench.plc import libmodbus_server
from bench.write import percentile
from forebay.columnar import decode_batch, peek_schema_id
from forebay.files import SystemDisk
from forebay.journal.journal import Journal, JournalLimits
from forebay.journal.offline import OfflineJournal
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.pluginhost.feed import FeedParts, JournalFeed
from forebay.pluginhost.giving import write_id
from forebay.pluginhost.host import PluginHost
from forebay.pluginhost.manifest import Manifest
from forebay.pluginhost.settings import PluginSettings, combine
from forebay.writing.audit import INTENT, OUTCOME, SCHEMA, from_batch
from support.processes import World, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from forebay.errors import Fault
    from forebay.pluginhost.seams import Results, Verdict, Work
    from forebay.pluginhost.settings import Instance

ROOT = Path(__file__).resolve().parent.parent
TAGS = 10_000
LOOPS, ROUNDS = 300, 3
WIDTH, SMALLER = 256, (128, 64)
"""Channels of the small network, and of smaller ones: some 270 us, 80 us and 25 us a window."""
WARM_UP_S = 5.0
COLUMNS = 9
BATCH = 64


class Model(NamedTuple):
    """A model of a bench: its folder, the rows of a window, how many windows there are."""

    directory: Path
    rows: int
    windows: int
    layout: str


FOREST = Model(ROOT / "plugins/anomaly/models/shuttle", 1, 20_000, "last")
"""An isolation forest of nine columns: some 15 us a row in a batch."""


class Loop(NamedTuple):
    """Milliseconds of each round: what the host added to the plugin's own work, and the loop."""

    added: list[float]
    loop: list[float]
    own: list[float]


def write_config(world: World, port: int) -> None:
    """Write a device of 10,000 tags without a hole, of which one is read fast, one written."""
    rows = "\n".join(f"t{i},holding:{i},uint16,slow,read" for i in range(1, TAGS))
    listed = world.directory / "plc.csv"
    text = f"name,address,type,group,access\n{rows}\n"
    text += "fast,holding:0,uint16,loop,read\n"
    text += f"out,holding:{TAGS},uint16,slow,read_write\n"
    listed.write_text(text, encoding="utf-8")
    world.write_config(
        f"""
[writes]
enabled = true
[[writes.allow]]
tags = ["plc/out"]
by = ["plugin:mirror"]
min = 0
max = 65535
rate = "999/s"
[devices.plc]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = "plc.csv"
groups.slow = {{ period = "1 s" }}
groups.loop = {{ period = "100 ms" }}
[plugins.mirror]
path = "{ROOT / "bench/mirror"}"
"""
    )


def records(directory: Path, stream: Stream) -> Iterator[tuple[Schema, Batch]]:
    """Walk the batches of a journal that nobody writes."""
    journal = OfflineJournal(directory, SystemDisk())
    for file in journal.segments(stream):
        content = journal.read(file)
        for record in () if content is None else content.records():
            if record.kind is RecordKind.SCHEMA:
                journal.schemas.take(record.payload)
            elif record.kind is RecordKind.BATCH:
                schema = journal.schemas.find(peek_schema_id(record.payload))
                if schema is not None:
                    yield schema, decode_batch(record.payload, schema)


def given(directory: Path) -> tuple[dict[int, int], dict[int, tuple[int, float]]]:
    """Give for each reading when it was held; and when its result was, and what work it took."""
    held: dict[int, int] = {}
    results: dict[int, tuple[int, float]] = {}
    for schema, batch in records(directory, Stream.TELEMETRY):
        if (schema.source, schema.group) == ("plc", "loop"):
            held.update(zip(batch.times_ns.tolist(), batch.received_ns.tolist(), strict=True))
        elif schema.source == "mirror":
            for sample in batch.iter_samples():
                if sample.tag.name == "own_ms" and isinstance(sample.value, float):
                    results[sample.time_ns] = sample.received_ns, sample.value
    return held, results


def written(directory: Path) -> dict[str, float]:
    """Give for each write by its id when the device had answered it (ns since 1970)."""
    asked: dict[str, int] = {}
    answered: dict[str, float] = {}
    for schema, batch in records(directory, Stream.AUDIT):
        if schema.id == SCHEMA.id:
            for deed, at_ns in zip(from_batch(batch), batch.times_ns.tolist(), strict=True):
                if deed.step == INTENT:
                    asked[deed.id] = at_ns
                elif deed.step == OUTCOME and deed.outcome == "good":
                    answered[deed.id] = asked[deed.id] + deed.took_ms * 1e6
    return answered


def loops(directory: Path) -> Loop:
    """Read from the journal what every reading became."""
    held, results = given(directory)
    answered = written(directory)
    told = Loop([], [], [])
    for time_ns in sorted(results)[-LOOPS:]:
        received_ns, own_ms = results[time_ns]
        told.own.append(own_ms)
        told.added.append((received_ns - held[time_ns]) / 1e6 - own_ms)
        id_ = write_id("mirror", time_ns + 1, "out")
        if id_ in answered:
            told.loop.append((answered[id_] - held[time_ns]) / 1e6)
    if len(told.loop) < LOOPS * 0.98 or len(told.added) < LOOPS:
        raise RuntimeError(f"{len(told.loop)} of {len(told.added)} readings were written back")
    return told


async def live() -> Loop:
    """Run the agent once."""
    with scratch() as name, libmodbus_server(TAGS + 1) as port:
        async with World(Path(name)) as world:
            write_config(world, port)
            await world.agent.start()
            await until(lambda: '"plugin_started"' in world.agent.text(), "the plugin runs")
            await asyncio.sleep(WARM_UP_S + 0.1 * LOOPS)  # the load itself, not a wait
            _, document = await world.ask("devices")
            (device,) = document["devices"]
            if device["tags_bad"]:
                raise RuntimeError(f"the load was not there: {device}")
            if await world.agent.stop() != 0:
                raise RuntimeError(world.agent.text()[-2000:])
            return loops(world.journal)


# --- a backlog through a model --------------------------------------------------------------------


def backlog(model: Model) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Give the rows of the backlog, all within the forest's ranges."""
    rng = np.random.default_rng(7)
    low = np.array([27, -4048, 21, -3939, -188, -12809, -16, -258, -298.0])
    high = np.array([68, 237, 149, 3830, 336, 11749, 105, 265, 226.0])
    count = model.windows * model.rows
    found: np.ndarray[Any, np.dtype[np.float32]] = low + rng.random((count, COLUMNS)) * (high - low)
    return found.astype(np.float32)


def convolution(directory: Path, width: int) -> Model:
    """Write a small network: two convolutions of `width` channels over 64 rows of nine tags."""
    from onnx import TensorProto, helper, numpy_helper

    from forebay_plugin.models import Draft, write_model

    rng, rows = np.random.default_rng(5), 64

    def weights(name: str, *shape: int) -> Any:  # noqa: ANN401 - a message of onnx
        return numpy_helper.from_array(rng.normal(0, 0.1, shape).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[3, 3]),
            helper.make_node("Relu", ["c1"], ["r1"]),
            helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[3, 3]),
            helper.make_node("Relu", ["c2"], ["r2"]),
            helper.make_node("ReduceMean", ["r2"], ["m"], axes=[2], keepdims=0),
            helper.make_node("Gemm", ["m", "w3", "b3"], ["score"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", COLUMNS, rows])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch", 1])],
        [
            weights("w1", width, COLUMNS, 7), weights("b1", width),
            weights("w2", width, width, 7), weights("b2", width),
            weights("w3", width, 1), weights("b3", 1),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    sample = rng.normal(size=(4, COLUMNS, rows)).astype(np.float32)
    draft = Draft("small", "1", "Two convolutions.", model.SerializeToString(), {"x": sample})
    write_model(directory, draft)
    directory.parent.chmod(0o755)  # the plugin is another user
    return Model(directory, rows, 4_000, "columns")


PLANT = Schema(
    "plant", "fast", tuple(Tag(f"f{n + 1}", str(n), ValueType.FLOAT32) for n in range(COLUMNS))
)


def onnx(model: Model) -> Instance:
    """Give the plugin `onnx` with the model."""
    import tomllib

    directory = ROOT / "plugins/onnx"
    text = tomllib.loads((directory / "plugin.toml").read_text("utf-8"))
    text["plugin"]["batch"] = BATCH
    text["outputs"] = {"score": {"type": "float32"}}
    settings = PluginSettings.model_validate(
        {
            "model": model.directory,
            "inputs": {"values": ["plant/*"]},
            "window": {"rows": model.rows},
            "limits": {"samples_per_s": 1e7, "bytes_per_s": 1 << 30, "memory": 2 << 30},
            "settings": {"allow_unsigned": True, "layout": model.layout},
        }
    )
    faults: list[Fault] = []
    instance = combine("onnx", settings, Manifest.model_validate(text), directory, faults)
    if instance is None:
        raise RuntimeError(str(faults))
    return instance


class Tally(JournalFeed):
    """A feed that counts windows that are done, and takes the time."""

    windows = 0
    """How many there are."""
    count = 0
    first_s = last_s = 0.0

    async def done(self, work: Work, results: Results) -> Verdict:
        """Count one work; the first only begins the time."""
        verdict = await super().done(work, results)
        if verdict.failed or verdict.refused or verdict.samples < len(work.windows):
            raise RuntimeError(str(verdict))
        if not self.first_s:
            self.first_s, self.windows = time.perf_counter(), self.windows - len(work.windows)
        else:
            self.count += len(work.windows)
        if self.count >= self.windows:
            self.last_s = time.perf_counter()
        return verdict

    @property
    def rate(self) -> float:
        """Windows a second, the first work left out: the model warms up with it."""
        return self.windows / (self.last_s - self.first_s)


@asynccontextmanager
async def plant(directory: Path, model: Model) -> AsyncIterator[tuple[Journal, Pipeline]]:
    """Run a journal with the backlog, and its pipeline."""
    parts = seams()
    limits = JournalLimits(1 << 30, 1e9, 16 << 20, 64 << 20)
    async with Journal(directory, limits, parts) as journal:
        pipeline = Pipeline(journal, Shadow([]), {}, parts, commit_interval_s=0.25)
        running = asyncio.create_task(pipeline.run(), name="pipeline")
        data = backlog(model)
        begin_ns = time.time_ns() - len(data) * 1_000_000
        for first in range(0, len(data), 100):
            times = begin_ns + np.arange(first, first + 100, dtype=np.int64) * 1_000_000
            await pipeline.accept(Batch(PLANT, times, times + 1, (data[first : first + 100],)))
        await pipeline.settled()
        try:
            yield journal, pipeline
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await pipeline.close()


async def through_host(model: Model) -> float:
    """Work the backlog off through the host; give windows a second."""
    with scratch() as name:
        async with plant(Path(name) / "journal", model) as (journal, pipeline):
            parts = seams()
            stands_on = FeedParts(journal, pipeline, pipeline.tail, parts, Path(name) / "p.json")
            instance = onnx(model)
            feed = Tally(instance, stands_on, [(Stream.TELEMETRY, PLANT)])
            feed.windows = model.windows
            host = PluginHost(instance, lambda _: feed, parts, Path(name) / "state")
            task = asyncio.create_task(host.run(), name="host")
            try:
                await until(lambda: feed.last_s, "the backlog is worked off", 120)
            except AssertionError:
                raise RuntimeError(f"{host.status()}\n{host.printed(20)}") from None
            finally:
                await host.stop(5.0)
                task.cancel()
                await asyncio.wait([task])
            return feed.rate


ALONE = """
import sys, time, numpy as np, onnxruntime as ort
rows, batch, each = np.load(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
if each > 1:
    rows = np.ascontiguousarray(rows.reshape(-1, each, rows.shape[1]).transpose(0, 2, 1))
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
session.run(None, {name: rows[:batch]})
began = time.perf_counter()
for first in range(0, len(rows), batch):
    session.run(None, {name: rows[first:first + batch]})
print(len(rows) / (time.perf_counter() - began))
"""


def alone(model: Model) -> float:
    """Run the model by ONNX Runtime alone, in a process of its own; give windows a second."""
    with scratch() as name:
        path = Path(name) / "rows.npy"
        np.save(path, backlog(model))
        sizes = [str(BATCH), str(model.rows)]
        file = str(model.directory / "model.onnx")
        command = [sys.executable, "-c", ALONE, file, str(path), *sizes]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def networked(width: int) -> list[tuple[float, float]]:
    """Give windows a second of a network of so many channels, alone and through the host."""
    with scratch() as name:
        model = convolution(Path(name) / "model", width)
        return [
            (await asyncio.to_thread(alone, model), await through_host(model))
            for _ in range(ROUNDS)
        ]


def each_us(rounds: list[tuple[float, float]]) -> str:
    """Say what a window takes by the model alone."""
    return f"{1e6 / statistics.median(direct for direct, _ in rounds):.0f} us each"


async def measure() -> list[Figure]:
    """Measure some rounds of each."""
    rounds = [await live() for _ in range(ROUNDS)]
    networks = {width: await networked(width) for width in (WIDTH, *SMALLER)}
    rows = [
        (await asyncio.to_thread(alone, FOREST), await through_host(FOREST)) for _ in range(ROUNDS)
    ]
    return [
        figure("plugin.added_latency_p99_ms", [percentile(r.added, 0.99) for r in rounds], "ms"),
        figure("plugin.added_latency_p50_ms", [statistics.median(r.added) for r in rounds], "ms"),
        figure("plugin.loop_p99_ms", [percentile(r.loop, 0.99) for r in rounds], "ms"),
        figure("plugin.loop_p50_ms", [statistics.median(r.loop) for r in rounds], "ms"),
        figure("plugin.batches_per_s", [hosted / BATCH for _, hosted in rows], "1/s"),
        *(
            figure(
                "plugin.onnx_vs_direct" + ("" if width == WIDTH else f"_{width}_channels"),
                [hosted for _, hosted in found], "windows/s",
                against=f"ONNX Runtime alone, {BATCH} windows a batch, {each_us(found)}",
                others=[direct for direct, _ in found],
            )
            for width, found in networks.items()
        ),
        figure(
            "plugin.onnx_vs_direct_rows", [hosted for _, hosted in rows], "windows/s",
            against=f"ONNX Runtime alone, {BATCH} rows a batch, {each_us(rows)}",
            others=[direct for direct, _ in rows],
        ),
    ]  # fmt: skip


def run() -> list[Figure]:
    """Measure; about three minutes."""
    return asyncio.run(measure())
