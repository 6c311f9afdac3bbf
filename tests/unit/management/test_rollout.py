"""Offers from their receipt to their end, on a modelled disk and an agent of set words."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from forebay.config.attempts import Offer
from forebay.config.bundle import File
from forebay.errors import ConfigError, Fault, JournalFull, RequestInvalid
from forebay.management.book import FILE, MAX_KEPT
from forebay.management.generations import BOOK, COMMITTED, Generations
from forebay.management.validating import Validated
from forebay.testing.disk import FaultyDisk
from forebay.writing.audit import CONFIGURATIONS, from_batch
from support.rollouts import FOLDER, PROBATION_S, Box

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

PERSONS = "good: a person's"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "forebay.toml"
    path.write_text(PERSONS, encoding="utf-8")
    return path


@pytest.fixture
async def box(file: Path) -> AsyncIterator[Box]:
    box = Box(FaultyDisk(), file)
    await box.start()
    yield box
    await box.stop()


async def test_what_keeps_the_data_flowing_is_committed_and_runs_at_the_next_start(
    box: Box, file: Path
) -> None:
    ended = await box.ended(await box.offer("good one"))
    assert (ended.phase, ended.generation, ended.changed) == ("committed", 1, ("device press",))
    assert ended.took_s >= PROBATION_S
    status = await box.rollout.status()
    assert (status.running, status.running_generation) == (ended.hash, 1)
    assert status.file_differs
    await box.stop()
    after = Box(box.disk, file)
    assert await after.start() == "good one"
    await after.stop()


async def test_who_follows_hears_of_the_last_attempt_after_a_start(box: Box, file: Path) -> None:
    ended = await box.ended(await box.offer("good one"))
    await box.stop()
    after = Box(box.disk, file)
    await after.start()
    heard: list[object] = []

    async def follow() -> None:
        seen = 0
        while True:
            seen = await after.rollout.changed(seen)
            heard.append((await after.rollout.status()).last_attempt)

    following = asyncio.create_task(follow(), name="follow")
    await after.until(lambda: heard and heard[-1] == ended)
    following.cancel()
    await after.stop()


async def test_who_follows_hears_of_what_runs_after_the_way_back(box: Box) -> None:
    heard: list[str] = []

    async def follow() -> None:
        seen = 0
        while True:
            seen = await box.rollout.changed(seen)
            heard.append((await box.rollout.status()).running)

    hash_of_file = box.boot.file_hash

    def slowly() -> str:
        time.sleep(0.1)  # whoever looks at once sees what is about to go
        return hash_of_file()

    following = asyncio.create_task(follow(), name="follow")
    id_ = await box.offer("silent")
    await box.until(lambda: (one := box.attempt(id_)) is not None and one.phase == "probation")
    box.boot.file_hash = slowly  # type: ignore[method-assign]
    ended = await box.ended(id_)
    assert ended.phase == "rolled_back"
    runs = (await box.rollout.status()).running
    assert runs != ended.hash
    await box.until(lambda: heard[-1] == runs)
    following.cancel()


async def test_what_stops_the_data_goes_again_and_is_denied_until_another_offer(box: Box) -> None:
    ended = await box.ended(await box.offer("silent", "offer-1"))
    assert (ended.phase, box.runs) == ("rolled_back", PERSONS)
    assert "press" in ended.error
    assert ended.took_s <= PROBATION_S + 2.0
    same = await box.offer("silent", "offer-1")
    assert same == ended.id, "a server that says it again is told how it ended"
    await box.ended(await box.offer("good other", "offer-2"))
    replayed = await box.ended(await box.offer("silent", "offer-1"))
    assert (replayed.phase, box.runs) == ("failed", "good other")
    again = await box.ended(await box.offer("silent", "offer-3"))
    assert again.phase == "rolled_back", "another offer is tried"


async def test_the_same_again_changes_nothing(box: Box) -> None:
    await box.ended(await box.offer("good one", "offer-1"))
    applied = list(box.live.applied)
    again = await box.ended(await box.offer("good one", "offer-2"))
    assert (again.phase, box.live.applied) == ("committed", applied)
    assert "nothing was changed" in again.remarks[0]
    persons = await box.ended(await box.offer(PERSONS, "offer-3"))
    assert (persons.phase, box.runs) == ("committed", PERSONS)


async def test_a_newer_offer_takes_the_place_of_one_on_trial(box: Box) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    second = await box.offer("good two")
    assert (await box.ended(second)).phase == "committed"
    assert (await box.ended(first)).phase == "superseded"
    assert (box.runs, len(box.live.applied)) == ("good two", 2)


async def test_a_newer_offer_that_is_bad_goes_back_to_what_proved_itself(box: Box) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    assert (await box.ended(await box.offer("silent"))).phase == "rolled_back"
    assert (await box.ended(first)).phase == "superseded"
    assert box.runs == PERSONS, "what never proved itself is nothing to go back to"


async def test_a_newer_offer_that_is_refused_leaves_the_trial_alone(box: Box) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    assert (await box.ended(await box.offer("broken"))).phase == "failed"
    assert (await box.ended(first)).phase == "committed"


async def test_an_offer_that_is_still_being_got_gives_way(box: Box) -> None:
    asked = asyncio.Event()

    async def never(sha256: bytes) -> bytes:
        del sha256
        asked.set()
        await asyncio.Event().wait()
        return b""

    slow = Offer((File("forebay.toml", b"\1" * 32, 5),), never, "slow", "local", "uid:0")
    first = await box.rollout.offer(slow)
    await asyncio.wait_for(asked.wait(), 10.0)
    assert (await box.ended(await box.offer("good one"))).phase == "committed"
    assert (await box.ended(first)).phase == "superseded"


async def test_the_trial_offered_again_under_another_name_is_one_trial(box: Box) -> None:
    first = await box.offer("good one", "offer-1")
    await box.until(lambda: box.runs == "good one")
    second = await box.offer("good one", "offer-2")
    assert (await box.ended(second)).phase == "committed"
    assert (await box.ended(first)).phase == "superseded"
    assert box.live.applied == ["good one"]


async def test_what_ran_before_is_offered_during_a_trial(box: Box) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    back = await box.ended(await box.offer(PERSONS))
    assert (back.phase, box.runs) == ("committed", PERSONS)
    assert (await box.ended(first)).phase == "superseded"


async def test_a_person_goes_back_from_a_trial_at_once(box: Box) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    assert await box.rollout.rollback("uid:7", "a smell of smoke") == first
    ended = await box.ended(first)
    assert (ended.phase, box.runs) == ("rolled_back", PERSONS)
    assert ended.error == "uid:7 asked for it: a smell of smoke"


async def test_a_person_goes_back_step_by_step_to_the_file(box: Box) -> None:
    await box.ended(await box.offer("good one"))
    await box.ended(await box.offer("good two"))
    seen = []
    for _ in range(2):
        ended = await box.ended(await box.rollout.rollback("uid:7", ""))
        seen.append((ended.phase, box.runs))
    assert seen == [("committed", "good one"), ("committed", PERSONS)]
    assert (await box.rollout.status()).running_generation == FILE
    with pytest.raises(RequestInvalid, match="nothing to go back to"):
        await box.rollout.rollback("uid:7", "")


async def test_without_audit_nothing_changes(box: Box) -> None:
    box.records.fails = JournalFull("full", hint="")
    ended = await box.ended(await box.offer("good one"))
    assert (ended.phase, box.live.applied) == ("failed", [])
    assert "audit" in ended.error
    box.records.fails = None
    retried = await box.ended(await box.offer("good one"))
    assert retried.phase == "committed", "what failed for the box's own reasons is not denied"


async def test_the_audit_has_intent_and_outcome(box: Box) -> None:
    await box.ended(await box.offer("silent"))
    await box.until(lambda: len(box.records.batches) == 2)
    deeds = [d for b in box.records.batches for d in from_batch(b)]
    assert {batch.schema.id for batch in box.records.batches} == {CONFIGURATIONS.id}
    assert [(d.step, d.who, d.outcome) for d in deeds] == [
        ("intent", "uid:0", ""),
        ("outcome", "uid:0", "rolled_back"),
    ]


async def test_the_way_back_needs_no_audit_and_no_disk(box: Box, file: Path) -> None:
    first = await box.offer("silent")
    await box.until(lambda: box.runs == "silent")
    box.records.fails = JournalFull("full", hint="")
    box.disk.others_bytes = 1 << 40
    assert (await box.ended(first)).phase == "rolled_back"
    assert box.runs == PERSONS
    await box.stop()
    stuck = Box(box.disk, file)
    assert await stuck.start() == PERSONS, "a start that cannot be counted tries nothing"
    await stuck.stop()


async def test_what_is_invalid_fails_before_anything_is_touched(box: Box) -> None:
    async def refuse(main: Path, working: Sequence[str]) -> Validated:
        del main
        assert list(working) == ["device press", "uplink cloud"]
        return Validated((Fault("devices.press", "is wrong", "mend it"),), ())

    await box.until(lambda: box.clock.monotonic_s() > 8.0)
    box.rollout._staging._validate = refuse  # noqa: SLF001
    ended = await box.ended(await box.offer("good one"))
    assert (ended.phase, box.live.applied) == ("failed", [])
    assert (ended.error, ended.hint) == ("devices.press: is wrong", "mend it")


async def test_an_offer_that_has_expired_changes_nothing(box: Box) -> None:
    await box.until(lambda: box.clock.monotonic_s() > 5.0)
    late = Offer(
        (File("forebay.toml", b"\1" * 32, 5),), lambda _: never(), "x", "fleet", "", "", 1.0
    )
    ended = await box.ended(await box.rollout.offer(late))
    assert (ended.phase, ended.error) == ("failed", "it has expired")


async def never() -> bytes:
    raise AssertionError("it is not asked for")


async def test_content_that_is_not_what_was_offered_is_refused(box: Box) -> None:
    async def other(sha256: bytes) -> bytes:
        del sha256
        return b"other"

    offer = Offer((File("forebay.toml", b"\1" * 32, 5),), other, "x", "local", "uid:0")
    ended = await box.ended(await box.rollout.offer(offer))
    assert (ended.phase, box.live.applied) == ("failed", [])
    assert "not what was offered" in ended.error


async def test_generations_are_bounded_and_what_is_here_is_not_asked_for_again(box: Box) -> None:
    for number in range(MAX_KEPT + 3):
        assert (await box.ended(await box.offer(f"good {number}"))).phase == "committed"
    await box.until(lambda: len(folders(box.disk)) <= MAX_KEPT)
    newest = max(int(name.removeprefix("gen-")) for name in folders(box.disk))
    assert newest == MAX_KEPT + 3
    known = f"good {MAX_KEPT + 1}"
    ended = await box.ended(await box.offer(known, "again"))
    assert ended.phase == "committed"


def folders(disk: FaultyDisk) -> list[str]:
    return [name for name in disk.listdir(FOLDER) if name.startswith("gen-")]


async def test_a_damaged_generation_never_keeps_the_agent_from_starting(
    box: Box, file: Path
) -> None:
    await box.ended(await box.offer("good one"))
    await box.ended(await box.offer("good two"))
    await box.stop()
    for damaged, expected in ((2, "good one"), (1, PERSONS)):
        box.disk.flip(FOLDER / f"gen-{damaged}" / "forebay.toml", 3)
        after = Box(box.disk, file)
        assert await after.start() == expected
        assert "is not what it was" in after.boot.faults[0]
        await after.stop()


@pytest.mark.parametrize("damaged", [(BOOK,), (BOOK, COMMITTED)])
async def test_a_damaged_book_leaves_what_proved_itself(
    box: Box, file: Path, damaged: tuple[str, ...]
) -> None:
    await box.ended(await box.offer("good one"))
    await box.stop()
    for name in damaged:
        box.disk.flip(FOLDER / name, 5)
    after = Box(box.disk, file)
    assert await after.start() == ("good one" if damaged == (BOOK,) else PERSONS)
    assert (await after.ended(await after.offer("good two"))).phase == "committed"
    await after.stop()


async def test_a_trial_that_cannot_be_loaded_at_a_start_is_given_up(box: Box, file: Path) -> None:
    first = await box.offer("good one")
    await box.until(lambda: box.runs == "good one")
    await box.stop()
    box.disk.flip(FOLDER / "gen-1" / "forebay.toml", 3)
    after = Box(box.disk, file)
    assert await after.start() == PERSONS
    await after.stop()
    ended = Generations(FOLDER, box.disk).read().attempt(first)
    assert ended is not None
    assert ended.phase == "rolled_back"


async def test_an_attempt_that_a_crash_cut_off_before_its_trial_is_tried_again(
    box: Box, file: Path
) -> None:
    async def never_comes(sha256: bytes) -> bytes:
        del sha256
        await asyncio.Event().wait()
        return b""

    text = b"good one"
    import hashlib

    files = (File("forebay.toml", hashlib.sha256(text).digest(), len(text)),)
    first = await box.rollout.offer(Offer(files, never_comes, "o", "local", "uid:0"))
    await box.stop()
    after = Box(box.disk, file)
    await after.start()
    ended = await after.ended(first)
    assert (ended.phase, ended.error) == ("failed", "the agent ended before it was tried")
    assert (await after.ended(await after.offer("good one", "o"))).phase == "committed"
    await after.stop()


async def test_what_cannot_be_files_is_refused(box: Box) -> None:
    for files in (
        (),
        (File("../forebay.toml", b"\1" * 32, 5),),
        (File("forebay.toml", b"\1" * 31, 5),),
        (File("forebay.toml", b"\1" * 32, 5), File("forebay.toml", b"\1" * 32, 5)),
        (File("forebay.toml", b"\1" * 32, 1 << 40),),
    ):
        with pytest.raises(RequestInvalid):
            await box.rollout.offer(Offer(files, lambda _: never(), "x", "fleet"))
    assert box.rollout.attempts() == ()


async def test_who_waits_hears_of_each_step(box: Box) -> None:
    seen = await box.rollout.changed(0)
    waiting = asyncio.create_task(box.rollout.changed(seen))
    id_ = await box.offer("good one")
    assert await asyncio.wait_for(waiting, 10.0) != seen
    await box.ended(id_)


def test_a_config_error_is_told_in_one_text() -> None:
    from forebay.management.booting import explained

    faults = [Fault(f"devices.d{n}", "is wrong", "mend it") for n in range(9)]
    said = explained(ConfigError(faults))
    assert said.startswith("devices.d0: is wrong (mend it); ")
    assert said.endswith("and 4 more")
