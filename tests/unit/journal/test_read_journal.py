"""scripts/read-journal, which knows only the documents, reads what the journal gives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import decode_batch, decode_schema, peek_schema_id
from forebay.journal.rewrite import rewrite
from forebay.model import Batch, Record, RecordKind, Schema, Stream, Tag, ValueType
from forebay.testing.disk import FaultyDisk
from support import telemetry
from support.batches import batch_entry
from support.fuzz import examples
from support.journal import DIRECTORY, T, read_all, segment_paths
from support.real_journal import BEGIN, SMALL, feed, fill, open_journal

SCRIPT = Path(__file__).resolve().parents[3] / "scripts/read-journal"
FLOATS = Schema(
    "meter",
    "default",
    (
        Tag("tenths", "1", ValueType.FLOAT32),
        Tag("bits", "2", ValueType.FLOAT64, "V", 0.1, -3.0),
        Tag("prices", "3", ValueType.FLOAT64),
        Tag("large", "4", ValueType.UINT64),
        Tag("small", "5", ValueType.INT8, "", 2.0, 0.0),
        Tag("frame", "6", ValueType.BYTES),
    ),
)


def floats(number: int, rows: int = 40) -> Batch:
    """Give decimals, full floats, NaN and infinities, and whole numbers at their edges."""
    rng = np.random.default_rng(number)
    doubles = np.stack([rng.random(rows), np.round(rng.random(rows) * 100, 2)], axis=1)
    doubles[0, 0], doubles[1, 0] = math.nan, math.inf
    values: dict[ValueType, Any] = {
        ValueType.FLOAT32: np.round(rng.random((rows, 1)), 1).astype(np.float32),
        ValueType.FLOAT64: doubles,
        ValueType.UINT64: rng.integers(0, 2**64, (rows, 1), np.uint64),
        ValueType.INT8: rng.integers(-128, 128, (rows, 1), np.int8),
        ValueType.BYTES: np.array([[rng.bytes(n)] for n in range(rows)], object),
    }
    times = BEGIN + np.arange(rows, dtype=np.int64) * 1_000_003
    return Batch(FLOATS, times, times + 77, tuple(values[lane.type] for lane in FLOATS.lanes))


def second_reader(disk: FaultyDisk) -> tuple[int, list[dict[str, Any]]]:
    """Put what is on `disk` into a real directory and have the script read it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in disk.paths():
            target = Path(folder) / path.relative_to(DIRECTORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(disk.read_bytes(path, 1 << 30))
        done = subprocess.run(
            [sys.executable, SCRIPT, folder, "--values"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def said(value: object) -> object:
    """Give a value as JSON lines can compare: NaN is not itself, bytes are Base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return repr(value) if isinstance(value, float) else value


def expected(record: Record, schemas: dict[int, Schema]) -> dict[str, Any]:
    """What the script must say of a record."""
    stream, epoch, seq = record.position
    line: dict[str, Any] = {
        "stream": stream.value,
        "epoch": f"{epoch:016x}",
        "seq": seq,
        "kind": record.kind.name.lower(),
        "revision": record.revision,
        "samples": record.samples,
        "thinned": record.thinned,
        "time_min_ns": record.time_min_ns,
        "time_max_ns": record.time_max_ns,
        "sha256": hashlib.sha256(record.payload).hexdigest(),
    }
    if record.kind is RecordKind.SCHEMA:
        schema = decode_schema(record.payload)
        schemas[schema.id] = schema
    if record.kind is RecordKind.BATCH:
        schema_id = peek_schema_id(record.payload)
        if schema_id in schemas:  # else its schema record is damaged, and no other came before
            line["values"] = [
                [s.tag.name, s.time_ns, s.received_ns, said(s.value), s.quality]
                for s in decode_batch(record.payload, schemas[schema_id]).iter_samples()
            ]
    return line


async def agree(disk: FaultyDisk) -> list[dict[str, Any]]:
    """Both readers give the same records; give what the script says of damage and of the rest."""
    schemas: dict[int, Schema] = {}
    async with open_journal(disk, seed=99) as log:
        records = [r for stream in Stream for r in await read_all(log, stream)]
    code, lines = await asyncio.to_thread(second_reader, disk)
    for line in lines:
        for sample in line.get("values", ()):
            sample[3] = said(sample[3])
    whole = [line for line in lines if line["sha256"]]
    assert whole == [expected(record, schemas) for record in records]
    assert code == (len(whole) < len(lines))
    return lines


async def test_all_kinds_of_records_and_values_over_two_runs() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    async with open_journal(disk, replace(SMALL, segment_bytes=32 << 10), seed=2) as log:
        await feed(log, 60, 80)
        await log.submit([batch_entry(floats(n)) for n in range(3)])
    lines = await agree(disk)
    assert {line["kind"] for line in lines} == {"batch", "schema", "gap", "anchor"}
    assert {line["stream"] for line in lines} == {"events", "telemetry"}
    assert len({line["epoch"] for line in lines}) == 2


async def test_a_thinned_segment_and_the_one_it_came_from() -> None:
    """The start that finds both takes the thinned one if it is whole, and so does the script."""
    disk = FaultyDisk()
    limits = replace(SMALL, segment_bytes=32 << 10)
    async with open_journal(disk, limits) as log:
        await log.submit([batch_entry(telemetry.scans(n)) for n in range(60)])
    async with open_journal(disk, limits, seed=2) as log:
        for old in log._catalog.segments(T)[:2]:  # noqa: SLF001 - nothing else names the files
            copy = rewrite(disk, old, 10).copy
            assert copy is not None
            disk.rename(copy.path.with_name(copy.path.name + ".new"), copy.path)
    both = [path.name.split(".")[0] for path in segment_paths(disk)]
    assert len(both) - len(set(both)) == 2
    code, before = await asyncio.to_thread(second_reader, disk)
    assert code == 0
    lines = await agree(disk)
    assert [line["seq"] for line in before] == [line["seq"] for line in lines]
    assert before == lines, "a start does not change what is read"
    assert {line["revision"] for line in lines} == {0, 1}
    assert sum(line["thinned"] for line in lines) > 0


async def test_a_damaged_record_is_said_to_be_and_the_others_are_given() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    path = segment_paths(disk)[2]
    data = disk.read_bytes(path, 1 << 30)
    second = data.find(b"FbR2", 200)
    disk.flip(path, 8 * (second + 130))
    disk.flip(path, 8 * (data.find(b"FbR2", second + 200) + 20))
    lines = await agree(disk)
    assert [line["sha256"] for line in lines].count(None) == 1


@examples(10)
@given(st.data())
async def test_random_journals_with_random_damage(data: st.DataObject) -> None:
    disk, number = FaultyDisk(), 1
    for run in range(data.draw(st.integers(1, 3))):
        count = data.draw(st.integers(0, 60))
        await fill(disk, number, number + count, seed=run + 1)
        number += count
    for _ in range(data.draw(st.integers(0, 3))):
        files = [p for p in disk.paths() if p.suffix == ".seg"]
        if files:
            path = data.draw(st.sampled_from(files))
            size = len(disk.read_bytes(path, 1 << 30))
            disk.flip(path, data.draw(st.integers(0, 8 * size - 1)))
    await agree(disk)
