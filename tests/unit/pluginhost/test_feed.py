"""A plugin's feed over a real journal: each window once, from memory or from disk alike."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from forebay.events import PLUGIN_PROGRESS_LOST, PLUGIN_SKIPPED
from forebay.model import GapCause, Schema, Stream, Tag, ValueType
from forebay.pluginhost import progress
from forebay.testing.disk import FaultyDisk
from support.plugin_feed import (
    OVEN,
    PUMP,
    T0,
    S,
    answer,
    instance,
    oven,
    pump,
    work_through,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forebay.files import Disk


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()` holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


def sums(first: int, count: int, rows: int = 1) -> list[tuple[int, float, float]]:
    """What `work_through` gives of `count` windows of pump rows from the first on."""
    return [
        (n, n * rows, sum(k + k / 4 for k in range(n * rows, (n + 1) * rows)))
        for n in range(first, first + count)
    ]


async def test_a_backlog_comes_from_the_journal_and_then_what_is_live_from_memory() -> None:
    async with world() as here:
        await here.accept(pump(n) for n in range(40))
        await here.pipeline.settled()
        feed = here.feed(instance())
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "pump/pressure"]
        assert await work_through(feed, 40) == sums(0, 40)
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: all(f.joined for f in feed._followings.values()))  # noqa: SLF001
        await here.accept([pump(40)])
        async with asyncio.timeout(5):
            work = await waiting
        await feed.done(work, answer(work))
        await here.accept(pump(n) for n in range(41, 60))
        assert await work_through(feed, 19) == sums(41, 19)
        found = await here.results()
        assert [(at, value) for _, at, value, _ in found] == [
            (n, s) for n, (_, _, s) in enumerate(sums(0, 60))
        ]


async def test_a_plugin_that_falls_behind_the_memory_reads_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("forebay.pipeline.tail.RING_BYTES", 2_000)
    async with world() as here:
        feed = here.feed(instance(plugin={"batch": 1}))
        await here.accept([pump(0)])
        assert await work_through(feed, 1) == sums(0, 1)
        await here.accept(pump(n) for n in range(1, 300))
        assert await work_through(feed, 299) == sums(1, 299)
        await here.pipeline.settled()
        assert len(await here.results()) == 300


@pytest.mark.parametrize("saved", [False, True])
async def test_after_a_kill_nothing_is_worked_on_twice_and_nothing_is_left_out(
    saved: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Results were durable, and the file of progress was not: the journal itself says so."""
    disk = FaultyDisk()
    of = instance(window={"rows": 3}, plugin={"batch": 2})
    async with world(disk, kill=True) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(20))
        await work_through(feed, 2)
        if saved:
            await feed.save()
        await here.accept(pump(n) for n in range(20, 40))
        await work_through(feed, 8)
        assert len(await here.results()) >= 10
    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(40, 60))
        done = len(await here.results())
        assert await work_through(feed, 20 - done) == sums(done, 20 - done, rows=3)
        found = await here.results()
        assert [value for _, _, value, _ in found] == [s for _, _, s in sums(0, 20, rows=3)]


async def test_after_an_orderly_stop_it_goes_on_where_it_was() -> None:
    disk = FaultyDisk()
    of = instance(window={"rows": 4, "stride": 2})
    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(11))
        first = await work_through(feed, 4)
        await feed.close()
    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(11, 21))
        rest = await work_through(feed, 5)
        assert [begin for _, begin, _ in first + rest] == [2 * n for n in range(9)]
        assert [number for number, _, _ in first + rest] == list(range(9))
        assert len(await here.results()) == 9


async def test_one_that_wants_the_newest_skips_what_came_meanwhile_and_says_how_much() -> None:
    disk = FaultyDisk()
    of = instance(plugin={"start": "newest"})
    async with world(disk) as here:
        await here.accept(pump(n) for n in range(5))
        await here.pipeline.settled()
        feed = here.feed(of)
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: any(f.joined for f in feed._followings.values()))  # noqa: SLF001
        await here.accept([pump(5)])
        work = await waiting
        assert [(w.begin_ns - T0) // S for w in work.windows] == [5]
        await feed.done(work, answer(work))
        await feed.close()
        assert here.seams.events.count(PLUGIN_SKIPPED) == 0, "it never had a place before"
        await here.accept(pump(n) for n in range(6, 30))
    async with world(disk) as here:
        feed = here.feed(of)
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: any(f.joined for f in feed._followings.values()))  # noqa: SLF001
        assert feed.figures.skipped > 0
        assert here.seams.events.count(PLUGIN_SKIPPED, plugin="score") == 1
        assert f"plugin.{of.name}" not in {c.name for c in here.journal._cursors.all()}  # noqa: SLF001
        await here.accept([pump(30)])
        assert [(w.begin_ns - T0) // S for w in (await waiting).windows] == [30]


async def test_what_is_given_up_leaves_a_gap_and_the_rest_goes_on() -> None:
    async with world() as here:
        feed = here.feed(instance(plugin={"batch": 3}))
        await here.accept(pump(n) for n in range(3))
        await here.pipeline.settled()
        work = await feed.next()
        parts = feed.split(work)
        await feed.done(parts[0], answer(parts[0]))
        for part in parts[1:]:
            await feed.passed(part, "it died twice")
        await here.accept([pump(3)])
        await work_through(feed, 4 - len(parts))
        gaps = [g for g in await here.gaps() if g.cause is GapCause.NOT_COMPUTED]
        assert {g.source for g in gaps} == {"score"}
        assert [(g.time_from_ns - T0) // S for g in gaps] == list(range(1, len(parts)))
        assert len(await here.results()) == 4 - len(gaps)


async def test_windows_over_two_devices_wait_for_both() -> None:
    async with world() as here:
        feed = here.feed(instance(tags=["pump/speed", "oven/temp"], window={"every": 2.0}))
        for n in range(9):
            await here.accept([pump(n), oven(n)])
        found = await work_through(feed, 4)
        assert [(begin, total) for _, begin, total in found] == [
            (2 * n, 2.0 * (4 * n + 1)) for n in range(4)
        ]


async def test_new_data_may_bring_new_inputs() -> None:
    async with world() as here:
        feed = here.feed(instance(tags=["pump/speed", "*/temp"]), schemas=[PUMP])
        await here.accept([pump(0)])
        assert len(await work_through(feed, 1)) == 1
        assert not feed.changed.is_set()
        await here.accept([oven(1)])
        assert feed.changed.is_set()
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "oven/temp"]
        await here.accept([pump(2), oven(2), pump(3), oven(3)])
        async with asyncio.timeout(10):
            work = await feed.next()
        assert {one.input for one in work.series} == {0, 1}


async def test_a_plugin_without_inputs_hears_when_there_are_some() -> None:
    async with world() as here:
        feed = here.feed(instance(tags=["oven/*"]), schemas=[PUMP])
        assert feed.inputs() == ()
        await asyncio.sleep(0)
        await here.accept([oven(1)])
        await until(feed.changed.is_set)
        assert [one.tag for one in feed.inputs()] == ["oven/temp"]
        await here.accept([oven(2)])
        assert (await work_through(feed, 1))[-1][1:] == (2, 2)


async def test_devices_that_come_go_or_change_change_the_inputs_and_others_do_not() -> None:
    async with world() as here:
        feed = here.feed(instance(tags=["pump/speed", "*/temp"]), schemas=[PUMP, OVEN])
        known = [(Stream.TELEMETRY, PUMP), (Stream.TELEMETRY, OVEN)]
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "oven/temp"]
        feed.know({"oven"}, known)
        assert not feed.changed.is_set(), "the same again is nothing new"
        other = Schema("oven", "default", (Tag("lid", "1", ValueType.BOOL), *OVEN.tags))
        feed.know({"oven"}, [known[0], (Stream.TELEMETRY, other)])
        assert not feed.changed.is_set(), "nor is a tag that it does not look at"
        feed.know({"oven"}, known[:1])
        assert feed.changed.is_set()
        assert [one.tag for one in feed.inputs()] == ["pump/speed"]
        await here.accept([pump(0)])
        assert [begin for _, begin, _ in await work_through(feed, 1)] == [0]
        feed.know(set(), known)
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "oven/temp"]


async def test_a_damaged_file_of_progress_is_told_and_nothing_is_worked_on_twice() -> None:
    disk = FaultyDisk()
    of = instance()
    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(9))
        await work_through(feed, 9)
        await feed.close()
        path = next(p for p in disk.paths() if p.name == "score.json")
        disk.write_atomic(path, b"{}")
    async with world(disk) as here:
        feed = here.feed(of)
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: any(f.joined for f in feed._followings.values()))  # noqa: SLF001
        await here.accept([pump(9)])
        work = await waiting
        assert [w.number for w in work.windows] == [9]
        assert here.seams.events.count(PLUGIN_PROGRESS_LOST, plugin="score") == 1


async def test_rows_that_fill_no_window_that_fits_into_memory_are_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("forebay.pluginhost.feed.BUFFER_BYTES", 2_000)
    async with world() as here:
        feed = here.feed(instance(window={"rows": 1000}))
        waiting = asyncio.create_task(feed.next(), name="next")
        await here.accept(pump(n) for n in range(200))
        await until(lambda: feed.figures.skipped > 0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert here.seams.events.count(PLUGIN_SKIPPED) > 0


async def test_lag_is_the_age_of_what_waits() -> None:
    async with world() as here:
        feed = here.feed(instance())
        assert feed.lag_s() == 0
        at_ns = time.time_ns() - 100 * S
        waiting = asyncio.create_task(feed.next(), name="next")
        await here.accept([pump(0, at_ns=at_ns)])
        work = await waiting
        assert 99 < feed.lag_s() < 130
        await feed.done(work, answer(work))
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: all(f.joined for f in feed._followings.values()))  # noqa: SLF001
        assert feed.lag_s() == 0
        waiting.cancel()


async def test_the_same_windows_from_memory_and_from_disk() -> None:
    """Two feeds, one live and one behind, see the same numbers of the same rows."""
    async with world() as here:
        live = here.feed(instance(name="live", window={"rows": 5, "stride": 3}))
        first = asyncio.create_task(work_through(live, 30), name="live")
        for n in range(92):
            await here.accept([pump(n)])
            if n % 7 == 0:
                await asyncio.sleep(0.001)
        there = await first
        late = here.feed(instance(name="late", window={"rows": 5, "stride": 3}))
        assert await work_through(late, 30) == there


async def test_a_feed_ends_although_the_disk_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.pluginhost.feed.CLOSE_S", 0.05)
    async with world() as here:
        feed = here.feed(instance())
        await here.accept([pump(0)])
        await work_through(feed, 1)
        stuck: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(here.pipeline, "settled", lambda: stuck)
        async with asyncio.timeout(10):
            await feed.close()
        assert here.pipeline.tail.since(0) == [], "nobody wants anything any more"


@pytest.mark.parametrize("batch", [1, 50])
async def test_windows_that_are_ready_when_inputs_change_are_given_with_the_old_ones(
    batch: int,
) -> None:
    async with world() as here:
        feed = here.feed(instance(tags=["pump/speed", "*/temp"], plugin={"batch": batch}),
                         schemas=[PUMP])  # fmt: skip
        await here.accept([pump(0, rows=9)])
        async with asyncio.timeout(10):
            work = await feed.next()
        feed.know(set(), [(Stream.TELEMETRY, OVEN)])
        assert [one.tag for one in feed.inputs()] == ["pump/speed"], "what was given comes first"
        begins = [w.begin_ns for w in work.windows]
        await feed.done(work, answer(work))
        while len(begins) < 9:
            assert not feed.changed.is_set(), "windows are ready"
            async with asyncio.timeout(10):
                work = await feed.next()
            begins += [w.begin_ns for w in work.windows]
            await feed.done(work, answer(work))
        assert begins == [T0 + n * S for n in range(9)]
        assert feed.changed.is_set()
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "oven/temp"]
        assert await here.gaps() == []
        assert feed.figures.skipped == 0
        assert len(await here.results()) == 9


@pytest.mark.parametrize(
    ("window", "done", "first"),
    [
        ({"rows": 10}, 2, 20),
        ({"rows": 10, "stride": 2}, 8, 24),
        ({"rows": 100}, 0, 0),
        ({"rows": 5}, 5, None),
        ({"rows": 2, "stride": 12}, 2, 24),
        ({"every": 10.0}, 2, 20),
    ],
)
async def test_rows_that_fill_no_window_when_inputs_change_leave_a_gap_and_are_counted(
    window: dict[str, float], done: int, first: int | None
) -> None:
    async with world() as here:
        of = instance(tags=["pump/speed", "*/temp"], window=window)
        feed = here.feed(of, schemas=[PUMP])
        await here.accept(pump(n, rows=5) for n in range(0, 25, 5))
        await work_through(feed, done)
        waiting = asyncio.create_task(feed.next(), name="next")
        await until(lambda: any(f.joined for f in feed._followings.values()))  # noqa: SLF001
        feed.know(set(), [(Stream.TELEMETRY, OVEN)])
        assert feed.changed.is_set()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert [one.tag for one in feed.inputs()] == ["pump/speed", "oven/temp"]
        gaps = await here.gaps()
        if first is None:
            assert gaps == []
        else:
            (gap,) = gaps
            assert (gap.cause, gap.source) == (GapCause.NOT_COMPUTED, "score")
            assert ((gap.time_from_ns - T0) // S, gap.time_to_ns) == (
                first,
                T0 + 24 * S + 1,
            )
        assert (feed.figures.skipped > 0) == (first is not None)
        assert here.seams.events.count(PLUGIN_SKIPPED, plugin="score") == len(gaps)


@pytest.mark.parametrize("saved", [False, True])
async def test_a_backlog_comes_in_full_works_and_a_kill_between_them_costs_nothing(
    saved: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One read of the journal fills no work: it reads on."""
    monkeypatch.setattr("forebay.pluginhost.following.READ_BYTES", 200)
    disk = FaultyDisk()
    of = instance(plugin={"batch": 50})
    async with world(disk, kill=True) as here:
        for n in range(0, 210, 7):
            await here.accept([pump(n, rows=7)])
            await here.pipeline.settled()
        feed = here.feed(of)
        for n in (0, 50):
            work = await feed.next()
            assert (work.windows.first, len(work.windows)) == (n, 50)
            await feed.done(work, answer(work))
        if saved:
            await feed.save()
        assert len((await feed.next()).windows) == 50, "it is on its way when the kill comes"
        assert len(await here.results()) == 100
    async with world(disk) as here:
        feed = here.feed(of)
        sizes: list[int] = []
        while sum(sizes) < 110:
            async with asyncio.timeout(20):
                work = await feed.next()
            assert work.windows.first == 100 + sum(sizes)
            sizes.append(len(work.windows))
            await feed.done(work, answer(work))
        assert sizes == [50, 50, 10]
        found = await here.results()
        assert [value for _, _, value, _ in found] == [s for _, _, s in sums(0, 210)]


async def test_its_file_is_written_by_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a swap the old feed is closed, perhaps while it saves anyhow."""
    writing, most, save = 0, 0, progress.save

    def slowly(path: Path, disk: Disk, what: progress.Progress) -> None:
        nonlocal writing, most
        writing += 1
        most = max(most, writing)
        time.sleep(0.05)
        save(path, disk, what)
        writing -= 1

    async with world() as here:
        feed = here.feed(instance())
        await here.accept(pump(n) for n in range(9))
        await work_through(feed, 9)
        monkeypatch.setattr(progress, "save", slowly)
        await asyncio.gather(feed.save(), feed.close())
    assert most == 1
