"""The scrub finds damage that nobody asked for, at its own pace, and goes on after a restart."""

from __future__ import annotations

from forebay.events import DATA_LOST
from forebay.journal.journal import Journal
from forebay.journal.scrub import PASS_S, STEP_BYTES_LEAST, STEP_S, Scrub, step_bytes
from forebay.model import GapCause, RecordKind
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, PLENTY, T, entry, journal, read_all, seams, segment_paths

PAYLOAD = 2_000


async def filled(disk: FaultyDisk, records: int = 40) -> None:
    async with journal(disk) as log:
        for name in range(records):
            await log.submit([entry(name, size=PAYLOAD)])


async def test_damage_that_nobody_read_becomes_a_gap() -> None:
    disk = FaultyDisk()
    await filled(disk)
    path = segment_paths(disk)[0]
    disk.flip(path, disk.size(path) * 4)
    made = seams(disk)
    async with Journal(DIRECTORY, PLENTY, made) as log:
        cursor = log.cursor("cloud")
        scrub = Scrub(log, made)
        await scrub.step()
        assert made.events.count(DATA_LOST, cause=GapCause.CORRUPT.name) == 1
        assert log.ledger(T, cursor).gapped == 10
        assert log.ledger(T, cursor).balanced
        gaps = [r for r in await read_all(log) if r.kind is RecordKind.GAP]
        assert gaps


async def test_a_pass_reads_every_byte_once_and_a_new_run_goes_on() -> None:
    disk = FaultyDisk()
    await filled(disk, records=1_200)
    made = seams(disk)
    async with Journal(DIRECTORY, PLENTY, made) as log:
        total = sum(segment.bytes for segment in log.segments())
        assert total > 2 * STEP_BYTES_LEAST
        first = Scrub(log, made)
        read = await first.step()
        first.save()
        second = Scrub(log, made)
        second.place = second.load()
        assert second.place == first.place
        while not second.passes:
            read += await second.step()
        assert 0.9 * total < read <= total


def test_everything_takes_a_week() -> None:
    total = 10 << 30
    assert abs(step_bytes(total) * PASS_S / STEP_S / total - 1) < 0.01
    assert step_bytes(5) == STEP_BYTES_LEAST


async def test_a_damaged_state_begins_anew() -> None:
    disk = FaultyDisk()
    await filled(disk, records=1)
    for content in (b"", b"[" * 4_000, b'{"stream": 1}', b'{"stream": "bulk", "epoch": 7}', b"[]"):
        disk.write_atomic(DIRECTORY / "scrub.json", content)
        made = seams(disk)
        scrub = Scrub(Journal(DIRECTORY, PLENTY, made), made)
        assert scrub.load().seq == 0
