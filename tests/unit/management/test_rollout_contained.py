"""What a configuration, or two at once, must not do to the agent on the way to its trial."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from typing import TYPE_CHECKING

import pytest

from forebay.config.attempts import Offer
from forebay.config.bundle import MAIN, File, described
from forebay.errors import FleetUnavailable, RequestFailed
from forebay.management import validating
from forebay.management.book import BOOTS
from forebay.management.generations import MANIFEST
from forebay.testing.disk import FaultyDisk
from support.rollouts import FOLDER, PROBATION_S, Box

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from forebay.config.load import LoadedConfig
    from forebay.management.validating import Validated
    from forebay.management.views import Applied

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


async def test_a_defect_while_it_is_checked_ends_the_offer_and_not_the_agent(box: Box) -> None:
    async def fails(main: Path, working: Sequence[str]) -> Validated:
        del working
        raise RuntimeError(f"Symlink loop from '{main.name}'")

    works, box.rollout._staging._validate = box.validate, fails  # noqa: SLF001
    ended = await box.ended(await box.offer("good one", "offer-1"))
    assert (ended.phase, box.runs) == ("failed", PERSONS)
    assert "Symlink loop" in ended.error
    box.rollout._staging._validate = works  # noqa: SLF001
    again = await box.ended(await box.offer("good one", "offer-1"))
    assert again.phase == "failed", "what met a defect is not tried again and again by itself"
    assert (await box.ended(await box.offer("good one", "offer-2"))).phase == "committed"


@pytest.mark.parametrize("at", [1, 2])
async def test_a_disk_that_fails_as_it_is_begun_ends_the_offer_and_not_the_agent(
    box: Box, at: int
) -> None:
    load, calls = box.boot.one, 0

    def fails(number: int) -> LoadedConfig:
        nonlocal calls
        calls += number == 1
        if number == 1 and calls == at:
            raise OSError(errno.EIO, "Input/output error")
        return load(number)

    box.boot.one = fails  # type: ignore[method-assign]
    ended = await box.ended(await box.offer("good one", "offer-1"))
    assert ended.phase == ("failed" if at == 1 else "committed")
    assert (await box.ended(await box.offer("good two"))).phase == "committed"


async def test_a_machine_that_has_no_process_left_refuses_the_offer_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_left(*_: object, **__: object) -> asyncio.subprocess.Process:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none_left)
    with pytest.raises(RequestFailed, match="temporarily unavailable"):
        await validating.validate(tmp_path / MAIN, [])


async def test_what_ends_the_agent_while_it_is_checked_is_denied_after_three_times(
    box: Box, file: Path
) -> None:
    """As one that is killed for the memory that it takes: each start is offered it again."""
    checking = asyncio.Event()

    async def never(main: Path, working: Sequence[str]) -> Validated:
        del main, working
        checking.set()
        await asyncio.Event().wait()
        raise AssertionError

    lives, now = 0, box
    while lives <= BOOTS:
        now.rollout._staging._validate = never  # noqa: SLF001
        id_ = await now.offer("good but heavy", "offer-1")
        found = now.attempt(id_)
        if found is not None and found.phase.ended:
            break
        lives += 1
        await asyncio.wait_for(checking.wait(), 10.0)
        checking.clear()
        await now.stop()
        now = Box(box.disk, file)
        assert await now.start() == PERSONS
    assert lives == BOOTS
    now.rollout._staging._validate = now.validate  # noqa: SLF001
    assert (await now.ended(await now.offer("good but heavy", "offer-2"))).phase == "committed"
    await now.stop()


async def test_a_download_that_power_cuts_interrupt_is_gone_on_with_however_often(
    box: Box, file: Path
) -> None:
    text, asked = b"good one", asyncio.Event()

    async def never_comes(sha256: bytes) -> bytes:
        del sha256
        asked.set()
        await asyncio.Event().wait()
        return b""

    files = (File(MAIN, hashlib.sha256(text).digest(), len(text)),)
    now = box
    for _ in range(BOOTS + 2):
        await now.rollout.offer(Offer(files, never_comes, "o", "fleet"))
        await asyncio.wait_for(asked.wait(), 10.0)
        asked.clear()
        await now.stop()
        now = Box(box.disk, file)
        await now.start()
    assert (await now.ended(await now.offer("good one", "o"))).phase == "committed"
    await now.stop()


async def test_of_two_offers_during_a_change_the_newer_is_tried_and_the_other_ends(
    box: Box,
) -> None:
    applying, go_on, apply = asyncio.Event(), asyncio.Event(), box.live.apply

    async def slow(loaded: LoadedConfig) -> Applied:
        applying.set()
        await go_on.wait()
        return await apply(loaded)

    box.live.apply = slow  # type: ignore[method-assign]
    first = await box.offer("good one")
    await asyncio.wait_for(applying.wait(), 10.0)
    second, third = await box.offer("good two"), await box.offer("good three")
    go_on.set()
    assert (await box.ended(third)).phase == "committed"
    assert [(await box.ended(id_)).phase for id_ in (first, second)] == ["superseded"] * 2
    assert box.live.applied == ["good one", "good three"]


async def test_what_a_person_decides_is_not_overtaken_by_an_older_offer(box: Box) -> None:
    await box.ended(await box.offer("good one"))
    asked, come = asyncio.Event(), asyncio.Event()
    contents = {MAIN: b"good two"}

    async def slow(sha256: bytes) -> bytes:
        del sha256
        asked.set()
        await come.wait()
        return contents[MAIN]

    older = await box.rollout.offer(Offer(described(contents), slow, "o", "local", "uid:0"))
    await asyncio.wait_for(asked.wait(), 10.0)
    back = await box.rollout.rollback("uid:7", "")
    come.set()
    assert (await box.ended(back)).phase == "committed"
    assert (await box.ended(older)).phase == "superseded"
    assert box.runs == PERSONS


async def test_what_is_here_is_found_without_reading_every_list_again(box: Box) -> None:
    for number in range(4):
        await box.ended(await box.offer(f"good {number}"))
    contents = {f"lists/{number}.csv": b"%d" % number for number in range(50)}
    contents[MAIN] = b"good many"

    async def content(sha256: bytes) -> bytes:
        return next(one for one in contents.values() if hashlib.sha256(one).digest() == sha256)

    lists, read = [], box.disk.read_bytes

    def counted(path: Path, limit: int) -> bytes:
        lists.extend([path] if path.name == MANIFEST else [])
        return read(path, limit)

    box.disk.read_bytes = counted  # type: ignore[method-assign]
    offer = Offer(described(contents), content, "many", "local", "uid:0")
    assert (await box.ended(await box.rollout.offer(offer))).phase == "committed"
    assert len(lists) < 50, "the lists of all generations were read for each file"


async def test_no_configuration_makes_its_own_trial_shorter(box: Box) -> None:
    first = await box.offer("good and hasty")
    await box.until(lambda: box.runs == "good and hasty")
    second = await box.ended(await box.offer("good too, and hasty"))
    assert (second.phase, (await box.ended(first)).phase) == ("committed", "superseded")
    assert second.took_s >= PROBATION_S
    after = await box.ended(await box.offer("good, and hasty again"))
    assert after.took_s < PROBATION_S, "what has proved itself has its say"


async def test_what_came_before_the_line_broke_off_is_not_asked_for_again(
    box: Box, file: Path
) -> None:
    contents = {f"lists/{number}.csv": b"%d" % number for number in range(4)}
    contents |= {MAIN: b"good by and by", "odd": b"x"}
    asked: list[bytes] = []

    def offer_of(files: dict[str, bytes], most: int) -> Offer:
        async def content(sha256: bytes) -> bytes:
            if len(asked) == most:
                raise FleetUnavailable("the line broke off", hint="")
            found = next(c for c in files.values() if hashlib.sha256(c).digest() == sha256)
            asked.append(found)
            return found

        return Offer(described(files), content, "o", "local", "uid:0")

    first = await box.ended(await box.rollout.offer(offer_of(contents, 3)))
    assert (first.phase, first.generation, len(asked)) == ("failed", 0, 3)
    box.disk.flip(FOLDER / "gen-1" / MAIN, 2)
    await box.stop()
    after = Box(box.disk, file)
    await after.start()
    # Another configuration comes next: one of its files is a directory of the one before.
    del contents["odd"]
    contents |= {"odd/0.csv": b"y"}
    second = await after.ended(await after.rollout.offer(offer_of(contents, 99)))
    assert (second.phase, after.runs) == ("committed", "good by and by")
    assert sorted(asked[3:]) == [b"2", b"3", b"good by and by", b"y"]
    await after.stop()
