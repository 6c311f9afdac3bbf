"""`forebay scan` and `forebay plan` against libmodbus with holes, while the agent polls it."""

from __future__ import annotations

import asyncio
import csv
from typing import TYPE_CHECKING, Any

import pytest

from support.modbus import connected, libmodbus_server, tag
from support.processes import World, run_forebay, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

REGISTERS = 400
HOLES = ((100, 119), (200, 200), (300, 349))
FOUND = [(0, 100), (120, 80), (201, 99), (350, 50)]
GAPS = 20 + 1 + 50
PERIOD_S = 0.2
ANY_TAG = '[{ name = "t", address = "holding:1", type = "uint16" }]'


def device(port: int, tags: str) -> str:
    return f"""
[devices.press]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
tags = {tags}
[devices.press.groups.default]
period = "{PERIOD_S * 1000:g} ms"
"""


async def counted(port: int) -> int:
    """Give the requests that the server has got, of this question too."""
    async with connected(port, [tag("holding:0")]) as group:
        return int((await group.reader().read()).batch.values[0][0, 0])


async def press(world: World) -> dict[str, Any]:
    _, document = await world.ask("devices")
    found: dict[str, Any] = document["devices"][0]
    return found


async def connect(world: World) -> None:
    before = world.agent.text().count('"device_connected"')
    await world.agent.start()
    await until(
        lambda: world.agent.text().count('"device_connected"') > before, "the device is connected"
    )


async def test_every_run_is_found_while_polling_goes_on(
    libmodbus_server_binary: Path, tmp_path: Path
) -> None:
    tags = (
        "["
        + ", ".join(
            f'{{ name = "t{a}", address = "holding:{a}", type = "uint16" }}' for a in (1, 99, 350)
        )
        + "]"
    )
    async with World(tmp_path) as world:
        with libmodbus_server(libmodbus_server_binary, REGISTERS, holes=HOLES) as port:
            world.write_config(device(port, tags))
            await connect(world)
            loop = asyncio.get_running_loop()
            before, asked, began_s = await press(world), await counted(port), loop.time()
            code, document = await world.ask("scan", "press", "--area", "holding", "--to", "499")
            took_s, asked = loop.time() - began_s, await counted(port) - asked
            after = await press(world)
        assert code == 0
        assert [(run["start"], run["count"]) for run in document["runs"]] == FOUND
        polls = after["polls"] - before["polls"]
        assert polls >= took_s / PERIOD_S / 2
        assert (after["tags_bad"], after["connections"]) == (0, 1)
        # One question for each place in a gap, and few for each run; each poll has two requests.
        assert asked <= GAPS + (500 - REGISTERS) + len(FOUND) * 14 + 2 * (polls + 2) + 2


async def test_what_was_found_becomes_a_tag_list_that_is_read(
    libmodbus_server_binary: Path, tmp_path: Path
) -> None:
    file = tmp_path / "found.csv"
    async with World(tmp_path) as world:
        with libmodbus_server(libmodbus_server_binary, REGISTERS, holes=HOLES) as port:
            world.write_config(device(port, ANY_TAG))
            await connect(world)
            words = ("--from", "90", "--to", "130", "--area", "coil", "--area", "input")
            code, document = await world.ask("scan", "press", *words, "--csv", str(file))
            assert (code, document) == (0, {"tags": 2 * (10 + 11)})
            assert await world.agent.stop() == 0

            with file.open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines))
            wanted = [*range(90, 100), *range(120, 131)]
            assert rows == [
                {"name": f"{area}_{a}", "address": f"{area}:{a}", "type": kind}
                for area, kind in (("coil", "bool"), ("input", "uint16"))
                for a in wanted
            ]
            world.write_config(device(port, f'"{file}"'))
            assert (await run_forebay("check", str(world.config)))[0] == 0
            await connect(world)
            async with asyncio.timeout(60):
                while True:
                    _, document = await world.ask("tags", "press/*")
                    values = {row["name"]: row["value"] for row in document.get("tags", ())}
                    if values and None not in values.values():
                        break
            assert values == {
                **{f"coil_{a}": a % 3 == 0 for a in wanted},
                **{f"input_{a}": 65_535 - a for a in wanted},
            }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("scan", "presse"), 2, "there is no device 'presse'"),
        (("scan", "press", "--area", "holdings"), 2, "no area 'holdings'"),
        (("scan", "press", "--from", "9", "--to", "3"), 2, "is empty"),
        (("plan", "presse"), 2, "there is no device 'presse'"),
    ],
)
async def test_what_cannot_be_is_said(
    libmodbus_server_binary: Path, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    async with World(tmp_path) as world:
        with libmodbus_server(libmodbus_server_binary, REGISTERS) as port:
            world.write_config(device(port, ANY_TAG))
            await connect(world)
            done, document = await world.ask(*words)
    assert done == code
    assert said in document["error"]["message"]


async def test_the_plan_says_what_is_asked_why_and_what_the_device_taught(
    libmodbus_server_binary: Path, tmp_path: Path
) -> None:
    addresses = (*range(1, 20), 99, 100, 130, 131)
    tags = (
        "["
        + ", ".join(
            f'{{ name = "t{a}", address = "holding:{a}", type = "uint16" }}' for a in addresses
        )
        + "]"
    )
    async with World(tmp_path) as world:
        with libmodbus_server(libmodbus_server_binary, REGISTERS, holes=HOLES) as port:
            world.write_config(device(port, tags))
            await connect(world)
            async with asyncio.timeout(60):
                while True:
                    code, plan = await world.ask("plan", "press")
                    assert code == 0
                    if plan["refused"]:
                        break
            asked = await counted(port)
            polls = (await press(world))["polls"]
            assert asked > polls
        requests = [(r["area"], r["start"], r["count"], r["tags"]) for r in plan["requests"]]
        assert requests == [
            ("holding", 1, 19, 19), ("holding", 99, 1, 1), ("holding", 130, 2, 2),
        ]  # fmt: skip
        assert plan["requests"][0]["reason"] == "first of holding"
        assert "behind a hole of" in plan["requests"][1]["reason"]
        assert plan["refused"] == [
            {"group": "default", "tag": "t100", "address": "holding:100",
             "quality_name": "BadNodeIdUnknown"},
        ]  # fmt: skip
        assert plan["line"] == f"127.0.0.1:{port}"
        assert plan["groups"][0]["requests"] == 3
        assert 0 <= plan["line_load"] <= 1
        assert plan["learned"] == [
            "default: 1 tag is refused, and asked alone again every 60 polls"
        ]
