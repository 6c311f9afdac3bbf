"""The same windows from files as live, and every difference shown."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay.journal.offline import OfflineJournal
from forebay.model import Stream
from forebay.pluginhost.replay import Comparison, Past, compare, judged, segment, works
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY
from support.plugin_feed import (
    T0,
    S,
    answer,
    column,
    instance,
    oven,
    pump,
    summed,
    work_through,
    world,
)

if TYPE_CHECKING:
    from forebay.pluginhost.seams import OutputColumn, Window, Work
    from forebay.pluginhost.settings import Instance

OUTPUTS: dict[str, Any] = {
    "sum": {}, "many": {"type": "int32"}, "note": {"kind": "event"}, "raw": {"kind": "blob"}
}  # fmt: skip


def columns(work: Work, window: Window) -> list[OutputColumn]:
    """What a good plugin gives: of every kind, some with times of its own."""
    total = summed(work, window)
    if int(total) % 3 == 0:
        return [column(0, np.array([total]))]
    note = np.empty(1, object)
    note[0] = f"sum {total}"
    raw = np.empty(1, object)
    raw[0] = np.float64(total).tobytes()
    times = np.array([window.begin_ns, window.begin_ns], np.int64)
    return [
        column(0, np.array([total])),
        column(1, np.arange(2, dtype=np.int32), times),
        column(2, note),
        column(3, raw),
    ]


async def lived(disk: FaultyDisk, of: Instance, windows: int, rows: int) -> None:
    """Have an instance work live on as many windows."""
    async with world(disk) as here:
        feed = here.feed(of)

        async def work_on() -> None:
            done = 0
            while done < windows:
                work = await feed.next()
                await feed.done(work, answer(work, partial(columns, work)))
                done += len(work.windows)

        working = asyncio.create_task(work_on(), name="working")
        async with asyncio.timeout(20):
            while not any(f.joined for f in feed._followings.values()):  # noqa: SLF001, ASYNC110
                await asyncio.sleep(0.005)
            for n in range(rows):
                await here.accept([pump(n), oven(n)])
            await working
        await feed.close()


def again(disk: FaultyDisk, of: Instance, *, wrong_at: int = -1) -> Comparison:
    """Replay from the first segment, in this process."""
    journal = OfflineJournal(DIRECTORY, disk)
    first = journal.segments(Stream.TELEMETRY)[0]
    assert segment(journal, first.path.name) == first
    assert segment(journal, "x.seg") is None
    past = Past(of, journal, first)
    found = []
    for work in works(past, of):
        results = answer(work, partial(columns, work))
        found += [one for one in judged(of, work, results) if one.window.number != wrong_at]
    return compare(of, past, found)


@pytest.mark.parametrize(
    "window",
    [
        {"rows": 1},
        {"rows": 5, "stride": 2},
        {"rows": 2, "stride": 7},
        {"every": 4.0, "length": 6.0},
    ],
)
async def test_a_replay_gives_what_stands_bit_for_bit(window: dict[str, Any]) -> None:
    disk, of = FaultyDisk(), instance(window=window, outputs=OUTPUTS)
    await lived(disk, of, 8, 60)
    told = again(disk, of)
    assert told.windows >= 8
    assert told.same, told.differences[:3]
    assert told.equal > 8


async def test_windows_that_began_in_the_middle_are_found_by_their_results() -> None:
    disk = FaultyDisk()
    async with world(disk) as here:
        await here.accept(pump(n) for n in range(4))
    of = instance(window={"rows": 3, "stride": 5}, plugin={"start": "newest"}, outputs=OUTPUTS)
    await lived(disk, of, 6, 40)
    told = again(disk, of)
    assert told.same, told.differences[:3]
    assert told.equal > 0


async def test_each_difference_is_shown() -> None:
    disk, of = FaultyDisk(), instance(outputs=OUTPUTS)
    await lived(disk, of, 20, 20)
    told = again(disk, of, wrong_at=4)
    assert not told.same
    assert told.only_standing > 0
    places = {difference.place for difference in told.differences}
    assert {(place.time_ns - T0) // S for place in places} == {4}
    assert all(difference.given == () for difference in told.differences)


async def test_an_event_is_one_result_of_its_output() -> None:
    disk, of = FaultyDisk(), instance(outputs={"note": {"kind": "event"}})

    def told(text: str) -> Any:
        def give(_: Window) -> list[OutputColumn]:
            notes = np.empty(2, object)
            notes[:] = [text, '{"message": "hot", "severity": 800, "active": true}']
            return [column(0, notes)]

        return give

    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept([pump(0)])
        work = await feed.next()
        await feed.done(work, answer(work, told("cold")))
        await feed.close()
    journal = OfflineJournal(DIRECTORY, disk)
    past = Past(of, journal, journal.segments(Stream.TELEMETRY)[0])
    ((place, stands),) = past.standing.items()
    assert (place.stream, place.output, (place.time_ns - T0) // S) == (Stream.EVENTS, "note", 0)
    assert [str(one.value).partition(" ")[0] for one in stands] == ["cold", "hot"]
    assert "severity=800" in str(stands[1].value)
    found = [
        one for work in works(past, of) for one in judged(of, work, answer(work, told("warm")))
    ]
    compared = compare(of, past, found)
    assert (compared.equal, compared.different) == (0, 1)
    (difference,) = compared.differences
    assert difference.given[0].value == str(stands[0].value).replace("cold", "warm")
    assert difference.given[1] == stands[1]


async def test_a_result_that_differs_in_one_bit_is_different() -> None:
    disk, of = FaultyDisk(), instance()
    async with world(disk) as here:
        feed = here.feed(of)
        await here.accept(pump(n) for n in range(1, 9))
        await work_through(feed, 8)
        await feed.close()
    journal = OfflineJournal(DIRECTORY, disk)
    past = Past(of, journal, journal.segments(Stream.TELEMETRY)[0])

    def nearly(work: Work) -> Any:
        return answer(work, lambda w: [column(0, np.nextafter([summed(work, w)], 1e9))])

    found = [one for work in works(past, of) for one in judged(of, work, nearly(work))]
    told = compare(of, past, found)
    assert (told.equal, told.different) == (0, 8)
    (was,), (now,) = told.differences[0].standing, told.differences[0].given
    assert isinstance(was.value, float)
    assert isinstance(now.value, float)
    assert 0 < now.value - was.value < 1e-12
