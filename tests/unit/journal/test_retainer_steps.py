"""The steps of retention: what may come between two, and what is durable before the next."""

from __future__ import annotations

import errno
import random
import threading
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from forebay.columnar import decode_gap
from forebay.journal import rewrite
from forebay.journal.appender import Appender
from forebay.journal.journal import JournalLimits
from forebay.journal.recovery import RETENTION_CAUSES
from forebay.model import GapCause, RecordKind
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import START, T, calm, entry, journal, read_all
from support.telemetry import scans

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from forebay.journal.entry import Entry
    from forebay.model import Gap

LIMITS = JournalLimits(
    max_bytes=640 << 10, max_age_s=1e9, segment_bytes=48 << 10, ring_bytes=8 << 20
)
ROWS = 24


async def test_a_copy_is_thrown_away_if_somebody_began_to_read_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, go_on = threading.Event(), threading.Event()

    def held(*words: object, **more: object) -> rewrite.Thinned:
        done = plain(*words, **more)  # type: ignore[arg-type]
        if done.copy is not None and not made.is_set():
            made.set()
            assert go_on.wait(30)
        return done

    plain = rewrite.rewrite
    monkeypatch.setattr(rewrite, "rewrite", held)
    async with journal(FaultyDisk(), LIMITS) as log:
        cursor = log.cursor("cloud")
        for number in range(2000):
            await log.submit([batch_entry(scans(number, rows=ROWS))])
            if made.is_set():
                break
        given = await log.read(START, 1 << 14, cursor)
        go_on.set()
        await calm(log)
        assert made.is_set()
        assert {record.revision for record in given} == {0}
        assert await log.read(START, 1 << 14, cursor) == given


class Watched(FaultyDisk):
    """Keeps what was changed: thread, call, and the name of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, str, str]] = []

    def change(self, call: str, path: Path, act: Callable[[], None]) -> None:
        self.calls.append((threading.get_ident(), call, path.name))
        super().change(call, path, act)


async def test_each_name_of_a_copy_is_flushed_before_the_next_step() -> None:
    disk = Watched()
    async with journal(disk, LIMITS) as log:
        log.cursor("cloud")
        number = 0
        while not log.stats().thinned_samples:
            await log.submit([batch_entry(scans(number, rows=ROWS))])
            await calm(log)
            number += 1
    steps: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for thread, call, name in disk.calls:
        steps[thread].append((call, name))
    copies = 0
    for of in steps.values():
        for number, (call, copy) in enumerate(of):
            if call == "rename" and copy.endswith(".1.seg.new"):
                copies += 1
                assert of[number + 1 : number + 4] == [
                    ("sync_dir", "telemetry"),
                    ("unlink", copy.replace(".1.seg.new", ".seg")),
                    ("sync_dir", "telemetry"),
                ]
    assert copies


async def test_what_a_cursor_could_not_save_is_not_passed_for_retention() -> None:
    """On a full disk it drops with a gap; a cut then takes nothing that nobody tells of."""
    limits = replace(LIMITS, max_bytes=200 << 10, segment_bytes=8192)
    disk = FaultyDisk()
    async with journal(disk, limits) as log:
        cursor = log.cursor("cloud")
        await log.submit([entry(n, size=2000, samples=3) for n in range(1, 41)])
        cursor.advance((await read_all(log))[3].position)
    for _ in range(1000):
        disk.fail("create", errno.ENOSPC, part="/cursors/")
    async with journal(disk, limits) as log:
        cursor = log.cursor("cloud")
        cursor.advance((await read_all(log))[-1].position)
        for n in range(41, 121):
            await log.submit([entry(n, size=2000, samples=3)])
        await calm(log)
        log._writer.fail(OSError("crash"))  # noqa: SLF001 - a crash has no interface
    async with journal(disk.reboot(random.Random(1)), limits) as log:
        records = await read_all(log)
        account = log.ledger(T, log.cursor("cloud"))
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    told = [gap for gap in gaps if gap.cause is GapCause.RETENTION_BYTES]
    assert min((gap.epoch, gap.seq_from) for gap in told)[1] == 5
    assert {gap.cause for gap in gaps} == {GapCause.RETENTION_BYTES, GapCause.UNCLEAN_SHUTDOWN}
    assert account.balanced
    assert account.delivered == 4 * 3


async def test_gaps_of_two_epochs_become_durable_one_by_one_the_older_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a cut could leave the younger alone, and the next start would finish both drops."""
    limits = replace(LIMITS, max_bytes=64 << 10, segment_bytes=8192)
    steps: list[Gap | None] = []
    append, sync = Appender.append, Appender.sync

    def appended(self: Appender, entry: Entry, *, alone: bool = False) -> None:
        if entry.kind is RecordKind.GAP:
            steps.append(decode_gap(entry.payload))
        append(self, entry, alone=alone)

    def synced(self: Appender) -> None:
        sync(self)
        steps.append(None)

    monkeypatch.setattr(Appender, "append", appended)
    monkeypatch.setattr(Appender, "sync", synced)
    disk = FaultyDisk()
    async with journal(disk, limits) as log:
        log.cursor("cloud")
        await log.submit([entry(n, size=2000, samples=3) for n in range(1, 8)])
    del steps[:]
    async with journal(disk, limits) as log:
        log.cursor("cloud")
        await log.submit([entry(n, size=2000, samples=3) for n in range(8, 40)])
        await calm(log)
    told = [(i, gap) for i, gap in enumerate(steps) if gap and gap.cause in RETENTION_CAUSES]
    pairs = [(i, old, new) for (i, old), (_, new) in pairwise(told) if old.epoch != new.epoch]
    assert pairs
    assert all(steps[i + 1] is None for i, _ in told)
    assert all(old.epoch < new.epoch for _, old, new in pairs)
