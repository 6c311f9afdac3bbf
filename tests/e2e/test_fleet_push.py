"""Configurations that are pushed to boxes: a good one, the same again, ones that stop data.

All the while a device that no push touches is polled as often as that of a box to which none comes.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.config_site import polled
from support.fleet_boxes import Box, Fleet
from support.live_agent import CountingPlc
from support.processes import free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PROBATION_S = 8
PERIOD_S = 0.2
WAIT_S = 60.0


async def shown(fleet: Fleet, gateway: str, condition: Callable[[Any], object]) -> Any:
    """Wait until the server knows this of a gateway."""
    seen = None
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                rows = await fleet.ask("gateways")
                link = next((row["link"] for row in rows if row["name"] == gateway), None)
                seen = link
                if link and condition(link):
                    return await fleet.ask("show", gateway)
    except TimeoutError:
        raise AssertionError(json.dumps(seen)) from None


def ended(offer_id: str) -> Callable[[Any], object]:
    def condition(link: Any) -> object:
        attempt = link["config"].get("last_attempt", {})
        return attempt.get("offer_id") == offer_id and attempt.get("ended_ns", "0") != "0"

    return condition


async def started(stack: AsyncExitStack, fleet: Fleet, number: int, *devices: str) -> Box:
    """Enroll a box with these devices and run its agent until the server knows that it is well."""
    box = await stack.enter_async_context(Box(fleet, f"box{number}", f"gw-{number}"))
    head = box.config.read_text("utf-8").partition("[devices.sim]")[0]
    head += f'[fleet]\nprobation = "{PROBATION_S} s"\n'
    box.config.write_text(head + "".join(devices), "utf-8")
    assert (await box.enroll(await fleet.token())).code == 0
    await box.agent.start()
    await shown(fleet, box.gateway, lambda link: link["online"] and link["health"].get("healthy"))
    return box


@pytest.mark.long
async def test_three_boxes_take_a_push_and_one_heals_from_a_bad_one(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with AsyncExitStack() as stack:
        press = await stack.enter_async_context(CountingPlc())
        others = [await stack.enter_async_context(CountingPlc()) for _ in range(2)]
        oven = await stack.enter_async_context(ModbusServer())
        fleet = stack.enter_context(Fleet(tmp_path))
        boxes = [
            await started(
                stack, fleet, number, polled("press", plc.port), polled("oven", oven.port)
            )
            for number, plc in enumerate((press, *others), 1)
        ]
        clock = asyncio.get_running_loop().time
        first_s = clock()

        # A good one: only the device that differs is begun again, on the box that it was for.
        site = tmp_path / "site"
        site.mkdir()
        head = boxes[0].config.read_text("utf-8").partition("[devices.press]")[0]
        good = polled("press", press.port) + polled("oven", oven.port, "300 ms")
        (site / "forebay.toml").write_text(head + good, "utf-8")
        before = press.connections, oven.connections
        began_s = time.monotonic()
        offered = await fleet.ask("push", "gw-1", str(site), "--reason", "slower oven")
        found = await shown(fleet, "gw-1", ended(offered["offer_id"]))
        record_property("push_to_committed_s", round(time.monotonic() - began_s, 1))
        attempt = found["config"]["last_attempt"]
        assert (attempt["phase"], attempt["changed"]) == ("committed", ["device oven"]), attempt
        assert found["config"]["running"] == found["config"]["desired"] == offered["hash"]
        assert (press.connections, oven.connections) == (before[0], before[1] + 1)

        # The same again is nothing.
        await nothing_again(fleet, site, offered)
        assert (press.connections, oven.connections) == (before[0], before[1] + 1)

        # One that parses, but stops the oven's data: the box goes back, says why, and stays there.
        bad = polled("press", press.port) + polled("oven", free_port())
        (site / "forebay.toml").write_text(head + bad, "utf-8")
        attempt, took_s = await goes_back(fleet, site, offered["hash"])
        record_property("push_to_rolled_back_s", took_s)
        assert "oven" in attempt["error"]
        assert press.connections == before[0]

        # One that points to a dead server heals: nobody has to come.
        nowhere = head.replace(fleet.server.address, f"127.0.0.1:{free_port()}")
        assert nowhere != head
        (site / "forebay.toml").write_text(nowhere + good, "utf-8")
        attempt, took_s = await goes_back(fleet, site, offered["hash"])
        record_property("push_of_dead_server_to_rolled_back_s", took_s)
        assert attempt["changed"] == ["uplink cloud"]
        assert "cloud" in attempt["error"]
        await boxes[0].until_uplink("connected")
        assert press.connections == before[0]

        # The server's restart offers the very same state again: it is denied, and nothing moves.
        ovens, links = oven.connections, len(boxes[0].told("fleet_connected"))
        fleet.server.kill()
        fleet.server.start()
        await until(lambda: len(boxes[0].told("fleet_connected")) > links, "it comes again")
        found = await shown(fleet, "gw-1", ended(attempt["offer_id"]))
        assert found["config"]["running"] == offered["hash"]
        assert (press.connections, oven.connections) == (before[0], ovens)
        for box in boxes[1:]:
            told = await fleet.ask("show", box.gateway)
            assert told["config"]["running_source"] == "file"

        touched, control = (gaps_s(plc, first_s, clock()) for plc in (press, others[0]))
        period_kept(touched, control, record_property)


async def nothing_again(fleet: Fleet, site: Path, offered: Any) -> None:
    """Push what runs already: another version, and nothing is begun again."""
    again = await fleet.ask("push", "gw-1", str(site))
    assert again["version"] > offered["version"]
    assert again["hash"] == offered["hash"]
    found = await shown(fleet, "gw-1", ended(again["offer_id"]))
    assert found["config"]["last_attempt"]["phase"] == "committed"
    assert found["config"]["last_attempt"].get("changed", []) == []


async def goes_back(fleet: Fleet, site: Path, hash_: str) -> tuple[Any, float]:
    """Push what must not stay; give the attempt, and s until `hash_` runs again."""
    began_s = time.monotonic()
    worse = await fleet.ask("push", "gw-1", str(site))

    def back(link: Any) -> object:
        return ended(worse["offer_id"])(link) and link["config"]["running"] == hash_

    found = await shown(fleet, "gw-1", back)
    assert found["config"]["desired"] == worse["hash"]
    attempt = found["config"]["last_attempt"]
    assert attempt["phase"] == "rolled_back", attempt
    return attempt, round(time.monotonic() - began_s, 1)


def period_kept(
    touched: list[float], control: list[float], record_property: Callable[[str, object], None]
) -> None:
    """Hold polls of what no push touched against those of a box to which nothing was pushed."""
    for name, gaps in (("pushed", touched), ("control", control)):
        told = len(gaps), round(statistics.median(gaps), 4), round(max(gaps), 3)
        record_property(f"polls_{name}_number_median_s_worst_s", told)
    assert len(touched) > 0.95 * len(control)
    assert statistics.median(touched) < 1.1 * statistics.median(control)
    assert max(touched) < 2 * max(control) + PERIOD_S


def gaps_s(plc: CountingPlc, begin_s: float, end_s: float) -> list[float]:
    """Give the times between polls from `begin_s` to `end_s`."""
    polls = [at_s for at_s in plc.read_s if begin_s <= at_s <= end_s]
    return [late - early for early, late in pairwise(polls)]
