"""The guide to a fleet, typed line by line; only the ports and the token are others."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.processes import free_port
from support.shown import commands
from support.typist import GUIDES, Typist, blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def watts(area: str, address: int) -> int:
    """Give the halves of the float32 12345.0, the high one at even addresses."""
    del area
    return 0xE400 if address % 2 else 0x4640


def nothing_more(_: str) -> bool:
    return True


@pytest.mark.long
@pytest.mark.follows("docs/guides/fleet.md")
async def test_a_fleet_of_boxes(tmp_path: Path) -> None:
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "fleet"))
    ports = {"7443": str(free_port()), "7444": str(free_port())}

    def ours(text: str) -> str:
        return re.sub("7443|7444", lambda found: ports[found[0]], text)

    good: dict[str, Callable[[str], object]] = {
        "forebay uplinks": lambda text: "connected" in text,
        "forebay fleet status": lambda text: "certificate  number" in text,
        "forebay-fleet gateways --data fleet": lambda text: "first-box" in text,
        "forebay-fleet show first-box --data fleet": lambda text: "running" in text,
        # Until the server has told the registry where it listens.
        "forebay-fleet token create --data fleet --for 24h --gateway first-box": nothing_more,
    }
    async with ModbusServer(watts) as meter, AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        toml, csv = blocks(first, "toml")[0], blocks(first, "csv")[0]
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        (tmp_path / "forebay.toml").write_text(toml + ours(blocks(guide, "toml")[0]), "utf-8")
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        typed = commands(guide)
        assert len(typed) == 18
        done: dict[str, str] = {}
        for line in typed:
            text = ours(line)
            if "--token TOKEN" in line:
                said = done["forebay-fleet token create --data fleet --for 24h --gateway first-box"]
                printed = said.splitlines()[-1]
                assert f"{printed} --config forebay.toml".startswith(text.partition("TOKEN")[0])
                text = f"{printed} --config forebay.toml"
            if line in good:
                done[line] = await typist.until(text, good[line])
                continue
            code, done[line] = await typist.type(text)
            assert code == 0, f"{text}\n{done[line]}"
        await typist.until(
            "forebay-fleet gateways --data fleet", lambda said: "REVOKED" not in said
        )
    enrolled = next(said for line, said in done.items() if line.startswith("forebay fleet enroll"))
    shown = blocks(guide, "console")[3].splitlines()[-3:]
    numbers = re.compile(r"[\d:TZ-]{20}|\d\d+(\.\d+)?|7443")
    assert [numbers.sub("N", ours(line)) for line in shown] == [
        numbers.sub("N", line) for line in enrolled.splitlines()
    ]
    checked = done["forebay check forebay.toml"]
    assert checked in guide
