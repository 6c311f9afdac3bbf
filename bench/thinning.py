"""What thinning costs: CPU of the choice, and of a whole segment read, thinned and written.

The data is that of a plant polled ten times a second: a random walk of 1,000 float32 tags, rounded
to 0.01, every value of which changes in every scan, in records of 250 ms. A segment of 16 MiB holds
some minutes of it.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from bench.figures import Figure, cpu_s_each, figure
from forebay.clock import SystemClock
from forebay.columnar import BatchEncoder, encode_schema
from forebay.files import SystemDisk
from forebay.journal.appender import FRESH_SUFFIX, Appender, End
from forebay.journal.catalog import Catalog, IndexCache, Segment
from forebay.journal.entry import Entry
from forebay.journal.rewrite import rewrite
from forebay.journal.thinning import LEVELS_S, thin
from forebay.model import Batch, RecordKind, Schema, Stream, Tag, ValueType

TAGS, SCANS_PER_RECORD, PERIOD_NS = 1_000, 3, 100_000_000
SEGMENT_BYTES, ROUNDS, RUN_RECORDS = 16 << 20, 2, 300


def walk(records: int) -> list[Batch]:
    """Give records of a random walk."""
    rng = np.random.default_rng(1)
    tags = tuple(Tag(f"t{i}", f"holding:{2 * i}", ValueType.FLOAT32) for i in range(TAGS))
    schema, scans = Schema("bench", "all", tags), records * SCANS_PER_RECORD
    values = np.round(20 + np.cumsum(rng.normal(0, 0.05, (scans, TAGS)), axis=0), 2)
    times = 1_700_000_000_000_000_000 + np.arange(scans, dtype=np.int64) * PERIOD_NS
    return [
        Batch(schema, times[at], times[at] + 4_000_000, (values[at].astype(np.float32),))
        for at in (
            slice(first, first + SCANS_PER_RECORD) for first in range(0, scans, SCANS_PER_RECORD)
        )
    ]


def sealed(directory: Path) -> Segment:
    """Fill one segment with that, and seal it."""
    disk, catalog = SystemDisk(), Catalog()
    parts = (disk, SystemClock(), catalog, IndexCache(disk))
    log = Appender(directory, Stream.TELEMETRY, End(1, 1), SEGMENT_BYTES, parts)
    encoder = BatchEncoder()
    some = walk(RUN_RECORDS)
    schema = (some[0].schema.id, encode_schema(some[0].schema))
    step_ns = RUN_RECORDS * SCANS_PER_RECORD * PERIOD_NS
    number = 0
    while len(catalog.segments(Stream.TELEMETRY)) < 2:
        shift_ns, batch = number // RUN_RECORDS * step_ns, some[number % RUN_RECORDS]
        times, received = batch.times_ns + shift_ns, batch.received_ns + shift_ns
        payload = encoder.encode([Batch(batch.schema, times, received, batch.values)])
        begin, end = int(times[0]), int(times[-1])
        log.append(
            Entry(Stream.TELEMETRY, RecordKind.BATCH, payload, batch.samples, begin, end, schema)
        )
        number += 1
    log.seal(clean=True)
    return catalog.segments(Stream.TELEMETRY)[0]


def run() -> list[Figure]:
    """Measure the choice, then whole segments."""
    batches = walk(RUN_RECORDS)
    samples = sum(batch.samples for batch in batches)
    choice = [
        cpu_s_each(lambda: thin(batches, LEVELS_S[0]), 1) / samples * 1e9 for _ in range(ROUNDS)
    ]
    figures = [figure("thinning.ns_per_sample", choice, "ns")]
    with tempfile.TemporaryDirectory() as name:
        segment = sealed(Path(name))
        for level_s in LEVELS_S:
            work = partial(rewrite, SystemDisk(), segment, level_s)
            seconds, size = [cpu_s_each(work, 1) for _ in range(ROUNDS)], 0.0
            copy = work().copy
            if copy is not None:
                size = copy.summary.file_bytes / segment.summary.file_bytes
                copy.path.with_name(copy.path.name + FRESH_SUFFIX).unlink()
            figures += [
                figure(f"thinning.segment_{level_s}s_s", seconds, "s"),
                figure(f"thinning.segment_{level_s}s_left", [size], "of bytes"),
            ]
    return figures
