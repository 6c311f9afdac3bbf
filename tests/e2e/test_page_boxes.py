"""What somebody sees of boxes in a real browser: off and back, a push that goes back, 10,000."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from forebay.testing.modbus_server import ModbusServer
from support import many_boxes
from support.browser import TABLET, Browser
from support.config_site import polled
from support.fleet_boxes import Box
from support.pages import PagedFleet
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page

    from support.browser import Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MANY = 10_000
PROBATION_S = 5
TRIED_MS = 120_000.0
"""How long a box may take to try and to go back, on a machine that is busy."""


@pytest.mark.long
async def test_a_box_goes_and_comes_back_and_takes_back_a_push(
    tmp_path: Path, chromium_binary: Path
) -> None:
    with PagedFleet(tmp_path) as fleet:
        await fleet.person("ada", "operator")
        async with ModbusServer() as plc, Box(fleet, "box", "gw-1") as box:
            text = box.config.read_text("utf-8") + f'[fleet]\nprobation = "{PROBATION_S} s"\n'
            text += polled("oven", plc.port, "1 s")
            box.config.write_text(text, "utf-8")
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            async with Browser(chromium_binary) as browser, browser.visitor() as ada:
                await fleet.enter(ada, "ada")
                await _goes_and_comes(fleet, ada, box)
                await _seen(fleet, ada.page)
                await _push(fleet, ada.page, text, text.replace(str(plc.port), str(free_port())))
            told = await fleet.ask("audit", "--subject", "gw-1")
            assert [(one["what"], one["who"], one["why"]) for one in told] == [
                ("config.push", "ada", "another oven")
            ]


async def _goes_and_comes(fleet: PagedFleet, ada: Visitor, box: Box) -> None:
    """The list follows by itself."""
    page = ada.page
    await page.goto(f"{fleet.page}/gateways")
    row = page.locator("tr", has_text="gw-1")
    await row.locator(".fb-good", has_text="online").wait_for()
    await box.agent.kill()
    await row.locator(".fb-pill", has_text="offline").wait_for()
    assert await page.locator("[data-kind=offline] .fb-number").inner_text() == "1"
    await box.agent.start()
    await row.locator(".fb-good", has_text="online").wait_for()
    await row.locator("a").click()


async def _seen(fleet: PagedFleet, page: Page) -> None:
    """Its values, its parts, its account and a chart that has samples."""
    await page.wait_for_url(f"{fleet.page}/gateways/gw-1")
    await page.wait_for_selector("[data-state=online]")
    values = page.locator("[data-part=values]")
    await values.locator("td", has_text="sim/t").wait_for()
    await values.locator("input").fill("sim*")
    await values.locator("td", has_text="oven/").first.wait_for(state="detached")
    chart = page.locator("[data-part=chart]")
    await chart.locator("canvas").wait_for()
    await chart.get_by_text(re.compile(r"[1-9][0-9,]* samples, 0 not good")).wait_for()
    parts = await page.locator(".fb-part").all_inner_texts()
    assert {part.split()[1] for part in parts} >= {"sim", "oven", "cloud"}
    assert "telemetry" in await page.locator(".fb-table").last.inner_text()


async def _push(fleet: PagedFleet, page: Page, text: str, worse: str) -> None:
    """What cannot be is told before it is sent; what the box finds wrong it takes back."""
    await page.get_by_role("link", name="Configuration").click()
    editor = page.locator(".cm-content")
    findings = page.locator("[data-part=findings]")
    check = page.get_by_role("button", name="Check", exact=True)
    await editor.fill(text + "[broken")
    await check.click()
    await findings.get_by_text("forebay.toml").first.wait_for()
    assert await findings.locator(".fb-alarm").count() == 1
    await editor.fill(worse)
    await check.click()
    await findings.get_by_text("Nothing is wrong that the server can see").wait_for()
    assert await findings.locator(".fb-added").count() > 10
    await page.get_by_role("button", name="Push", exact=True).click()
    await page.locator(".fb-dialog input").fill("another oven")
    await page.locator(".fb-dialog").get_by_role("button", name="Push").click()
    await page.wait_for_url(f"{fleet.page}/gateways/gw-1")
    await page.wait_for_selector("[data-phase=rolled_back]", timeout=TRIED_MS)
    said = await page.locator(".fb-card", has_text="Last attempt").inner_text()
    assert "oven" in said
    await page.wait_for_selector("[data-state=online]")


async def test_ten_thousand_boxes_are_one_list(tmp_path: Path, chromium_binary: Path) -> None:
    with PagedFleet(tmp_path) as fleet:
        await fleet.person("ada")
        await asyncio.to_thread(many_boxes.write, fleet.server.data, MANY)
        async with Browser(chromium_binary) as browser, browser.visitor(size=TABLET) as ada:
            await fleet.enter(ada, "ada")
            page = ada.page
            await page.goto(f"{fleet.page}/gateways")
            await page.get_by_text("10,000").wait_for()
            rows, bottom = page.locator("tbody tr"), page.locator(".q-table__bottom")
            first = await rows.first.locator("a").inner_text()
            await bottom.get_by_text("of 10000").wait_for()
            await bottom.locator("button", has_text="chevron_right").click()
            await bottom.get_by_text("26-50").wait_for()
            assert await rows.first.locator("a").inner_text() != first
            behind = page.locator("th", has_text="Behind")
            await behind.click()
            await page.locator("th.sorted:not(.sort-desc)", has_text="Behind").wait_for()
            await behind.click()
            await page.locator("th.sorted.sort-desc", has_text="Behind").wait_for()
            await page.locator("td", has_text="1 h").first.wait_for()
            await page.locator("[data-kind=ill]").click()
            await bottom.get_by_text("of 400").wait_for()
            assert "1 not well" in await rows.first.inner_text()
            found = [many_boxes.name(n) for n in range(MANY) if n % 25 == 3]
            found = [name for name in found if "line06" in name]
            await page.locator("input[type=search]").fill("LINE06 site=porto")
            await bottom.get_by_text(f"of {len(found)}").wait_for()
            assert set(await rows.locator("a").all_inner_texts()) <= set(found)
            await page.locator("input[type=search]").fill(found[0])
            await bottom.get_by_text("1-1 of 1").wait_for()
            await behind.click()  # the same row, and yet the other way round
            await page.locator("th.sorted:not(.sort-desc)", has_text="Behind").wait_for()
            assert await ada.overflow() == 0
