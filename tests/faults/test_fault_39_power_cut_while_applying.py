"""Fault 39: the power goes at each step of a change: what was committed runs then, or the new one.

Every operation of the disk is cut once, in the first life and again in the start that follows it.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from forebay.errors import RequestFailed
from forebay.management.book import BOOTS
from forebay.management.booting import Booting
from forebay.management.generations import Generations
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.rollouts import FOLDER, Box, loaders, text_of

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = int(os.environ.get("FUZZ_EXAMPLES", "4"))
FILE, FIRST, GOOD, BAD = "good file", "good first", "good second", "silent second"


async def before(disk: FaultyDisk, file: Path) -> None:
    """Have FIRST committed."""
    box = Box(disk, file)
    assert await box.start() == FILE
    assert (await box.ended(await box.offer(FIRST))).phase == "committed"
    await box.stop()


async def change(disk: FaultyDisk, file: Path, text: str) -> None:
    """Offer `text`, and let it come to its end, or to that of the power."""
    box = Box(disk, file)
    assert await box.start() == FIRST
    try:
        id_ = await box.offer(text)
        await box.until(
            lambda: disk.off or ((one := box.attempt(id_)) is not None and one.phase.ended)
        )
    except RequestFailed:
        assert disk.off
    finally:
        await box.stop()


async def on_trial(box: Box, id_: int) -> None:
    """Wait until this attempt runs on trial."""
    await box.until(lambda: (one := box.attempt(id_)) is not None and one.phase == "probation")


@pytest.mark.parametrize("text", [GOOD, BAD])
async def test_fault_39_a_cut_at_every_operation_leaves_one_or_the_other(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "forebay.toml"
    file.write_text(FILE, encoding="utf-8")
    start = FaultyDisk()
    await before(start, file)
    start = start.snapshot()
    whole = start.snapshot()
    await change(whole, file, text)
    assert whole.changes > 25, "it writes less than it must"
    found = set()
    for seed in range(SEEDS):
        for cut in range(whole.changes):
            disk = start.snapshot()
            disk.cut_after(cut)
            await change(disk, file, text)
            rng = random.Random(f"{seed}-{cut}")
            found.add(starts(disk, file, text, rng))
    assert found == {FIRST, text}, "some cuts are before the change, some behind it"


def starts(disk: FaultyDisk, file: Path, text: str, rng: random.Random) -> str:
    """Start after a cut, and cut that start at each of its operations too; give what runs."""
    after = disk.reboot(rng)
    first = booted(after.snapshot(), file)
    assert first in (FIRST, text), "neither what was committed nor what was being tried"
    counting = after.snapshot()
    booted(counting, file)
    for cut in range(counting.changes):
        again = after.snapshot()
        again.cut_after(cut)
        booted(again, file, off=True)
        assert booted(again.reboot(rng), file) in (FIRST, text)
    tries = 0
    while Generations(FOLDER, after).read().trial is not None:
        tries += booted(after, file) == text
        after = after.reboot(rng)
    assert tries <= BOOTS, "a trial that never ends"
    return first


def booted(disk: FaultyDisk, file: Path, *, off: bool = False) -> str:
    """Start once; give what runs. Nothing on trial is begun whose start is not counted."""
    generations = Generations(FOLDER, disk)
    before = None if disk.off else generations.read().trial

    def seen(_: object) -> None:
        if disk.off or before is None:
            return
        on_disk = Generations(FOLDER, disk.reboot(random.Random(0))).read()
        if on_disk.trial is not None and on_disk.running == on_disk.trial.generation:
            assert on_disk.trial.boots_left == before.boots_left - 1, "it is begun uncounted"

    boot = Booting(file, generations, FakeClock(), loaders(disk, seen))
    try:
        return text_of(boot.start())
    except OSError:
        assert off, "nothing was wrong with the disk"
        return ""


async def test_fault_39_a_trial_that_kills_the_agent_is_given_up_after_its_starts(
    tmp_path: Path,
) -> None:
    file = tmp_path / "forebay.toml"
    file.write_text(FILE, encoding="utf-8")
    disk = FaultyDisk()
    await before(disk, file)
    box = Box(disk, file)
    await box.start()
    id_ = await box.offer(GOOD)
    await on_trial(box, id_)
    await box.stop()
    ran = []
    for _ in range(BOOTS + 2):
        crashing = Box(disk, file)
        ran.append(await crashing.start())
        await crashing.stop()
    assert ran == [GOOD] * BOOTS + [FIRST, FIRST]
    ended = Generations(FOLDER, disk).read().attempt(id_)
    assert ended is not None
    assert ended.phase == "rolled_back"
    assert "again and again" in ended.error


async def test_fault_39_a_trial_whose_time_is_over_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "forebay.toml"
    file.write_text(FILE, encoding="utf-8")
    for other_boot in (False, True):
        disk = FaultyDisk()
        await before(disk, file)
        box = Box(disk, file)
        await box.start()
        id_ = await box.offer(GOOD)
        await on_trial(box, id_)
        await box.stop()
        later = FakeClock(boot_id="boot-2" if other_boot else "boot-1")
        if other_boot:
            later.step_wall(86_400.0)
        else:
            later.suspend(86_400.0)
        late = Box(disk, file, later)
        assert await late.start() == FIRST
        await late.stop()
