"""What the answers make of a real journal over several runs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from forebay.config.model import JournalSettings
from forebay.control.answers import Acting, Answers
from forebay.model import RecordKind, Stream
from forebay.testing.disk import FaultyDisk
from support.journal import T, read_all, seams
from support.real_journal import SMALL, feed, fill, open_journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from forebay.journal.journal import Journal


@pytest.fixture
async def log() -> AsyncIterator[Journal]:
    """A journal in its third run, each with some thirty records."""
    disk = FaultyDisk()
    await fill(disk, 1, 30)
    await fill(disk, 30, 60, seed=2)
    async with open_journal(disk, SMALL, seed=3) as journal:
        await feed(journal, 60, 90)
        yield journal


def answers(journal: Journal) -> Answers:
    loaded: Any = SimpleNamespace(
        devices=(), uplinks=(), config=SimpleNamespace(journal=JournalSettings())
    )
    shadow: Any = SimpleNamespace(walk=lambda: ())
    pipeline: Any = SimpleNamespace(pending_samples=lambda _: 0)
    nothing: Any = None
    acting = Acting(nothing, nothing)
    return Answers(loaded, seams(), journal, pipeline, shadow, (), (), acting)


async def shown(journal: Journal, *asked: int) -> list[tuple[int, int]]:
    found = await answers(journal).show_records("telemetry", *asked)
    return [(record.epoch, record.seq) for record in found]


async def test_the_newest_records_are_those_of_all_runs(log: Journal) -> None:
    everything = [record.position[1:] for record in await read_all(log)]
    runs = sorted({epoch for epoch, _ in everything})
    assert [epoch >> 32 for epoch in runs] == [1, 2, 3]
    for limit in (1, 20, 40, 70, 1000):
        assert await shown(log, 0, limit, 0) == everything[-limit:]
    for number, epoch in enumerate(runs, start=1):
        mine = [place for place in everything if place[0] == epoch]
        assert await shown(log, 0, 10, number) == mine[-10:]
        assert await shown(log, 5, 10, number) == mine[4:14]
        assert await shown(log, 5, 1000, number) == mine[4:]
    assert (
        await shown(log, 5, 10, 0) == [place for place in everything if place[0] == runs[2]][4:14]
    )
    assert await shown(log, 0, 10, 9) == []
    assert await answers(log).show_records("audit", 0, 10, 0) == []


async def test_the_status_has_a_line_for_each_stream_and_run(log: Journal) -> None:
    reply = await answers(log).journal_status()
    assert [(line.stream, line.epoch >> 32) for line in reply.streams] == [
        (stream, run) for stream in ("events", "telemetry") for run in (1, 2, 3)
    ]
    for line in reply.streams:
        records = [
            r for r in await read_all(log, Stream(line.stream)) if r.position.epoch == line.epoch
        ]
        assert line.next_seq - line.first_seq == len(records)
        batches = [r for r in records if r.kind is RecordKind.BATCH]
        assert line.samples == sum(r.samples for r in batches)
        assert line.newest_ns == max(r.time_max_ns for r in batches)
        assert line.overflow == ("thin" if line.stream == T else "drop_oldest")
    assert reply.wear_bytes_per_day == 20 << 30
    assert (reply.quarantined_records, reply.trouble) == (0, "")


async def balances(journal: Journal) -> list[tuple[str, int, int]]:
    """Give of each stream's account without an uplink: produced, and what is nowhere of it."""
    return [
        (
            line.stream,
            line.produced,
            line.produced - line.delivered - line.pending - line.gapped - line.quarantined,
        )
        for line in await answers(journal).ledger()
    ]


async def test_the_ledger_without_an_uplink_accounts_for_what_was_thinned_and_dropped() -> None:
    disk = FaultyDisk()
    limits = replace(SMALL, max_bytes=128 << 10)
    async with open_journal(disk, limits) as journal:
        journal._writer.retain()  # noqa: SLF001 - without a consumer it begins after a second
        number = 1
        while number < 3000 and not (
            journal.stats().thinned_samples and journal.heads()[-1].first_seq > 1
        ):
            await feed(journal, number, number + 10)
            number += 10
        lines = list(await answers(journal).ledger())
        held = {s: sum(i.samples for i in journal.segments() if i.stream is s) for s in Stream}
        for line in lines:
            assert line.pending == held[Stream(line.stream)]
            assert line.delivered == line.quarantined == 0
        telemetry = next(line for line in lines if line.stream == T.value)
        assert telemetry.produced > telemetry.pending + journal.stats().thinned_samples
        assert all(off == 0 for *_, off in await balances(journal))


@pytest.mark.parametrize("number", [0, 1])
async def test_the_ledger_without_an_uplink_shows_what_is_gone_without_a_word(
    log: Journal, number: int
) -> None:
    assert all(produced and not off for _, produced, off in await balances(log))
    catalog = log._catalog  # noqa: SLF001 - behind the journal's back is the point
    segment = catalog.segments(T)[number]
    catalog.drop(segment)
    off = {stream: off for stream, _, off in await balances(log)}
    assert off.pop(T.value) == segment.summary.samples > 0
    assert not any(off.values())


async def test_the_ledger_without_an_uplink_knows_what_a_former_one_has_had() -> None:
    disk = FaultyDisk()
    limits = replace(SMALL, max_bytes=128 << 10)
    async with open_journal(disk, limits) as journal:
        cursor = journal.cursor("former")
        for number in range(1, 600, 10):
            await feed(journal, number, number + 10)
            for stream in Stream:
                if records := await read_all(journal, stream):
                    cursor.advance(records[-1].position)
        assert min(s.first_seq for s in journal.segments() if s.stream is T) > 1
    async with open_journal(disk, limits, seed=2) as journal:
        await feed(journal, 600, 610)
        assert all(produced and not off for _, produced, off in await balances(journal))
        assert all(line.delivered for line in await answers(journal).ledger())


async def test_a_disk_that_fails_does_not_silence_the_account_of_the_journal(
    log: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(log)

    def refused(path: Path) -> int:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(asked._seams.disk, "free_bytes", refused)  # noqa: SLF001 - the disk's seam
    told = await asked.journal_status()
    assert told.disk_free_bytes == 0
    assert told.streams
