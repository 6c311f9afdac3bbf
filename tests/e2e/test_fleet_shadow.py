"""Last values and health of a real box at its server, and what the box says of its link."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from support.fleet_boxes import Box, Fleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def values(fleet: Fleet, pattern: str = "*") -> dict[str, Any]:
    """Give what the server knows of the box's values."""
    found = await fleet.ask("show", "gw-1", "--values", pattern)
    return {one["tag"]: one for one in found["values"]}


async def test_values_and_health_come_to_the_server_and_follow_what_changes(
    tmp_path: Path,
) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box", "gw-1") as box:
            config = box.config.read_text("utf-8")
            box.config.write_text(config + '[fleet]\nshadow_interval = "1 s"\n', "utf-8")
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()

            async def known() -> bool:
                found = (await values(fleet)).get("sim/t")
                return found is not None and found["quality_name"] == "Good"

            await eventually(known, "a value came")
            first = (await values(fleet))["sim/t"]

            async def moved() -> bool:
                return bool((await values(fleet, "sim/?"))["sim/t"]["value"] != first["value"])

            await eventually(moved, "it changes")
            assert await values(fleet, "other/*") == {}

            async def well() -> bool:
                found = await fleet.ask("show", "gw-1")
                return bool(found["health"].get("healthy") and found["health"].get("heads"))

            await eventually(well, "health came")
            found = await fleet.ask("show", "gw-1")
            kinds = {one["kind"]: one["state"] for one in found["health"]["components"]}
            assert kinds == {"device": "connected", "uplink": "connected"}, found
            assert found["journal_went_back"] == []

            told = (await box.forebay("fleet", "status")).document()
            assert told["link"]["state"] == "connected", told
            fleet.server.kill()

            async def lost() -> bool:
                told = (await box.forebay("fleet", "status")).document()["link"]
                return bool(told["state"] == "waiting" and told["last_error"])

            await eventually(lost, "the box tells that it is alone")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for what a command shows."""
    try:
        async with asyncio.timeout(90.0):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(what) from None
