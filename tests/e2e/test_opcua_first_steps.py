"""From an address alone to tags, events and calls: the way of somebody who has a new server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support.node_opcua import NodeOpcua
from support.processes import World, run_forebay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WAIT_S = 60.0


async def eventually(ask: Callable[[], Awaitable[Any]], good: Callable[[Any], object]) -> Any:
    answer = None
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                answer = await ask()
                if good(answer):
                    return answer
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"last seen: {answer!r}")


async def is_connected(world: World) -> bool:
    _, answer = await world.ask("devices")
    states = [one["state"] for one in (answer or {}).get("devices", ())]
    return states == ["connected"]


async def records(world: World, stream: str) -> list[dict[str, Any]]:
    _, answer = await world.ask("journal", "show", "--stream", stream)
    return [row for row in answer["records"] if row["kind"] == "batch"]


def device(endpoint: str, more: str = "") -> str:
    return f"""
[devices.press]
protocol = "opcua"
endpoint = "{endpoint}"
security_policy = "None"
backoff = {{ first = "100 ms", most = "1 s" }}
{more}
"""


@pytest.mark.long
async def test_browsed_then_read_then_called(
    tmp_path: Path, node_binary: Path, node_opcua_dir: Path
) -> None:
    (tmp_path / "opcua").mkdir()
    press = NodeOpcua(node_binary, node_opcua_dir, tmp_path / "opcua")
    async with press, World(tmp_path) as world:
        world.write_config(device(press.endpoint))
        assert (await run_forebay("check", str(world.config)))[0] == 0
        await world.agent.start()
        await eventually(lambda: is_connected(world), bool)
        code, found = await world.ask("browse", "press", "Press/*")
        assert code == 0
        assert {"Press/Level", "Press/Array[2]"} <= {row["path"] for row in found["found"]}
        await _a_lost_server_is_noticed_though_nothing_is_read(world, press)
        listed = str(tmp_path / "press.csv")
        assert (await world.ask("browse", "press", "Press/**", "--csv", listed))[0] == 0
        assert await world.agent.stop() == 0

        more = 'tags = "press.csv"\n[devices.press.events]\nperiod = "100 ms"\n'
        allowed = '[[writes.allow]]\nmethods = ["press/Press/Add"]\n'
        world.write_config(
            device(press.endpoint, more), more=f"[writes]\nenabled = true\n{allowed}"
        )
        checked = await run_forebay("check", str(world.config))
        assert checked[0] == 0, checked
        await world.agent.start()
        names = ("press/Press/Level", "press/Press/Array[2]", "press/Press/Structure.Name")
        await eventually(
            lambda: world.ask("read", *names),
            lambda answer: (
                answer[0] == 0 and [tag["value"] for tag in answer[1]["tags"]] == [0.5, 3.0, "a"]
            ),
        )
        before = await records(world, "events")
        await press.event("door open", 300)
        await eventually(lambda: records(world, "events"), lambda got: len(got) > len(before))
        code, answer = await world.ask("call", "press", "Press/Add", "2", "0.5")
        assert code == 0, answer
        assert answer["outputs"] == [2.5]
        refused, _ = await world.ask("call", "press", "Press/TempAlarm/Disable")
        assert refused != 0
        assert await world.agent.stop() == 0


async def _a_lost_server_is_noticed_though_nothing_is_read(world: World, press: NodeOpcua) -> None:
    await press.kill()
    await eventually(lambda: is_connected(world), lambda connected: not connected)
    await press.start()
    await eventually(lambda: is_connected(world), bool)
