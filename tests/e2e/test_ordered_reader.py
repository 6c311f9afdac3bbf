"""A consumer that must see everything once and in order, while agent and server are restarted."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import GATEWAY, World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


async def ordered(world: World, after: str) -> Any:
    words = ("--gateway", GATEWAY, "--tag", "a/t0", "--limit", "100000", "--after", after)
    return await world.ask_fleet("query", *words, "--ordered")


async def newest(world: World) -> list[int]:
    """Give the times of all values there are, however they are ordered."""
    words = ("--gateway", GATEWAY, "--tag", "a/t0", "--limit", "100000")
    answer = await world.ask_fleet("query", *words)
    return [value["time_ns"] for value in answer["values"]]


async def grown(world: World, beyond: int) -> None:
    """Wait until the server has more than so many values."""
    for _ in range(200):
        try:
            if len(await newest(world)) > beyond:
                return
        except ValueError:  # nothing of the tag has come yet
            pass
        await asyncio.sleep(0.1)
    pytest.fail("nothing comes any more")


def sessions_of(world: World, run: int) -> bool:
    """Whether the agent of each run so far has had its session."""
    return world.agent.text().count('"uplink_connected"') >= run


@pytest.mark.long
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_it_sees_all_of_every_run_while_the_newest_goes_on(
    tmp_path: Path, *, kill: bool
) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 5, "20 ms"), more='commit_interval = "50 ms"')
        await world.server.start()
        after, times, seen = "0/0", [], 0
        for run in range(1, 4):
            await world.agent.start()
            connected = partial(sessions_of, world, run)
            await until(connected, "the uplink connects")
            await grown(world, seen)
            seen = len(await newest(world))
            await grown(world, seen)
            page = await ordered(world, after)
            after = page["after"]
            times += [value["time_ns"] for value in page["values"]]
            assert len(times) >= seen, "all that was there, though this run goes on"
            if kill:
                await world.agent.kill()
            else:
                assert await world.agent.stop() == 0
            seen = len(await newest(world))
        assert times == sorted(set(times))
        assert times == (await newest(world))[: len(times)]
        last = await ordered(world, after)
        behind = [value["time_ns"] for value in last["values"]]
        if not kill:
            assert [*times, *behind] == await newest(world)
