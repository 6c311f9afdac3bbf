"""`forebay scan` against a Modbus server, from the table to a checked tag list."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

from forebay.config.taglist import read_csv
from forebay.control.server import ControlServer
from forebay.drivers.modbus.tag import ModbusTag
from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer
from support.commands import forebay
from support.modbus import connected, tag
from support.processes import BIN, until
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RANGE = ("--from", "5", "--to", "120")


class Site(NamedTuple):
    """A control socket behind which `press` is connected to `server`."""

    path: Path
    server: ModbusServer


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        ModbusServer() as server,
        connected(server.port, [tag("holding:1")], timeout=0.5) as group,
    ):
        server.illegal = (
            Illegal("holding", 20, 99),
            Illegal("coil", 7, 65_535),
            Illegal("input", 0, 65_535, code=1),
        )
        agent = ScriptedAgent(drivers={"press": group.driver, "plain": object()})  # type: ignore[dict-item]
        socket = tmp_path / "control.sock"
        async with ControlServer(socket, agent):
            yield Site(socket, server)


async def test_a_table_a_document_and_a_tag_list(site: Site, tmp_path: Path) -> None:
    words = ("scan", "press", "--area", "holding", "--area", "coil", *RANGE, "--socket", site.path)
    shown = await forebay(*words)
    assert shown.code == 0
    assert [line.split() for line in shown.out.splitlines()] == [
        ["AREA", "FROM", "TO", "COUNT"],
        ["holding", "5", "19", "15"],
        ["holding", "100", "120", "21"],
        ["coil", "5", "6", "2"],
    ]
    assert "forebay: holding:5 to 19 can be read\n" in shown.err
    assert "forebay: nothing new up to holding:" in shown.err
    told = await forebay(*words, "--json")
    assert told.document() == {
        "runs": [
            {"area": "holding", "start": 5, "count": 15},
            {"area": "holding", "start": 100, "count": 21},
            {"area": "coil", "start": 5, "count": 2},
        ]
    }
    listed = tmp_path / "tags.csv"
    wrote = await forebay(*words, "--csv", listed)
    assert (wrote.code, wrote.out) == (0, "wrote 38 tags\n")
    tags = read_csv(listed, "tags.csv", ModbusTag)
    assert not tags.faults
    assert {name: (row.address, row.type.value) for name, row in tags.tags.items()} == {
        **{f"holding_{n}": (f"holding:{n}", "uint16") for n in (*range(5, 20), *range(100, 121))},
        **{f"coil_{n}": (f"coil:{n}", "bool") for n in (5, 6)},
    }


async def test_an_area_of_which_nothing_can_be_read(site: Site) -> None:
    done = await forebay("scan", "press", "--area", "input", "--socket", site.path)
    assert (done.code, done.out) == (0, "nothing there can be read\n")
    listed = await forebay(
        "scan", "press", "--area", "input", "--csv", "-", "--socket", site.path, "--json"
    )
    assert listed.out.splitlines() == ["name,address,type", '{"tags": 0}']


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("press", "--area", "holdings"), 2, "areas are: coil, discrete, holding, input"),
        (("press", "--from", "9", "--to", "8"), 2, "is empty"),
        (("plain",), 2, "forebay browse"),
        (("nobody",), 1, "wait until it is"),
        (("press", *RANGE, "--csv", "/nowhere/tags.csv"), 1, "cannot write"),
    ],
)
async def test_what_cannot_be_is_said_with_the_next_step(
    site: Site, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = await forebay("scan", *arguments, "--socket", site.path)
    assert done.code == code
    assert words in done.err


async def test_what_was_found_before_the_device_fell_silent_is_kept(
    site: Site, tmp_path: Path
) -> None:
    listed, server = tmp_path / "tags.csv", site.server
    server.misbehaviour, server.from_request = Misbehaviour.SILENCE, len(server.requests) + 60
    done = await forebay(
        "scan", "press", "--area", "holding", *RANGE, "--csv", listed, "--socket", site.path
    )
    assert done.code == 1
    assert "no answer within" in done.err
    assert len(read_csv(listed, "tags.csv", ModbusTag).tags) == 15


async def test_a_person_who_interrupts_keeps_what_was_found_and_the_device_is_left_alone(
    site: Site, tmp_path: Path
) -> None:
    listed, server = tmp_path / "tags.csv", site.server
    process = await asyncio.create_subprocess_exec(
        str(BIN / "forebay"), "scan", "press", "--area", "coil", "--csv", str(listed),
        "--socket", str(site.path), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await until(lambda: len(server.requests) > 60, "the scan is in the long gap")
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) != 0
    assert len(read_csv(listed, "tags.csv", ModbusTag).tags) == 7
    looks = [-1]

    def rests() -> bool:
        looks.append(len(server.requests))
        return looks[-20:] == [looks[-1]] * 20

    await until(rests, "nothing is asked any more")
