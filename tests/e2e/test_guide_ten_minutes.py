"""The tutorial, typed line by line: a meter, a server, an outage; only ports and token differ."""

from __future__ import annotations

import re
import signal
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

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

DELIVERED = re.compile(r"^telemetry  cloud +[1-9]\d* +[1-9]\d* +0 +0 +0$", re.MULTILINE)
PENDING = re.compile(r"^telemetry  cloud +\d+ +[1-9]\d* +[1-9]\d* +0 +0$", re.MULTILINE)
GOOD: dict[str, Callable[[str], object]] = {
    "forebay-fleet token": lambda _: True,  # once the server has told where it listens
    "forebay status": lambda text: "1 of 1 connected" in text,
    "forebay read": lambda text: " 12.345 " in text and " Good " in text,
    "forebay-fleet query": lambda text: text.count(" 12.345  kW ") == 3,
    "forebay-fleet gateways": lambda text: " online " in text,
    "forebay uplinks": lambda text: " connected " in text,
}
"""What a command says when all is well, by its first two words."""


def watts(area: str, address: int) -> int:
    """Give the halves of the float32 12345.0, the high one at even addresses."""
    del area
    return 0xE400 if address % 2 else 0x4640


async def without_a_meter(folder: Path, line: str) -> None:
    """The other way to begin works as well."""
    async with AsyncExitStack() as stack:
        typist = Typist(folder, stack)
        code, said = await typist.type(line)
        assert (code, "ok: 1 device, 2 tags, 1 uplink" in said) == (0, True), said


@pytest.mark.follows("docs/guides/ten-minutes.md")
async def test_from_a_plc_to_the_cloud(tmp_path: Path) -> None:
    guide = (GUIDES / "ten-minutes.md").read_text("utf-8")
    ports = {number: str(free_port()) for number in ("7443", "7444")}
    meter_csv, play_csv = blocks(guide, "csv")
    (tmp_path / "meter.csv").write_text(meter_csv, "utf-8")
    (tmp_path / "play").mkdir()
    (tmp_path / "play/play.csv").write_text(play_csv, "utf-8")
    said: dict[str, str] = {}
    async with ModbusServer(watts) as meter, AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        own = ports | {"192.0.2.20": f"127.0.0.1 --set port={meter.port}"}
        for line in commands(guide):
            if "play.csv" in line:
                await without_a_meter(tmp_path / "play", line)
                continue
            text = re.sub("7443|7444|192.0.2.20", lambda found: own[found[0]], line)
            if "TOKEN" in line:
                text = text.replace("TOKEN", said["forebay-fleet token"].split("--token ")[1])
            command, down = " ".join(line.split()[:2]), "forebay ledger" not in said
            if command == "forebay status" and "forebay-fleet gateways" in said:
                await cut(typist)
                said[command] = await typist.until(text, lambda told: told.startswith("! uplink"))
            elif command == "forebay ledger":
                said[command] = await typist.until(text, (PENDING if down else DELIVERED).search)
            elif command in GOOD:
                said[command] = await typist.until(text, GOOD[command])
            else:
                code, said[command] = await typist.type(text)
                assert code == 0, f"{text}\n{said[command]}\n{typist.log.read_text()}"
    assert said["forebay init"].replace(ports["7443"], "7443") in guide
    assert said["forebay check"] in guide
    assert said["forebay ledger"].splitlines()[0] in guide
    assert "\nsound: " in said["forebay-fleet ledger"]


async def cut(typist: Typist) -> None:
    """Press Ctrl-C where the server runs."""
    (line,) = [one for one in typist.lasting if "serve" in one]
    server = typist.lasting.pop(line)
    server.send_signal(signal.SIGINT)
    assert await server.wait() == 0
