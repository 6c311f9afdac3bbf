"""When the watchdog is fed, and what a service manager hears."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.events import AGENT_STALLED
from forebay.management.liveness import PERIODS, STALL_S, Liveness, Manager, Progress, Signs
from forebay.testing.clock import FakeClock
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

WORKING = Signs(polls=1, commits=1, waiting=True, trouble="", period_s=1.0)


def test_work_that_goes_on_is_no_stall() -> None:
    progress = Progress()
    for step in range(100):
        signs = WORKING._replace(polls=step, commits=step)
        assert progress.stall(step * STALL_S, signs) == ""


def test_polls_that_stop_are_told_and_what_comes_again_is_well() -> None:
    progress = Progress()
    assert progress.stall(0.0, WORKING) == ""
    assert progress.stall(STALL_S, WORKING._replace(commits=2)) == ""
    late_s = STALL_S + 1
    assert "no poll" in progress.stall(late_s, WORKING._replace(commits=3))
    assert progress.stall(late_s + 1, WORKING._replace(polls=2, commits=3)) == ""


def test_a_slow_poll_has_the_time_of_its_periods() -> None:
    progress, slow = Progress(), WORKING._replace(period_s=600.0, waiting=False)
    assert progress.stall(0.0, slow) == ""
    assert progress.stall(PERIODS * 600.0, slow) == ""
    assert progress.stall(PERIODS * 600.0 + 1, slow) != ""


def test_where_nothing_is_polled_none_is_missed() -> None:
    progress, listening = Progress(), Signs(0, 0, waiting=False, trouble="", period_s=None)
    assert progress.stall(0.0, listening) == ""
    assert progress.stall(1e6, listening) == ""


def test_commits_that_stop_are_a_stall_only_where_something_waits() -> None:
    progress = Progress()
    progress.stall(0.0, WORKING)
    assert "committed" in progress.stall(STALL_S + 1, WORKING._replace(polls=2))
    assert progress.stall(STALL_S + 2, WORKING._replace(polls=3, waiting=False)) == ""


def test_a_journal_that_told_why_it_waits_is_not_restarted() -> None:
    progress, full = Progress(), WORKING._replace(trouble="no room")
    progress.stall(0.0, full)
    assert progress.stall(STALL_S + 1, full._replace(polls=2)) == ""
    assert progress.stall(2 * STALL_S, WORKING._replace(polls=3)) == "", "it has its time anew"


class Listener:
    """The manager's end of the socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(path))
        self._socket.setblocking(False)  # noqa: FBT003 - socket's own

    async def next(self) -> str:
        async with asyncio.timeout(20):
            data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return data.decode().strip()

    async def beyond(self, word: str) -> str:
        """Give the next that is another."""
        while (said := await self.next()) == word:
            pass
        return said

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def listener(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    found = Listener(path)
    monkeypatch.setenv("NOTIFY_SOCKET", os.fspath(path))
    try:
        yield found
    finally:
        found.close()


class Work:
    """Polls that end as often as somebody looks, as long as it `goes_on`."""

    def __init__(self) -> None:
        self.goes_on, self._polls = True, 0

    def look(self) -> Signs:
        self._polls += self.goes_on
        return Signs(self._polls, self._polls, waiting=False, trouble="", period_s=1.0)


async def let_pass(clock: FakeClock) -> None:
    while True:
        await clock.advance(1.0)


async def test_a_manager_hears_of_readiness_life_stall_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, stop, work = FakeClock(), asyncio.Event(), Work()
    seams = replace(system_seams(), clock=clock)
    async with listener(tmp_path / "notify", monkeypatch) as heard:
        manager = Manager({**os.environ, "WATCHDOG_USEC": "30000000"})
        assert manager.watchdog_s == 30.0
        liveness = Liveness(manager, work.look, seams)
        task = asyncio.create_task(liveness.run("3 devices", stop), name="liveness")
        assert [await heard.next() for _ in range(3)] == [
            "STATUS=3 devices",
            "READY=1",
            "WATCHDOG=1",
        ]
        time = asyncio.create_task(let_pass(clock), name="time")
        assert await heard.next() == "WATCHDOG=1"
        work.goes_on = False
        told = await heard.beyond("WATCHDOG=1")
        stalled = re.match(r"STATUS=no poll has ended for (\d+) s", told)
        assert stalled, told
        assert int(stalled[1]) >= 60
        assert seams.events.count(AGENT_STALLED) == 1
        work.goes_on = True
        assert await heard.next() == "WATCHDOG=1", "and nothing before: it was not fed"
        assert await heard.next() == "STATUS=3 devices"
        stop.set()
        assert await heard.beyond("WATCHDOG=1") == "STOPPING=1"
        await task
        time.cancel()
        await asyncio.wait([time])


def test_a_watchdog_of_another_process_is_none_of_ours() -> None:
    assert Manager({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s == 0.0
    assert Manager({}).listens is False
