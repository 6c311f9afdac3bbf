"""What `verify` finds: nothing in a sound journal, and each single thing that can be wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from forebay.columnar import decode_gap, encode_gap
from forebay.errors import JournalMissing
from forebay.journal import segment as layout
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import crc32c, encode_header, sha256
from forebay.journal.soundness import Lost
from forebay.journal.verify import Report, unnamed, verify
from forebay.model import Gap, GapCause, RecordKind, Stream
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, PLENTY, T, read_all, segment_paths
from support.real_journal import SMALL, feed, fill, open_journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay.journal.record import RecordHeader


def look(disk: FaultyDisk) -> Report:
    """Verify, and see that nothing was changed by it."""
    before = disk.changes
    report = verify(DIRECTORY, disk)
    assert disk.changes == before
    return report


def told(report: Report) -> list[str]:
    return [problem.what for problem in report.problems]


def content(disk: FaultyDisk, path: Path) -> bytes:
    return disk.read_bytes(path, 1 << 30)


def put(disk: FaultyDisk, path: Path, data: bytes) -> None:
    """Replace a file's content."""
    file = disk.open(path, write=True)
    file.truncate(0)
    file.pwrite([data], 0)
    file.close()


async def one_segment() -> tuple[FaultyDisk, Path]:
    """Give a journal whose telemetry is one sealed segment with everything in it."""
    disk = FaultyDisk()
    await fill(disk, 1, 20, PLENTY)
    (path,) = segment_paths(disk)
    assert look(disk).sound
    return disk, path


async def test_a_sound_journal_over_several_runs_is_counted_and_has_no_problem() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 100)
    await fill(disk, 100, 200, seed=2)
    async with open_journal(disk, seed=3) as log:
        segments = log.segments()
        records = {stream: await read_all(log, stream) for stream in Stream}
    report = look(disk)
    assert (report.problems, report.notes) == ([], [])
    for line in report.streams:
        stream = Stream(line.stream)
        mine = [s for s in segments if s.stream is stream]
        batches = [r for r in records[stream] if r.kind is RecordKind.BATCH]
        assert line.segments == len(mine) > 1
        assert line.records == len(records[stream])
        assert (line.batches, line.samples) == (len(batches), sum(r.samples for r in batches))
        assert line.oldest_ns == min(s.time_min_ns for s in mine if s.samples)
        assert line.newest_ns == max(s.time_max_ns for s in mine)
        assert line.epochs == 2
    assert [line.stream for line in report.streams] == ["events", "telemetry"]
    assert report.streams[1].gaps == 20


async def test_a_journal_that_is_being_written_is_sound_at_every_moment() -> None:
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        for first in range(1, 90, 9):
            await feed(log, first, first + 9)
            assert look(disk).problems == []
        assert look(disk).streams[1].records > 80


async def test_what_retention_took_is_missing_at_the_beginning_only() -> None:
    disk = FaultyDisk()
    limits = replace(SMALL, max_bytes=128 << 10)
    async with open_journal(disk, limits) as log:
        log.cursor("cloud")
        number = 1
        while number < 100 or any(s.first_seq == 1 and s.stream is T for s in log.segments()):
            await feed(log, number, number + 30)
            number += 30
    report = look(disk)
    assert (report.problems, report.notes) == ([], [])
    head = layout.decode_header(content(disk, segment_paths(disk)[0]))
    assert head is not None
    assert head.first_seq > 1
    line = report.streams[1]
    assert line.named_records == head.first_seq - 1
    assert line.named_samples == head.before.counted + head.before.missing


async def test_what_everybody_had_before_it_went_is_no_loss() -> None:
    disk = FaultyDisk()
    limits = replace(SMALL, max_bytes=128 << 10)
    async with open_journal(disk, limits) as log:
        cursor = log.cursor("cloud")
        for number in range(1, 600, 10):
            await feed(log, number, number + 10)
            for stream in Stream:
                if records := await read_all(log, stream):
                    cursor.advance(records[-1].position)
        assert min(s.first_seq for s in log.segments() if s.stream is T) > 1
    for _ in range(2):
        report = look(disk)
        assert (report.problems, report.notes) == ([], [])
        assert [line.named_records for line in report.streams] == [0, 0]
        async with open_journal(disk, limits, seed=2) as log:
            gaps = [r for r in await read_all(log) if r.kind is RecordKind.GAP]
            assert all(decode_gap(r.payload).cause is not GapCause.CORRUPT for r in gaps)


@pytest.mark.parametrize("runs", [1, 2])
async def test_the_oldest_that_is_gone_is_a_problem_until_a_gap_names_it(runs: int) -> None:
    """Be it the beginning of the oldest run or the whole of it."""
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    oldest = segment_paths(disk)
    await fill(disk, 60, 90, seed=2)
    before = look(disk).streams[1]
    gone = oldest[:2] if runs == 1 else oldest
    for path in gone:
        disk.unlink(path)
    (problem,) = look(disk).problems
    lost = before.records - look(disk).streams[1].records
    assert problem.where == f"telemetry/{segment_paths(disk)[0].name}"
    assert problem.what == f"{lost} records before it are gone, and no gap names them"
    await fill(disk, 90, 91, seed=3)
    report = look(disk)
    assert report.problems == []
    (note,) = report.notes
    assert note.what == f"{lost} records before it: no segment has them; a gap names them"
    assert report.streams[1].named_records == lost
    head = layout.decode_header(content(disk, segment_paths(disk)[0]))
    assert head is not None
    assert report.streams[1].named_samples == head.before.counted + head.before.missing


async def test_progress_ends_with_everything() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    seen: list[tuple[int, int]] = []
    verify(DIRECTORY, disk, progress=lambda done, total: seen.append((done, total)))
    size = sum(len(content(disk, path)) for path in disk.paths() if path.suffix == ".seg")
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def header_of(data: bytes, number: int) -> tuple[int, RecordHeader]:
    """Give where the record `number` (from 0) of a segment begins, and its header."""
    at = layout.HEADER_BYTES
    for _ in range(number):
        found = decoded(data, at)
        at += found.size
    return at, decoded(data, at)


def decoded(data: bytes, at: int) -> RecordHeader:
    from forebay.journal.record import decode_header

    found = decode_header(data, at, at)
    assert found is not None
    return found


def last_of(data: bytes, kind: RecordKind) -> tuple[int, RecordHeader]:
    """Give the last record of a kind."""
    tail = layout.decode_trailer(data[-layout.TRAILER_BYTES :], len(data))
    assert tail is not None
    found = [header_of(data, n) for n in range(tail.summary.count)]
    return [one for one in found if one[1].kind == kind][-1]


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (RecordKind.BATCH, {"hash": b"x" * 32}, "its payload does not give its hash"),
        (RecordKind.BATCH, {"samples": 999}, "its header says 999"),
        (RecordKind.BATCH, {"thinned": 5}, "what it says of thinning cannot be"),
        (RecordKind.ANCHOR, {"thinned": 5, "revision": 1}, "what it says of thinning cannot be"),
        (RecordKind.BATCH, {"time_max_ns": 1}, "it has times that its header excludes"),
        (RecordKind.BATCH, {"counted": 1}, "its totals do not follow from the record before it"),
        (RecordKind.BATCH, {"missing": 1}, "its totals do not follow from the record before it"),
        (RecordKind.GAP, {"samples": 8}, "a gap of 7 samples counts 8"),
        (RecordKind.SCHEMA, {"kind": 1}, "its schema"),
        (RecordKind.BATCH, {"kind": 2}, "a payload is damaged"),
    ],
)
async def test_a_header_whose_checksum_holds_and_that_says_something_wrong(
    kind: RecordKind, change: dict[str, Any], said: str
) -> None:
    disk, path = await one_segment()
    data = content(disk, path)
    at, header = last_of(data, kind)
    wrong = encode_header(header._replace(**change))
    put(disk, path, data[:at] + wrong + data[at + RECORD_HEADER_BYTES :])
    assert any(
        what.startswith(f"record {header.seq}: ") and said in what for what in told(look(disk))
    )


async def test_a_payload_that_fits_its_checksums_and_is_no_message() -> None:
    disk, path = await one_segment()
    data = content(disk, path)
    for kind in (RecordKind.BATCH, RecordKind.GAP, RecordKind.ANCHOR):
        at, header = last_of(data, kind)
        rubbish = b"\xff" * header.length
        wrong = header._replace(crc=crc32c(rubbish), hash=sha256(rubbish))
        end = at + RECORD_HEADER_BYTES + header.length
        put(disk, path, data[:at] + encode_header(wrong) + rubbish + data[end:])
        assert f"record {header.seq}: a payload is damaged" in " ".join(told(look(disk)))


def refooted(data: bytes, change: Callable[[layout.Summary, Any], layout.Summary]) -> bytes:
    """Give a segment with another footer, whose checksums hold."""
    tail = layout.decode_trailer(data[-layout.TRAILER_BYTES :], len(data))
    assert tail is not None
    summary = layout.decode_sections(tail, data[tail.sections_offset : -layout.TRAILER_BYTES])
    rows = layout.decode_index(tail, data[tail.index_offset : tail.sections_offset])
    assert summary is not None
    assert rows is not None
    rows = rows.copy()
    summary = change(summary, rows)
    return data[: tail.index_offset] + layout.encode_footer(rows, summary, tail.index_offset)


def other_row(summary: layout.Summary, rows: Any) -> layout.Summary:
    rows["length"][3] += 1
    return summary


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, _: replace(s, chain=b"x" * 32), "its trailer's chain is not that"),
        (lambda s, _: replace(s, after=s.after._replace(counted=1)), "its trailer's totals"),
        (lambda s, _: replace(s, after=s.after._replace(records=1)), "its trailer's totals"),
        (lambda s, _: replace(s, last_seq=s.last_seq - 1), "its trailer's totals"),
        (lambda s, _: replace(s, samples=1), "its trailer's counts"),
        (lambda s, _: replace(s, thinned=1), "its trailer's counts"),
        (lambda s, _: replace(s, time_min_ns=1), "its trailer's times"),
        (lambda s, _: replace(s, schemas={}), "its list of schemas"),
        (lambda s, _: replace(s, schemas=s.schemas | {7: (128, 9)}), "its list of schemas"),
        (
            lambda s, _: replace(
                s, gaps=(layout.JournaledGap(2, Gap(GapCause.CORRUPT, 0, 0, 1, "", 1, 1, 1)),)
            ),
            "its list of gaps",
        ),
        (other_row, "its row in the index is not what it says itself"),
        (
            lambda s, _: replace(s, last_seq=s.last_seq + 2),
            "0 bytes there are no record, and no gap names",
        ),
    ],
    ids=count(),
)
async def test_a_footer_whose_checksums_hold_and_that_says_something_wrong(
    change: Callable[[layout.Summary, Any], layout.Summary], said: str
) -> None:
    disk, path = await one_segment()
    put(disk, path, refooted(content(disk, path), change))
    assert any(said in what for what in told(look(disk)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chain": b"x" * 32}, "its chain does not follow from the segment before it"),
        ({"before": layout.Totals(5, 0, 5)}, "its totals"),
        ({"first_seq": 3}, "its header is damaged"),
        ({"revision": 1}, "its header is damaged"),
    ],
)
async def test_a_segment_header_that_does_not_follow_from_the_segment_before(
    change: dict[str, Any], said: str
) -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    path = segment_paths(disk)[2]
    data = content(disk, path)
    header = layout.decode_header(data)
    assert header is not None
    wrong = layout.encode_header(replace(header, **change))
    put(disk, path, wrong + data[layout.HEADER_BYTES :])
    report = look(disk)
    assert any(said in p.what and p.where == f"telemetry/{path.name}" for p in report.problems)


async def test_the_first_chain_of_an_epoch_is_zeros() -> None:
    disk, path = await one_segment()
    data = content(disk, path)
    header = layout.decode_header(data)
    assert header is not None
    put(disk, path, layout.encode_header(replace(header, chain=b"x" * 32)) + data[128:])
    assert "the chain of its epoch does not begin with zeros" in told(look(disk))


async def test_a_segment_that_is_gone_is_a_problem_until_a_gap_names_it() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    before = look(disk).streams[1]
    gone = segment_paths(disk)[2]
    disk.unlink(gone)
    (what,) = told(look(disk))
    assert "no segment has it, and no gap names " in what
    await fill(disk, 60, 61, seed=2)
    report = look(disk)
    assert report.sound
    (note,) = report.notes
    assert note.what.endswith("no segment has it; a gap names it")
    after = report.streams[1]
    assert after.named_samples == before.samples - (after.samples - 0)
    assert after.named_records > 5


async def test_a_gap_that_names_a_hole_with_another_count_is_a_problem() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    disk.unlink(segment_paths(disk)[2])
    await fill(disk, 60, 61, seed=2)
    path = segment_paths(disk)[-1]
    data = content(disk, path)
    at, header = last_of(data, RecordKind.GAP)
    begin = at + RECORD_HEADER_BYTES
    gap = decode_gap(data[begin : begin + header.length])
    payload = encode_gap(replace(gap, samples=(gap.samples or 0) ^ 1))
    assert len(payload) == header.length
    wrong = encode_header(header._replace(crc=crc32c(payload), hash=sha256(payload)))
    put(disk, path, data[:at] + wrong + payload + data[begin + header.length :])
    assert any("the gap that names it says" in what for what in told(look(disk)))


async def test_the_end_of_an_epoch_that_is_gone_is_a_problem() -> None:
    """The newest segment of a run is taken away, and the next run's totals tell of it."""
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    saved = {path: content(disk, path) for path in segment_paths(disk)}
    await fill(disk, 60, 90, seed=2)
    assert look(disk).sound
    disk.unlink(list(saved)[-1])
    assert any(
        "samples are gone at the end of the epoch before it, and gaps name 0" in what
        for what in told(look(disk))
    )


async def test_an_end_that_was_cut_off_without_a_trace_is_known_by_the_tip() -> None:
    disk = FaultyDisk()
    await fill(disk, 1, 60)
    *_, last = segment_paths(disk)
    disk.unlink(last)
    (problem,) = look(disk).problems
    assert problem.where == "tip"
    first = int(last.stem.split("-")[1], 16)
    assert problem.what == f"telemetry: record 70 was on disk, and {first}-70 is not there"
    for path in segment_paths(disk):
        disk.unlink(path)
    assert told(look(disk)) == ["the tip names records, none is here"]


async def test_a_segment_twice_is_a_problem() -> None:
    disk, path = await one_segment()
    data = content(disk, path)
    header = layout.decode_header(data)
    assert header is not None
    again = replace(header, first_seq=2)
    copy = path.with_name(layout.file_name(header.epoch, 2))
    disk.open(copy, create=True).close()
    put(disk, copy, layout.encode_header(again) + data[128:])
    assert "it begins with record 2, which another segment has too" in told(look(disk))


async def test_small_files_and_strangers() -> None:
    disk, path = await one_segment()
    async with open_journal(disk, PLENTY) as log:
        record = (await read_all(log))[1]
        log.cursor("cloud").advance(record.position)
        await log.quarantine.put(record, uplink="cloud", code="X", reason="", schema=b"")
    assert look(disk).sound
    for stranger in (
        DIRECTORY / "notes.txt",
        path.with_name("0.seg"),
        path.with_suffix(".seg.bad"),
    ):
        disk.open(stranger, create=True).close()
    assert [note.where for note in look(disk).notes] == [
        "notes.txt",
        "telemetry/0.seg",
        f"telemetry/{path.name}.bad",
    ]
    (copy,) = [p for p in disk.paths() if p.suffix == ".rec"]
    disk.rename(copy, copy.with_name(copy.name.replace("0000000000000002", "0000000000000003")))
    put(disk, DIRECTORY / "cursors/cloud.json", b"{}")
    assert [problem.where.split("/")[0] for problem in look(disk).problems] == [
        "cursors",
        "quarantine",
    ]


async def test_a_directory_without_a_journal_is_said_to_be_none() -> None:
    with pytest.raises(JournalMissing, match="it holds no journal"):
        verify(DIRECTORY, FaultyDisk())


def test_unnamed_tells_what_no_gap_does() -> None:
    def gap(first: int, last: int, epoch: int = 1) -> Gap:
        return Gap(GapCause.CORRUPT, 0, 0, 1, "", epoch, first, last)

    lost = Lost(1, 10, 20, 5, "")
    assert unnamed(lost, []) == "10-20"
    assert unnamed(lost, [gap(1, 9), gap(21, 30), gap(10, 20, epoch=2)]) == "10-20"
    assert unnamed(lost, [gap(1, 12), gap(14, 14), gap(20, 20)]) == "13, 15-19"
    assert unnamed(lost, [gap(15, 25), gap(1, 14)]) == ""
