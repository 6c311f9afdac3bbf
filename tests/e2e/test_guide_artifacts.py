"""The guide to packages, typed line by line, after the fleet guide's steps 1 to 4."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from support.fleet_packages import echo
from support.processes import free_port
from support.shown import commands
from support.typist import GUIDES, Typist, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BOX = """
[gateway]
id = "first-box"
[fleet]
probation = "5 s"
[devices.sim]
protocol = "simulated"
tags = [{ name = "t", address = "counter", type = "int32" }]
[devices.sim.groups.default]
period = "200 ms"
"""


@pytest.mark.long
@pytest.mark.follows("docs/guides/artifacts.md")
async def test_the_guide_to_packages(tmp_path: Path) -> None:
    ports = {"7443": str(free_port()), "7444": str(free_port())}

    def own(text: str) -> str:
        return re.sub("7443|7444", lambda found: ports[found[0]], text)

    fleet, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("fleet", "artifacts"))
    config = tmp_path / "forebay.toml"
    config.write_text(BOX, "utf-8")
    echo(tmp_path / "echo.tar.gz", "1")
    async with AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        token = ""
        for line in commands(fleet.partition("## 5.")[0]):
            if line.startswith("forebay-fleet token"):
                said = await typist.until(own(line), lambda _: True)
                token = said.split("--token ")[1].split()[0]
            else:
                code, said = await typist.type(own(line).replace("TOKEN", token))
                assert code == 0, said
        await typist.type("forebay run --json --config forebay.toml")
        (tmp_path / "site").mkdir()
        table = blocks(guide, "toml")[0] + 'sandbox = "preferred"\n'
        (tmp_path / "site/forebay.toml").write_text(BOX + table, "utf-8")
        lines = commands(guide)
        for line in lines:
            code, said = await typist.type(line)
            assert code == 0, (line, said)
        shown = [block.splitlines()[1:] for block in blocks(guide, "console")]
        assert ["published 1 artifact"] in [block[-1:] for block in shown]

        def runs(said: str) -> bool:
            plugins = json.loads(said)["plugins"]
            return bool(plugins and plugins[0]["version"] == "1" and plugins[0]["windows"])

        await typist.until("forebay plugins ls --json", runs)
