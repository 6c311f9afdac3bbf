"""Fault 53: a write of the fleet server of which nobody knows is UNKNOWN, and never sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.commanded import commanded
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.mark.long
async def test_fault_53_killed_between_intent_and_result(
    tmp_path: Path, strace_binary: Path
) -> None:
    """The device took it, and the agent is killed before it can say so; twice, to be sure."""
    async with commanded(tmp_path, strace_binary) as site:
        site.plc.mute_writes = True
        asked = await site.write("42.5", "--for", "10min", wait_s=0.0)
        await until(site.plc.wrote.is_set, "the device was told")
        await site.box.agent.kill()
        assert site.plc.registers[7] == 425, "it happened, and nobody could know"
        site.plc.mute_writes = False

        await site.up()
        await until(lambda: site.box.told("fleet_command_ended", id=asked["id"]), "it is told")
        found = await site.result(asked["id"])
        assert found["outcome"] == "unknown", found
        assert "not done again" in found["detail"]
        assert len(site.plc.writes) == 1
        lines = [line for line in await site.audited() if asked["id"] in line]
        assert sum("intent: write press/Setpoint" in line for line in lines) >= 1, lines
        assert any("UNKNOWN" in line for line in lines), lines

        await site.box.agent.kill()
        await site.up()
        done = await site.write("7")
        assert done["outcome"] == "done", "the box still obeys"
        assert [values for _, _, values in site.plc.writes] == [(425,), (70,)]


async def test_fault_53_the_answer_is_swallowed(tmp_path: Path, strace_binary: Path) -> None:
    async with commanded(tmp_path, strace_binary) as site:
        site.plc.mute_writes = True
        found = await site.write("42.5", good=False)
        assert found["outcome"] == "unknown", found
        assert len(site.plc.writes) == 1
        site.plc.mute_writes = False
        assert (await site.write("43"))["outcome"] == "done"
        assert len(site.plc.writes) == 2
