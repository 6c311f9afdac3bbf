"""A rollout to twenty real boxes: its canary fails, nobody else is touched; then all have it.

The first is started, watched and aborted by the page, the second by commands.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.browser import TABLET, Browser
from support.crowd import Crowd
from support.fleet_boxes import command
from support.pages import PagedFleet
from support.processes import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from support.browser import Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CANARY = "gw-07"


@pytest.mark.long
async def test_twenty_boxes_and_a_canary_that_fails(tmp_path: Path, chromium_binary: Path) -> None:
    with PagedFleet(tmp_path) as fleet:
        await fleet.person("ada", "operator")
        async with (
            Crowd(fleet, 20, failing=(CANARY,)) as crowd,
            Browser(chromium_binary) as browser,
        ):
            ask = fleet.ask
            data = ("--data", fleet.server.data)
            for words in (("label", "set", CANARY, "oven=new"), ("group", "set", "hall-3", "*")):
                done = await command(BIN / "forebay-fleet", *words, *data)
                assert done.code == 0, done
            assert list(await ask("label", "list", "oven")) == [CANARY]
            site = str(crowd.site)
            proof = await ask("rollout", "check", "@hall-3", site)
            assert (proof["waves"], proof["faults"]) == ([1, 4, 15], {})
            async with browser.visitor() as ada:
                started = await _start(fleet, ada, (crowd.site / "forebay.toml").read_text("utf-8"))
            fleet.server.kill()  # before or after the first offer: it goes on where it was
            fleet.server.start()
            async with browser.visitor(size=TABLET, dark=True) as ada:
                await _watch(fleet, ada, started, set(crowd.names))
            over = await ask("rollout", "show", started)
            assert over["state"] == "stopped"
            states = {box["gateway"]: box for box in over["boxes"]}
            assert states[CANARY]["state"] == "failed"
            assert "oven" in states[CANARY]["said"]
            others = set(crowd.names) - {CANARY}
            assert {states[name]["state"] for name in others} == {"waiting"}
            links = {row["name"]: row["link"] for row in await ask("gateways")}
            assert {links[name]["config"]["running_source"] for name in crowd.names} == {"file"}
            assert not any("last_attempt" in links[name]["config"] for name in others)
            assert not any(crowd.boxes[name].told("config_phase") for name in others)

            async with browser.visitor() as ada:
                await _abort(fleet, ada, started)
            await crowd.know(failing=())
            again = await ask(
                *("rollout", "start", "*", site, "--first", CANARY, "--why", "port of 7")
            )
            done = await crowd.rollout(again["id"], lambda one: one["state"] != "running")
            assert (done["state"], done["said"]) == ("done", "20 committed"), json.dumps(done)
            links = {row["name"]: row["link"] for row in await ask("gateways")}
            assert {links[name]["config"]["running_source"] for name in crowd.names} == {"fleet"}
            told = await ask("audit", "--subject", again["id"])
            whats = [entry["what"] for entry in told]
            assert whats == ["rollout.done", "rollout.wave", "rollout.wave", "rollout.start"]
            assert told[-1]["why"] == "port of 7"


async def _start(fleet: PagedFleet, ada: Visitor, template: str) -> str:
    """Start it by the page; give its id."""
    await fleet.enter(ada, "ada")
    page = ada.page
    await page.goto(f"{fleet.page}/rollouts/new")
    await page.get_by_label("Boxes: line=3, @group, or *").fill("@hall-3")
    await page.get_by_label("First of all, by name").fill(CANARY)
    await page.locator(".cm-content").fill(template)
    await page.get_by_role("button", name="Check", exact=True).click()
    await page.get_by_text("20 boxes in waves of 1, 4, 15").wait_for()
    await page.get_by_role("button", name="Begin", exact=True).click()
    await page.locator(".fb-dialog input").fill("oven 7")
    await page.locator(".fb-dialog").get_by_role("button", name="Begin").click()
    await page.wait_for_selector("[data-wave='2']")
    return page.url.rpartition("/")[2]


async def _watch(fleet: PagedFleet, ada: Visitor, id_: str, names: set[str]) -> None:
    """See its canary fail, and nobody else's turn come."""
    await fleet.enter(ada, "ada")
    page = ada.page
    await page.goto(f"{fleet.page}/rollouts/{id_}")
    await page.wait_for_selector(".fb-pill[data-state=stopped]", timeout=120_000)
    failed = page.locator("[data-wave='0'] [data-box]")
    assert await failed.get_attribute("data-state") == "failed"
    assert "oven" in await failed.inner_text()
    waiting = page.locator("[data-box][data-state=waiting]")
    found = {await one.get_attribute("data-box") for one in await waiting.all()}
    assert found == names - {CANARY}
    assert await ada.overflow() == 0


async def _abort(fleet: PagedFleet, ada: Visitor, id_: str) -> None:
    """End it, and say why."""
    await fleet.enter(ada, "ada")
    page = ada.page
    await page.goto(f"{fleet.page}/rollouts")
    await page.locator(f"a[href='/rollouts/{id_}']").click()
    await page.get_by_role("button", name="Abort", exact=True).click()
    await page.locator(".fb-dialog input").fill("port")
    await page.locator(".fb-dialog").get_by_role("button", name="Abort").click()
    await page.wait_for_selector(".fb-pill[data-state=aborted]")
