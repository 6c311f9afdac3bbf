"""A task that nobody cancelled must not end as if somebody had."""

from __future__ import annotations

import asyncio

import pytest

from forebay.cancellation import StrayCancellation, end, strict


class LibraryCancelled(asyncio.CancelledError):
    """What wait_for2 raises where a result meets a cancellation."""


async def stray() -> None:
    raise asyncio.CancelledError


async def renamed() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise LibraryCancelled from None


async def broken() -> None:
    raise ZeroDivisionError


async def test_a_stray_cancellation_is_an_error_that_a_task_group_sees() -> None:
    with pytest.raises(ExceptionGroup) as group:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(strict(stray))
    assert group.group_contains(StrayCancellation)


async def test_a_deadline_ends_as_a_timeout_whatever_the_library_makes_of_it() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await strict(renamed)


async def test_a_cancelled_task_ends_cancelled() -> None:
    task = asyncio.create_task(strict(renamed))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_result_and_an_error_pass_through() -> None:
    assert await strict(asyncio.sleep, 0, 7) == 7
    with pytest.raises(ZeroDivisionError):
        await strict(broken)


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost == 2:
                    raise
                lost += 1

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(tasks), 30)
    assert lost == 2
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_ended_before_is_left_as_it_is() -> None:
    task = asyncio.create_task(broken())
    await asyncio.wait([task])
    await end([task])
    assert isinstance(task.exception(), ZeroDivisionError)
