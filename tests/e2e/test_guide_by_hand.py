"""The guide to a box without a line, typed line by line, after the fleet guide's steps 1 to 4."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay.testing.modbus_server import ModbusServer
from support.processes import free_port
from support.shown import commands
from support.typist import GUIDES, Typist, blocks, ended

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NUMBERS = re.compile(r"first-box-\S*|[0-9a-f]{8,}|\d\S*|by \S+|\b[KM]?i?B\b|bytes")


def shown(guide: str, line: str) -> list[str]:
    """Give what a guide shows below a line."""
    block = next(one for one in blocks(guide, "console") if one.startswith(f"$ {line}\n"))
    return [one for one in block.splitlines() if not one.startswith("$ ")]


def alike(lines: list[str]) -> list[str]:
    """Give lines without what differs from day to day."""
    return [" ".join(NUMBERS.sub("N", line).split()) for line in lines]


def produced(ledger: str) -> bool:
    """Whether there is enough to carry away."""
    return bool(sum(line["produced"] for line in json.loads(ledger)["lines"]) >= 9)


async def joined(typist: Typist, ours: dict[str, str]) -> None:
    """Type the fleet guide up to the box's enrollment, then stop its server: the line is cut."""

    def own(text: str) -> str:
        return re.sub("7443|7444", lambda found: ours[found[0]], text)

    guide = (GUIDES / "fleet.md").read_text("utf-8").partition("## 5.")[0]
    token = ""
    for line in commands(guide):
        if line.startswith("forebay-fleet token"):
            said = await typist.until(own(line), lambda _: True)
            token = said.split("--token ")[1].split()[0]
        else:
            code, said = await typist.type(own(line).replace("TOKEN", token))
            assert code == 0, said
    for process in typist.lasting.values():
        await ended(process)
    typist.lasting.clear()


@pytest.mark.long
@pytest.mark.follows("docs/guides/by-hand.md")
async def test_a_box_without_a_line(tmp_path: Path) -> None:
    first, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("first-plc", "by-hand"))
    ports = {"7443": str(free_port()), "7444": str(free_port())}
    async with ModbusServer(lambda _, address: address) as meter, AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        toml, csv = blocks(first, "toml")[0], blocks(first, "csv")[0]
        toml = toml.replace('"192.0.2.20"', f'"127.0.0.1"\nport = {meter.port}')
        config = tmp_path / "forebay.toml"
        config.write_text(
            f'{toml}{blocks(guide, "toml")[0]}\n[fleet]\nprobation = "5 s"\n', "utf-8"
        )
        (tmp_path / "meter.csv").write_text(csv, "utf-8")
        (tmp_path / "stick").mkdir()
        await joined(typist, ports)
        lines = commands(guide)
        assert len(lines) == 9
        for line in lines:
            answer = "y" if line.startswith("forebay usb apply") else ""
            if "usb collect" in line:
                await typist.until("forebay ledger --json", produced)
            if line.startswith("forebay-fleet push"):
                config.write_text(config.read_text("utf-8") + "# slower\n", "utf-8")
            code, said = await typist.type(line, answer)
            assert code == 0, f"{line}\n{said}\n{typist.log.read_text()}"
            if line.startswith("forebay usb apply"):
                said = said.partition("Have this box")[0]  # what follows is how the trial goes on
            if " usb " in line and " make " not in line:
                begin = [one for one in alike(shown(guide, line)) if not one.startswith("Have")]
                seen = alike(said.splitlines())
                assert seen == begin[: len(seen)]
                assert seen
        history = (await typist.type("forebay config history"))[1]
        assert "committed" in history
        assert "usb" in history
