"""An export holds every sample of the journal as people read it, and a row for all that is not."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from forebay.columnar import decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.errors import RequestInvalid
from forebay.files import SystemDisk
from forebay.journal.entry import gap_entry
from forebay.journal.export import Absence, Block, Choice, export
from forebay.journal.exportformats import CSV_COLUMNS, WRITERS, iso
from forebay.journal.exportsegments import MANIFEST, copy_segments
from forebay.journal.journal import Journal
from forebay.journal.offline import OfflineJournal
from forebay.journal.verify import verify
from forebay.model import Batch, Gap, GapCause, Quality, RecordKind, Schema, Stream, Tag, ValueType
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import DIRECTORY, T, read_all, seams, segment_paths
from support.real_journal import BEGIN, OVEN, PRESS, SECOND, SMALL, dense, feed, fill, open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.journal.export import Item
    from forebay.model import Record


async def real(records: int = 60) -> tuple[FaultyDisk, list[Record]]:
    """Give a journal in order, and the records of its telemetry."""
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        await feed(log, 1, records)
        return disk, await read_all(log)


def items(disk: FaultyDisk, **choice: Any) -> list[Item]:
    before = disk.changes
    wanted = Choice(streams=choice.pop("streams", (T,)), **choice)
    found = list(export(OfflineJournal(DIRECTORY, disk), wanted))
    assert disk.changes == before
    return found


def samples_of(records: list[Record]) -> list[tuple[Any, ...]]:
    """Every sample as the model walks it: seq, device, tag, times, value, quality."""
    schemas, found = {}, []
    for record in records:
        if record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        if record.kind is RecordKind.BATCH:
            schema = schemas[peek_schema_id(record.payload)]
            found += [
                (record.position.seq, schema.source, s.tag.name, s.time_ns, s.value, s.quality)
                for s in decode_batch(record.payload, schema).iter_samples()
            ]
    return found


def exported(found: list[Item]) -> list[tuple[Any, ...]]:
    out = []
    for block in found:
        if isinstance(block, Block):
            schema, times = block.found.schema, block.found.times_ns[block.found.scans[block.kept]]
            for row, time_ns in zip(block.rows(), times.tolist(), strict=True):
                tag = schema.tags[row.column].name
                out.append((block.position.seq, schema.source, tag, time_ns, row.value, row.code))
                assert row.time == iso(time_ns)
    return out


async def test_every_sample_and_every_gap_is_there_in_order() -> None:
    disk, records = await real()
    found = items(disk)
    assert exported(found) == samples_of(records)
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    told = [one for one in found if isinstance(one, Absence)]
    assert [(a.cause, a.source, a.samples, a.time_to_ns) for a in told] == [
        ("ring_overflow", g.source, g.samples, g.time_to_ns) for g in gaps
    ]
    assert len(told) == 6


@pytest.mark.parametrize(
    ("choice", "keep"),
    [
        ({"device": "oven"}, lambda s: s[1] == "oven"),
        ({"device": "p*", "tag": "*e*"}, lambda s: s[1] == "press" and "e" in s[2]),
        ({"tag": "order"}, lambda s: s[2] == "order"),
        (
            {"begin_ns": BEGIN + 20 * SECOND, "end_ns": BEGIN + 25 * SECOND},
            lambda s: BEGIN + 20 * SECOND <= s[3] <= BEGIN + 25 * SECOND,
        ),
        ({"begin_ns": BEGIN + 10**6 * SECOND}, lambda _: False),
    ],
    ids=["device", "patterns", "tag", "span", "never"],
)
async def test_a_choice_leaves_out_just_the_rest(choice: dict[str, Any], keep: Any) -> None:
    disk, records = await real()
    wanted = [sample for sample in samples_of(records) if keep(sample)]
    assert exported(items(disk, **choice)) == wanted
    assert wanted or "begin_ns" in choice


async def test_segments_of_other_times_are_not_read() -> None:
    disk, _ = await real(120)
    damaged = segment_paths(disk)[0]
    file = disk.open(damaged, write=True)
    file.pwrite([b"\xff" * 1000], 1000)
    late = items(disk, begin_ns=BEGIN + 100 * SECOND)
    assert late
    assert not [one for one in late if isinstance(one, Absence) and one.cause == "unreadable"]


async def test_a_gap_far_from_its_records_time_is_never_left_out() -> None:
    """An overflow of long ago, told in a segment whose batches are all of now."""
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        await log.submit([batch_entry(dense(n)) for n in range(1000, 1010)])
        lost = Gap(GapCause.RING_OVERFLOW, BEGIN + 5 * SECOND, BEGIN + 6 * SECOND, 7, "press")
        await log.submit([gap_entry(T, lost)])
        await log.submit([batch_entry(dense(n)) for n in range(1010, 1020)])
    (one,) = items(disk, begin_ns=BEGIN, end_ns=BEGIN + 10 * SECOND)
    assert isinstance(one, Absence)
    assert (one.cause, one.samples) == ("ring_overflow", 7)
    assert items(disk, begin_ns=BEGIN, end_ns=BEGIN + 10 * SECOND, device="oven") == []


async def test_what_cannot_be_read_is_an_absence_until_a_gap_names_it() -> None:
    disk, records = await real()
    batch = next(r for r in records if r.kind is RecordKind.BATCH and r.samples == 12)
    flip_payload(disk, batch)
    disk.unlink(segment_paths(disk)[3])
    found = [a for a in items(disk) if isinstance(a, Absence) and a.cause == "unreadable"]
    seqs = {r.position.seq for r in records}
    there = {seq for seq, *_ in exported(items(disk))}
    gone = {r.position.seq for r in records if r.kind is RecordKind.BATCH} - there
    assert gone
    assert gone <= {n for a in found for n in range(a.seq_from, a.seq_to + 1)} <= seqs
    assert sum(a.samples or 0 for a in found) == sum(
        r.samples for r in records if r.position.seq in gone
    )
    async with open_journal(disk, seed=2) as log:
        await read_all(log)
    after = [a for a in items(disk) if isinstance(a, Absence)]
    assert [a.cause for a in after].count("corrupt") == 2
    assert "unreadable" not in {a.cause for a in after}


def flip_payload(disk: FaultyDisk, record: Record) -> None:
    for path in segment_paths(disk):
        at = disk.read_bytes(path, 1 << 30).find(record.payload)
        if at > 0:
            disk.flip(path, 8 * at + 100)


def written(disk: FaultyDisk, form: str, **choice: Any) -> bytes:
    out = io.BytesIO()
    writer = WRITERS[form](out)
    for item in items(disk, **choice):
        writer.write(item)
    writer.close()
    return out.getvalue()


ODD = Schema(
    "odd",
    "g",
    (
        Tag("float", "1", ValueType.FLOAT64),
        Tag("large", "2", ValueType.UINT64),
        Tag("whole", "3", ValueType.INT64),
        Tag("flag", "4", ValueType.BOOL),
        Tag('say "hi", \n=1', "5", ValueType.STRING, "m/s²"),
        Tag("scaled", "6", ValueType.INT16, "", 0.1, 2.0),
    ),
)


def odd() -> Batch:
    """Give values at the edges of their types; the last row is bad."""
    text = np.empty((3, 1), object)
    text[:] = [["Grüße"], [""], [""]]
    values = {
        ValueType.FLOAT64: np.array([[math.nan], [-math.inf], [0.1]]),
        ValueType.UINT64: np.array([[2**64 - 1], [2**63], [0]], np.uint64),
        ValueType.INT64: np.array([[-(2**63)], [2**53 + 1], [0]], np.int64),
        ValueType.BOOL: np.array([[True], [False], [False]]),
        ValueType.STRING: text,
        ValueType.INT16: np.array([[-5], [7], [0]], np.int16),
    }
    quality = np.zeros((3, 6), np.uint32)
    quality[2] = Quality.BAD_TIMEOUT
    quality[1, 0] = 0x4090_0000
    times = np.array([BEGIN, BEGIN + 1, BEGIN + 2], np.int64)
    lanes = tuple(values[lane.type] for lane in ODD.lanes)
    return Batch(ODD, times, times + 999, lanes, quality)


async def odd_journal() -> FaultyDisk:
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        lost = Gap(GapCause.UNCLEAN_SHUTDOWN, BEGIN, BEGIN + SECOND, None)
        await log.submit([batch_entry(odd()), gap_entry(T, lost)])
    return disk


async def test_lines_of_json_keep_types_and_exact_times() -> None:
    lines = [json.loads(line) for line in written(await odd_journal(), "jsonl").splitlines()]
    by_tag = {(one["tag"], one["time"][-4:-1]): one for one in lines if one["kind"] == "sample"}
    assert len(by_tag) == 18
    nan = by_tag["float", "000"]
    assert (nan["value"], nan["float"]) == (None, "NaN")
    assert by_tag["float", "001"]["float"] == "-Infinity"
    assert by_tag["float", "001"]["quality"] == "UncertainLastUsableValue"
    assert by_tag["large", "000"]["value"] == 2**64 - 1
    assert by_tag["whole", "000"]["value"] == -(2**63)
    assert by_tag["flag", "000"]["value"] is True
    assert by_tag["scaled", "000"]["value"] == 1.5
    text = by_tag['say "hi", \n=1', "000"]
    assert (text["value"], text["unit"], text["device"]) == ("Grüße", "m/s²", "odd")
    assert text["time"] == iso(BEGIN)
    assert text["received"] == iso(BEGIN + 999)
    bad = by_tag["whole", "002"]
    assert (bad["value"], bad["quality"], bad["code"]) == (None, "BadTimeout", 0x800A_0000)
    (gap,) = [one for one in lines if one["kind"] == "gap"]
    assert (gap["cause"], gap["samples"], gap["time_from"]) == (
        "unclean_shutdown",
        None,
        iso(BEGIN),
    )


async def test_csv_is_one_table() -> None:
    disk = await odd_journal()
    rows = list(csv.DictReader(io.StringIO(written(disk, "csv").decode(), newline="")))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["kind"] for row in rows] == ["sample"] * 18 + ["gap"]
    first = {row["tag"]: row for row in rows[:6]}
    assert first["float"]["value"] == "NaN"
    assert first["large"]["value"] == str(2**64 - 1)
    assert first["flag"]["value"] == "true"
    assert first['say "hi", \n=1']["value"] == "Grüße"
    assert (rows[17]["value"], rows[17]["quality"]) == ("", "BadTimeout")
    assert (rows[18]["cause"], rows[18]["samples"], rows[18]["value"]) == (
        "unclean_shutdown",
        "",
        "",
    )
    assert rows[18]["time_to"] == iso(BEGIN + SECOND)


async def test_parquet_has_a_column_for_each_type() -> None:
    disk = await odd_journal()
    table = pq.read_table(io.BytesIO(written(disk, "parquet")))
    times = table.column("time").cast("int64").to_pylist()
    assert times == [*(BEGIN + n // 6 for n in range(18)), BEGIN]
    rows = table.drop_columns(["time", "received", "time_to"]).to_pylist()
    first = {row["tag"]: row for row in rows[:6]}
    assert math.isnan(first["float"]["value"])
    assert (first["large"]["value_uint"], first["large"]["value_int"]) == (2**64 - 1, None)
    assert first["whole"]["value_int"] == -(2**63)
    assert (first["flag"]["value"], first["flag"]["value_int"]) == (1.0, None)
    assert first['say "hi", \n=1']["value_text"] == "Grüße"
    assert (first["scaled"]["value"], first["scaled"]["value_int"]) == (1.5, None)
    bad = {row["tag"]: row for row in rows[12:18]}
    assert {row["value"] for row in bad.values()} == {None}
    assert {row["value_text"] for row in bad.values()} == {None}
    assert bad["flag"]["quality"] == "BadTimeout"
    assert (rows[18]["kind"], rows[18]["cause"], rows[18]["samples"]) == (
        "gap",
        "unclean_shutdown",
        None,
    )


async def test_bytes_come_back_from_every_format() -> None:
    blob, disk = bytes(range(256)), FaultyDisk()
    schema = Schema("camera", "frames", (Tag("frame", "", ValueType.BYTES),))
    values = np.array([[blob], [b""]], object)
    times = np.array([BEGIN, BEGIN + 1], np.int64)
    quality = np.array([[0], [Quality.BAD_TIMEOUT]], np.uint32)
    async with open_journal(disk) as log:
        await log.submit([batch_entry(Batch(schema, times, times, (values,), quality))])
    lines = [json.loads(line) for line in written(disk, "jsonl").splitlines()]
    assert (base64.b64decode(lines[0]["value"]), lines[0]["encoding"]) == (blob, "base64")
    assert (lines[1]["value"], lines[1].get("encoding")) == (None, None)
    rows = list(csv.DictReader(io.StringIO(written(disk, "csv").decode(), newline="")))
    assert base64.b64decode(rows[0]["value"]) == blob
    table = pq.read_table(io.BytesIO(written(disk, "parquet")))
    assert table.column("value_bytes").to_pylist() == [blob, None]
    assert table.column("value").to_pylist() == [None, None]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
async def test_all_formats_hold_all_rows(form: str) -> None:
    disk, records = await real(200)
    data = written(disk, form)
    expected = len(samples_of(records)) + sum(r.kind is RecordKind.GAP for r in records)
    if form == "parquet":
        assert pq.read_table(io.BytesIO(data)).num_rows == expected
    else:
        assert len(data.splitlines()) == expected + (form == "csv")


async def test_segments_are_copied_whole_with_their_sums(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    log = Journal(directory, SMALL, seams(SystemDisk()))
    async with log:
        await feed(log, 1, 90)
        journal = OfflineJournal(directory, SystemDisk())
        late = Choice(streams=(T,), begin_ns=BEGIN + 30 * SECOND)
        copied = copy_segments(journal, late, tmp_path / "copy")
        info = {f"{s.stream}/{s.file}": s for s in log.segments()}
    manifest = json.loads((tmp_path / "copy" / MANIFEST).read_text())
    assert [one["file"] for one in manifest["segments"]] == [one.file for one in copied]
    assert len(copied) > 3
    for one in copied:
        data = (tmp_path / "copy" / one.file).read_bytes()
        assert data == (directory / one.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == one.sha256
        segment = info[one.file]
        assert (one.first_seq, one.last_seq, one.samples) == (
            segment.first_seq,
            segment.last_seq,
            segment.samples,
        )
        assert segment.sealed
    assert {one.file for one in copied} < set(info)
    assert verify(tmp_path / "copy", SystemDisk()).sound
    with pytest.raises(RequestInvalid, match="is there already"):
        copy_segments(journal, late, tmp_path / "copy")


async def test_a_schema_that_its_segment_lost_is_found_in_another() -> None:
    disk, records = await real(60)
    (path, *_) = segment_paths(disk)
    at = disk.read_bytes(path, 1 << 30).find(records[0].payload)
    assert records[0].kind is RecordKind.SCHEMA
    disk.flip(path, 8 * at + 100)
    assert exported(items(disk)) == samples_of(records)


async def test_other_streams_by_name() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 30)
    events = exported(items(disk, streams=(Stream.EVENTS,)))
    assert events
    both = exported(items(disk, streams=(Stream.EVENTS, T)))
    assert both == events + exported(items(disk))
    assert {schema.source for schema in (PRESS, OVEN)} == {sample[1] for sample in both}
