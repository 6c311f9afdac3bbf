"""The agent as a process: a failing disk, an orderly stop, several devices, a deadband."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import World, simulated, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

EXIT_IO_ERROR = 74


async def started(world: World) -> None:
    await world.agent.start()
    await until(lambda: '"agent_started"' in world.agent.text(), "the agent starts")


async def total(world: World) -> dict[str, Any]:
    _, document = await world.ask("ledger")
    found: dict[str, Any] = document["total"]
    return found


async def test_a_disk_that_refuses_ends_the_agent_with_74_and_the_next_start_recovers(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 50, "10 ms"), more='commit_interval = "20 ms"')
        await world.server.start()
        await started(world)
        # From here on no file of the process may grow beyond 8 KiB: writes fail with EFBIG.
        resource.prlimit(world.agent.pid, resource.RLIMIT_FSIZE, (8192, 8192))
        await until(lambda: not world.agent.running, "the agent ends")
        assert await world.agent.wait() == EXIT_IO_ERROR
        assert world.agent.text().count('"journal_failed"') == 1
        assert "Traceback" not in world.agent.text()
        await world.agent.start()
        await until(lambda: world.agent.text().count('"agent_started"') == 2, "it starts again")
        before = (await total(world))["delivered"]
        for _ in range(100):
            if (await total(world))["delivered"] > before:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("nothing is delivered after the restart")
        assert await world.agent.stop() == 0


async def test_a_stop_delivers_what_was_accepted(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 10, "5 ms"), more='commit_interval = "1 s"')
        await world.server.start()
        await started(world)
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        assert await world.agent.stop() == 0
        assert '"pending": 0' in world.agent.text()
        verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert verified["sound"]
        assert verified["samples"] > 0


async def test_fifty_devices_keep_their_periods(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config("".join(simulated(f"d{n}", 20, "50 ms") for n in range(50)))
        await started(world)
        _, before = await world.ask("devices")
        await asyncio.sleep(3)  # the time over which periods are judged
        _, after = await world.ask("devices")
        polls = {d["name"]: d["polls"] for d in before["devices"]}
        done = [d["polls"] - polls[d["name"]] for d in after["devices"]]
        assert len(done) == 50
        assert min(done) > 30, done
        assert await world.agent.stop() == 0


async def test_a_deadband_journals_only_what_moved(tmp_path: Path) -> None:
    deadband = '[[devices.a.stages]]\nkind = "deadband"\nthreshold = 1_000_000\n'
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 10, "10 ms", deadband))
        await started(world)
        for _ in range(200):
            _, document = await world.ask("devices")
            if document["devices"][0]["polls"] >= 100:
                break
        else:
            pytest.fail("the device is hardly polled")
        produced = (await total(world))["produced"]
        _, document = await world.ask("devices")
        changes = 2 * document["devices"][0]["overruns"]  # GoodOverload comes and goes at most once
        assert 10 <= produced <= 10 * (1 + changes), document
        assert await world.agent.stop() == 0


async def test_an_uplink_that_is_off_or_missing_leaves_the_account_in_sight(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("a", 10, "10 ms"))
        with_uplink = world.config.read_text(encoding="utf-8")
        off = with_uplink.replace('kind = "grpc"', 'kind = "grpc"\nenabled = false')
        world.config.write_text(off, encoding="utf-8")
        await started(world)
        held = await eventually_pending(world)
        _, document = await world.ask("uplinks")
        (uplink,) = document["uplinks"]
        assert uplink["state"] == "disabled"
        assert uplink["pending_records"] > 0
        assert await world.agent.stop() == 0

        begin, rest = with_uplink.split("[uplinks.cloud]")
        none = begin + rest[rest.index("[devices.") :]
        world.config.write_text(none, encoding="utf-8")
        await world.agent.start()
        await until(lambda: world.agent.text().count('"agent_started"') == 2, "it starts again")
        assert (await total(world))["pending"] >= held
        assert await world.agent.stop() == 0

        world.config.write_text(with_uplink, encoding="utf-8")
        await world.server.start()
        await world.agent.start()
        await until(lambda: '"uplink_connected"' in world.agent.text(), "the uplink connects")
        assert await world.agent.stop() == 0
        stored = (await world.ask_fleet("ledger", "--verify"))["verified"]
        assert stored["samples"] >= held


async def eventually_pending(world: World) -> int:
    """Wait until the ledger shows samples that wait, and give them."""
    for _ in range(100):
        account = await total(world)
        if account["pending"]:
            assert account["delivered"] == 0
            assert account["produced"] == account["pending"]
            return int(account["pending"])
        await asyncio.sleep(0.1)
    pytest.fail("nothing is pending")
