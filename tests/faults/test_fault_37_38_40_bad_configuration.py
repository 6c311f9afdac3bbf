"""Faults 37, 38, 40: a configuration that is invalid, that stops the data, that cuts the box off.

On real processes, each by `forebay config apply`; what ran before runs, and goes on running.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.config_site import config_site
from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

PROBATION_S = 6.0


async def test_fault_37_an_invalid_configuration_fails_and_nothing_is_touched(
    tmp_path: Path,
) -> None:
    async with config_site(tmp_path) as site:
        before = site.press.connections, site.oven.connections
        wrong = site.written("wrong.toml", site.both())
        text = wrong.read_text(encoding="utf-8")
        for broken, told in (
            (text.replace('id = "gw-1"', "id = 7"), "gateway.id"),
            (text.replace("[journal]", "[journal"), "not valid TOML"),
            (text.replace('protocol = "modbus"', 'protocol = "modbux"', 1), "press"),
        ):
            wrong.write_text(broken, encoding="utf-8")
            done = await site.run("apply", wrong)
            assert (done.code, told in done.out) == (2, True), done
            last = await site.last()
            assert (last["phase"], last["generation"]) == ("failed", 0)
        assert (site.press.connections, site.oven.connections) == before
        assert (await site.status())["running_source"] == "file"
        await site.flowing()


async def test_fault_38_a_configuration_that_stops_polling_is_rolled_back(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        oven = site.oven.connections
        dead = site.written("dead.toml", site.both(press=free_port()))
        began = time.monotonic()
        done = await site.run("apply", dead)
        assert done.code == 1, done
        assert "rolled back" in done.out
        assert "device press" in done.out
        assert time.monotonic() - began < 150.0
        last = await site.last()
        assert (last["phase"], last["changed"]) == ("rolled_back", ["device press"])
        assert (await site.status())["running_source"] == "file"
        await site.flowing()
        assert site.oven.connections == oven, "the other device was never touched"


async def test_fault_40_a_destination_that_is_dead_is_rolled_back(tmp_path: Path) -> None:
    async with config_site(tmp_path) as site:
        before = site.press.connections, site.oven.connections
        cut_off = site.written("cut-off.toml", site.both(), cloud=free_port())
        done = await site.run("apply", cut_off)
        assert done.code == 1, done
        assert "the destination cloud" in done.out
        await site.flowing()
        assert (site.press.connections, site.oven.connections) == before
