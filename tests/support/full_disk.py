"""A journal on a real file system of 8 MiB that it fills itself, or that others fill.

Run as `python -m support.full_disk DIRECTORY thinning|dropping|bytes|files` inside `unshare -rm`:
mounts a tmpfs there, lives, judges, and prints one line of JSON. An AssertionError ends it with
status 1.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.clock import SystemClock
from forebay.columnar import decode_gap
from forebay.events import DISK_FULL, DISK_HAS_ROOM
from forebay.files import SystemDisk
from forebay.journal.entry import Overflow
from forebay.journal.journal import Journal, JournalLimits
from forebay.model import GapCause, RecordKind
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from support.journal import T, calm, read_all, seams
from support.processes import until
from support.telemetry import PLANT, scans

if TYPE_CHECKING:
    from forebay.interfaces import Seams

KIB, MIB = 1 << 10, 1 << 20
SIZE = 8 * MIB
INODES = {"files": 64}
"""How many files there may be, where that is what runs out; thin segments are many and small."""
LIMITS = JournalLimits(
    max_bytes=64 * MIB, max_age_s=1e9, segment_bytes=512 * KIB, ring_bytes=256 * KIB
)
BY_ITSELF = {
    "thinning": LIMITS,
    "dropping": replace(LIMITS, overflow={**LIMITS.overflow, T: Overflow.DROP_OLDEST}),
}
ROWS = 200
"""Rows of a record: 8,000 samples, about 12 KiB."""


class Life:
    """One run: a pipeline that accepts for ever, and what it has accepted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seams: Seams = replace(seams(), disk=SystemDisk(), clock=SystemClock())
        self.accepted = self.number = 0

    async def produce(self, pipeline: Pipeline, records: int) -> None:
        """Accept so many records' worth, as fast as it is taken."""
        for _ in range(records):
            batch = scans(self.number, rows=ROWS)
            self.number += 1
            self.accepted += batch.samples
            await pipeline.accept(batch)
            await asyncio.sleep(0.005)  # a plant's pace: the disk is to be full, not the processor

    async def judge(self, journal: Journal) -> dict[str, object]:
        """Nothing is lost that no gap names; give what there is."""
        await calm(journal)  # thinning would go on between the account and what it is of
        cursor = journal.cursor("cloud")
        account = journal.ledger(T, cursor)
        records = await read_all(journal, T, MIB)
        positions = [r.position for r in records]
        assert positions == sorted(set(positions))
        batches = [r for r in records if r.kind is RecordKind.BATCH]
        gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
        assert account.balanced, account
        assert account.produced == self.accepted, (account, self.accepted)
        assert account.pending == sum(r.samples for r in batches)
        assert account.gapped == self.accepted - account.pending
        return {
            "causes": sorted({gap.cause.name for gap in gaps}),
            "pending": account.pending,
            "gapped": account.gapped,
            "thinned": journal.stats().thinned_samples,
            "full": self.seams.events.count(DISK_FULL),
            "room": self.seams.events.count(DISK_HAS_ROOM),
        }


async def itself(life: Life, journal: Journal, pipeline: Pipeline) -> None:
    """Fill the disk several times over, no faster than a busy machine thins."""
    for _ in range(100):
        await life.produce(pipeline, 20)
        await calm(journal)
    assert not journal.stats().trouble
    await until(lambda: not pipeline.pending_samples(), "all is durable")
    await until((life.directory / "ballast").exists, "the ballast is made again")


async def others(life: Life, journal: Journal, pipeline: Pipeline, what: str) -> None:
    """Have somebody else take all of it, and let go again."""
    await life.produce(pipeline, 50)
    await until(lambda: not pipeline.pending_samples(), "all is durable")
    place = life.directory.parent / "others"
    command = (sys.executable, "-m", "support.full_disk", str(place), what, "hog")
    eating = await asyncio.create_subprocess_exec(*command)
    while not journal.stats().trouble:
        await life.produce(pipeline, 5)
    before = pipeline.lost_samples
    while pipeline.lost_samples <= before:
        await life.produce(pipeline, 5)
    assert journal.stats().trouble
    assert len(await journal.read(journal.cursor("cloud").get(T), 1)) == 1, "reading goes on"
    eating.kill()
    await eating.wait()
    shutil.rmtree(place)
    await until(lambda: not pipeline.pending_samples(), "all is durable")
    assert not journal.stats().trouble
    await until((life.directory / "ballast").exists, "the ballast is made again")
    await life.produce(pipeline, 50)
    await until(lambda: not pipeline.pending_samples(), "all is durable")


def hog(directory: Path, what: str) -> None:
    """Take every byte or every file as soon as it is free, until somebody ends this process."""
    directory.mkdir()
    for number in itertools.count():
        fd = -1
        try:
            fd = os.open(directory / str(number), os.O_CREAT | os.O_WRONLY)
            while what == "bytes":
                os.write(fd, bytes(4 * KIB))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        if fd >= 0:
            os.close(fd)


async def main(directory: Path, what: str) -> None:
    """Live twice: the second start finds the same."""
    life, limits = Life(directory / "journal"), BY_ITSELF.get(what, LIMITS)
    async with Journal(life.directory, limits, life.seams) as journal:
        journal.cursor("cloud")
        pipeline = Pipeline(journal, Shadow([PLANT]), {}, life.seams, commit_interval_s=0.05)
        running = asyncio.create_task(pipeline.run(), name="pipeline")
        await (
            itself(life, journal, pipeline)
            if what in BY_ITSELF
            else others(life, journal, pipeline, what)
        )
        running.cancel()
        await asyncio.wait([running])
        told = await life.judge(journal)
    async with Journal(life.directory, limits, life.seams) as journal:
        again = await life.judge(journal)
    assert again["pending"] == told["pending"]
    assert what in BY_ITSELF or GapCause.RING_OVERFLOW.name in told["causes"], told  # type: ignore[operator]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if "hog" in sys.argv:
        hog(place, sys.argv[2])
    options = f"size={SIZE},nr_inodes={INODES.get(sys.argv[2], 10_000)}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    asyncio.run(main(place, sys.argv[2]))
