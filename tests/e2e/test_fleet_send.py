"""Commands of the fleet server to a box: read, restart, refused by role; once each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fleet_boxes import Box, Fleet
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


async def test_commands_reach_a_box_and_their_results_come_back(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")

            found = await fleet.ask("send", "read", "gw-1", "sim/t", "--wait", "60")
            assert found["outcome"] == "done", found
            assert [(one["device"], one["tag"]) for one in found["values"]] == [("sim", "t")]

            refused = await fleet.ask(
                "send", "write", "gw-1", "sim/t", "5", "--wait", "60", good=False
            )
            assert refused["outcome"] == "refused"
            assert "limits.toml" in refused["detail"]

            done = await fleet.ask("send", "restart", "gw-1", "device", "sim", "--wait", "60")
            assert done["outcome"] == "done", done
            done = await fleet.ask("send", "restart", "gw-1", "agent", "--wait", "60")
            assert done["outcome"] == "done", done
            await until(lambda: len(box.told("agent_started")) > 1, "the agent began anew")
            found = await fleet.ask("send", "read", "gw-1", "sim/t", "--wait", "60")
            assert found["outcome"] == "done", found
            assert len(box.told("fleet_command_ended")) == 5
