"""The writer thread: what commits together, in which order it is answered, what bounds it."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.committer import Budget, Committer
from forebay_fleet.errors import StoreFailed
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.limits import Limits
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.store.writer import StoreWriter
from support.fleet import anchor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MEMORY_BYTES = 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreWriter]:
    with StoreWriter(tmp_path) as writer:
        yield writer


def giving(value: int) -> Callable[[], Callable[[], int]]:
    return lambda: lambda: value


async def test_budget_gives_in_the_order_asked_for() -> None:
    budget = Budget(10)
    await budget.take(8)
    given: list[int] = []

    async def take(size: int) -> None:
        await budget.take(size)
        given.append(size)

    async with asyncio.TaskGroup() as group:
        large = group.create_task(take(9), name="large")
        small = group.create_task(take(1), name="small")
        await asyncio.wait([large, small], timeout=0.01)
        assert given == []  # the small one fits but came later
        budget.give(8)
        await asyncio.wait([large])
    assert given == [9, 1]


async def test_budget_lets_one_that_is_too_large_go_alone() -> None:
    budget = Budget(10)
    await asyncio.wait_for(budget.take(1000), 5)
    waiting = asyncio.ensure_future(budget.take(1))
    done, _ = await asyncio.wait([waiting], timeout=0.01)
    assert not done
    budget.give(1000)
    await asyncio.wait_for(waiting, 5)


async def test_what_waits_is_committed_together_and_answered_in_order(store: StoreWriter) -> None:
    entered, release = threading.Event(), threading.Event()
    commits: list[int] = []

    def slow() -> Callable[[], int]:
        entered.set()
        assert release.wait(10)
        return lambda: 0

    def counting(value: int) -> Callable[[], Callable[[], int]]:
        def apply() -> Callable[[], int]:
            commits.append(value)
            return lambda: len(commits)  # after the commit: all of them are in

        return apply

    answered: list[int] = []

    def note(number: int, _future: asyncio.Future[int]) -> None:
        answered.append(number)

    async with Committer(store, 1 << 20, 1 << 20) as committer:
        first = await committer.submit(slow, 1)
        await asyncio.to_thread(entered.wait, 10)
        rest = [await committer.submit(counting(n), 1) for n in range(5)]
        for number, future in enumerate(rest):
            future.add_done_callback(partial(note, number))
        release.set()
        assert await first == 0
        assert await asyncio.gather(*rest) == [5] * 5
    assert answered == [0, 1, 2, 3, 4]


async def test_memory_comes_back_even_if_nobody_waits_any_more(store: StoreWriter) -> None:
    async with Committer(store, 1 << 20, MEMORY_BYTES) as committer:
        for _ in range(20):
            future = await asyncio.wait_for(committer.submit(giving(1), MEMORY_BYTES), 10)
            future.cancel()
        assert await (await committer.submit(giving(7), MEMORY_BYTES)) == 7


async def test_what_came_before_the_end_of_a_session_is_committed(
    store: StoreWriter, tmp_path: Path
) -> None:
    ingest = Ingest(store, Limits(), lambda: 1)

    def apply() -> Callable[[], list[uplink_pb2.Ack]]:
        gateway, _ = ingest.greet(uplink_pb2.Hello(gateway="g"))
        return ingest.take(gateway, [anchor(1), anchor(2), anchor(0), anchor(3)])

    async with Committer(store, 1 << 20, 1 << 20) as committer:
        with pytest.raises(SessionEnded, match="impossible number"):
            await (await committer.submit(apply, 1))
    with StoreReader(tmp_path) as reader:
        (line,) = reader.lines()
    assert line.coverage.committed == 2


async def test_leaving_commits_what_waits(store: StoreWriter) -> None:
    async with Committer(store, 1 << 20, 1 << 20) as committer:
        futures = [await committer.submit(giving(n), 1) for n in range(50)]
    assert await asyncio.gather(*futures) == list(range(50))


async def test_a_failed_commit_fails_all_that_follows(store: StoreWriter) -> None:
    def fail() -> Callable[[], int]:
        raise StoreFailed("the disk is gone", hint="buy another")

    async with Committer(store, 1 << 20, 1 << 20) as committer:
        with pytest.raises(StoreFailed, match="gone"):
            await (await committer.submit(fail, 1))
        await asyncio.wait_for(committer.failed.wait(), 10)
        with pytest.raises(StoreFailed, match="gone"):
            await (await committer.submit(giving(1), 1))
        assert str(committer.failure) == "the disk is gone"
