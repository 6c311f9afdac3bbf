"""One flipped bit, anywhere in a journal's directory: found, and it costs at most one record.

Every kind of file: segments sealed and not, the tip, cursors, quarantine, the scrub's place, the
ballast. The journal starts whatever it meets, never gives a record that was not written, and
accounts for each that it cannot give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.columnar import decode_gap
from forebay.journal.scrub import Scrub
from forebay.journal.verify import verify
from forebay.model import GapCause, Record, RecordKind, Stream
from forebay.testing.disk import FaultyDisk
from support.fuzz import examples
from support.journal import DIRECTORY, T, read_all, seams
from support.real_journal import SMALL, feed, open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.journal.journal import Journal

LIMITS = replace(SMALL, max_bytes=1 << 20)


class Before(NamedTuple):
    """What was durable before the bit flipped."""

    records: dict[Stream, list[Record]]
    files: tuple[Path, ...]


async def write(disk: FaultyDisk, *, crash: bool) -> Before:
    """Fill two runs; leave the second sealed, or as `kill -9` does."""
    async with open_journal(disk, LIMITS) as log:
        await feed(log, 1, 30)
    log = open_journal(disk, LIMITS, seed=2)
    await log.__aenter__()
    await feed(log, 30, 60)
    records = {stream: await read_all(log, stream) for stream in Stream}
    log.cursor("cloud").advance(records[T][9].position)
    await log.quarantine.put(records[T][10], uplink="cloud", code="X", reason="", schema=b"")
    scrub = Scrub(log, seams(disk))
    await scrub.step()
    scrub.save()
    if crash:
        log._cursors.save()  # noqa: SLF001 - the upkeep does that each second
        log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    await log.__aexit__(None, None, None)
    files = tuple(path for path in disk.paths() if disk.read_bytes(path, 1))
    return Before(records, files)


async def starts(disk: FaultyDisk, seed: int) -> tuple[dict[Stream, list[Record]], Journal]:
    """Start, read everything, stop in order."""
    async with open_journal(disk, LIMITS, seed=seed) as log:
        records = {stream: await read_all(log, stream) for stream in Stream}
        for stream in Stream:
            account = log.ledger(stream, log.cursor("cloud"))
            assert account.balanced, (stream, account)
        return records, log


def hold(before: Before, after: dict[Stream, list[Record]], *, orderly: bool) -> list[Record]:
    """Check what a start gave against what was durable; give what is lost.

    Unless the stop was `orderly` and the newest segments say so, what was in memory may be lost.
    """
    lost: list[Record] = []
    for stream, known in before.records.items():
        given_ = {record.position: record for record in after[stream]}
        lost += [record for record in known if record.position not in given_]
        for record in known:
            assert given_.get(record.position, record) == record
        new = [r for r in after[stream] if r.position not in {k.position for k in known}]
        assert {record.kind for record in new} <= {RecordKind.GAP}
        named = [decode_gap(record.payload) for record in new]
        unseen = {gap.cause for gap in named if not gap.journaled}
        assert unseen <= (set() if orderly else {GapCause.UNCLEAN_SHUTDOWN})
    return lost


def kinds(files: tuple[Path, ...]) -> dict[str, list[Path]]:
    """Group files by what they are, so that each kind is drawn as often as any other."""
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.suffix or path.name, []).append(path)
    return found


async def test_all_kinds_of_files_are_there() -> None:
    for crash in (False, True):
        before = await write(FaultyDisk(), crash=crash)
        there = kinds(before.files)
        assert there.keys() == {".seg", ".json", ".rec", "tip", "ballast"}
        assert {path.parent.name for path in there[".seg"]} == {"events", "telemetry"}
        assert {path.name for path in there[".json"]} == {"cloud.json", "scrub.json"}


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
async def test_without_a_flip_nothing_is_found_or_lost(*, crash: bool) -> None:
    disk = FaultyDisk()
    before = await write(disk, crash=crash)
    assert verify(DIRECTORY, disk).problems == []
    after, _ = await starts(disk, seed=3)
    assert hold(before, after, orderly=not crash) == []
    assert verify(DIRECTORY, disk).problems == []


@examples(60)
@given(st.data())
async def test_one_flipped_bit_is_found_and_costs_at_most_one_record(data: st.DataObject) -> None:
    disk, crash = FaultyDisk(), data.draw(st.booleans())
    before = await write(disk, crash=crash)
    there = kinds(before.files)
    path = data.draw(st.sampled_from(there[data.draw(st.sampled_from(sorted(there)))]))
    size = len(disk.read_bytes(path, 1 << 30))
    disk.flip(path, data.draw(st.integers(0, 8 * size - 1)))
    assert not verify(DIRECTORY, disk).sound
    lost: list[Record] = []
    for seed in (3, 4):  # the second start must not find anything new to tell
        after, log = await starts(disk, seed)
        now = hold(before, after, orderly=not crash and path.suffix != ".seg")
        assert len(now) <= 1
        assert seed == 3 or now == lost
        lost = now
        if path.suffix != ".seg":
            assert not lost
        if path.suffix != ".rec":
            assert len(log.quarantine.copies()) == 1
    report = verify(DIRECTORY, disk)
    assert not [problem for problem in report.problems if "no gap names" in problem.what]
    # A last record that was torn off is behind the end of its segment. If its header is torn too,
    # nobody can know its size: then the gap of what was in memory stands for it.
    ends = [before.records[record.position.stream][-1] == record for record in lost]
    assert sum(line.named_records for line in report.streams) <= len(lost)
    named = sum(line.named_samples for line in report.streams)
    held = sum(record.samples for record in lost if record.kind is RecordKind.BATCH)
    assert named == held or (crash and all(ends) and named == 0)
    # What no start rewrites stays damaged, and said to be: nothing there is needed to read records.
    left = ("its index is damaged", "neither read nor sent", "lost by it", "will begin anew")
    zeros = ("what fills it up is not zero", "its trailer has bytes that are not zero")
    for problem in report.problems:
        assert problem.what.endswith(left + zeros)
        assert problem.where == str(path.relative_to(DIRECTORY))
