"""`forebay config apply` to a real agent: only what changed is begun anew, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.live_agent import CountingPlc, device
from support.processes import World, until

if TYPE_CHECKING:
    from pathlib import Path

PROBATION = '[fleet]\nprobation = "5 s"\n'
MORE = "count,holding:0,uint16,\nheat,holding:7,int16,\n"


def configured(world: World, devices: dict[str, str], journal: str = "") -> None:
    """Write a configuration of `devices` (as `live_agent.device` gives them)."""
    tables = []
    for name, text in devices.items():
        table, _, tags = text.replace("NAME", name).partition("\0")
        tables.append(f"[devices.{name}]\n{table}")
        (world.directory / f"{name}.csv").write_text(tags, encoding="utf-8")
    world.write_config("".join(tables) + PROBATION, more=journal)


async def applied(world: World, *words: str) -> dict[str, str]:
    """Apply what was written; give the attempt when it has ended."""
    code, document = await world.ask("config", "apply", str(world.config), *words)
    assert document is not None, world.agent.text()[-3000:]
    _, history = await world.ask("config", "history")
    (*_, last) = history["attempts"]
    assert (code == 0) == (last["phase"] == "committed"), (code, last)
    return last  # type: ignore[no-any-return]


async def test_one_device_changes_in_a_running_process_and_the_rest_never_notices(
    tmp_path: Path,
) -> None:
    async with CountingPlc() as press, CountingPlc() as oven, World(tmp_path) as world:
        devices = {"press": device(press.port), "oven": device(oven.port)}
        configured(world, devices)
        await world.server.start()
        await world.agent.start()
        await until(lambda: len(press.given) > 5 and len(oven.given) > 5, "both are polled")
        pid = world.agent.pid

        devices["press"] = device(press.port, MORE, period="30 ms")
        configured(world, devices)
        assert (await applied(world))["phase"] == "committed", world.agent.text()[-3000:]
        assert (press.connections, oven.connections) == (2, 1)

        # The same again changes nothing, and takes no trial.
        assert (await applied(world))["phase"] == "committed"
        assert (press.connections, oven.connections) == (2, 1)

        # The size of the memory before the disk cannot change under way: all begins anew, in place.
        configured(world, devices, 'memory = "16 MiB"')
        assert (await applied(world))["phase"] == "committed", world.agent.text()[-3000:]
        assert (press.connections, oven.connections) == (3, 2)
        assert world.agent.pid == pid
        assert world.agent.running
        _, status = await world.ask("journal", "status")
        assert status["ring_max_bytes"] == 16 << 20
        await world.delivered()
        _, ledger = await world.ask("ledger")
        (line,) = [one for one in ledger["lines"] if one["stream"] == "telemetry"]
        assert line["gapped"] == line["quarantined"] == 0
        assert line["produced"] >= len(oven.given)
        assert await world.agent.stop() == 0
