"""Plugins and agents by the fleet: signed by two people, fetched, run, and gone back from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay import __version__
from support.fleet_boxes import Box, Fleet
from support.fleet_packages import Artifacts, AsWorld, echo
from support.slots import Supervised, package

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.mark.long
async def test_a_plugin_comes_by_version_and_goes_back_with_its_configuration(
    tmp_path: Path,
) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            site = Artifacts(fleet, box)
            site.signers.add(echo(tmp_path / "one.tar.gz", "1"), "plugin", "echo", "1")
            assert (await box.enroll(await fleet.token())).code == 0
            await box.agent.start()
            await box.until_uplink("connected")
            pushed = await site.push("1")
            assert pushed["packages"] == ["plugin/echo/1"]
            await site.until_plugin("1")
            await site.until_attempt("committed")
            site.signers.add(echo(tmp_path / "two.tar.gz", "2"), "plugin", "echo", "2")
            await site.push("2")
            await site.until_plugin("2")
            await site.until_attempt("committed")
            back = await box.forebay("config", "rollback")
            assert back.code == 0, back
            await site.until_plugin("1")


@pytest.mark.long
async def test_an_agent_comes_by_the_fleet_and_its_state_after_it(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            site = Artifacts(fleet, box)
            agent = package(tmp_path / "agent.tar", "0.2.0")
            site.signers.add(agent, "agent", "forebay", "0.2.0")
            assert (await box.enroll(await fleet.token())).code == 0
            async with Supervised(AsWorld(box)) as kept:  # type: ignore[arg-type]
                await kept.runs(__version__)
                await box.until_uplink("connected")
                refused = await site.push("", "--agent", "9.9.9", good=False)
                assert refused is None
                await site.push("", "--agent", "0.2.0", "--min-agent", "0.2.0")
                await kept.runs("0.2.0")
                await site.until_attempt("committed")
                assert kept.starts == [0]
                told = (await box.forebay("update", "status")).document()
                assert told["current"] == {"slot": "a", "version": "0.2.0", "fault": ""}


async def test_a_plugin_comes_by_hand_to_a_box_without_a_line(tmp_path: Path) -> None:
    with Fleet(tmp_path) as fleet:
        async with Box(fleet, "box") as box:
            site = Artifacts(fleet, box)
            site.signers.add(echo(tmp_path / "one.tar.gz", "1"), "plugin", "echo", "1")
            assert (await box.enroll(await fleet.token())).code == 0
            fleet.server.stop()
            await box.agent.start()
            await site.push("1")
            bundle = str(tmp_path / "stick.tar")
            made = await fleet.ask("usb", "make", box.gateway, bundle)
            assert made["packages"] == ["echo 1"]
            applied = await box.forebay("usb", "apply", bundle, "--yes")
            assert applied.code == 0, applied
            await site.until_plugin("1")
