"""The guide to rollouts, typed line by line, after the fleet guide's steps 1 and 2."""

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
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

NAMES = ("first-box", "second-box")
QUICK = '[fleet]\nprobation = "5 s"\n'


async def join(typist: Typist, name: str, text: str, own: dict[str, str]) -> None:
    """Enroll a box that runs `text`, as the fleet guide does, and start it."""
    folder = typist.folder / name
    folder.mkdir()
    (folder / "forebay.toml").write_text(text, "utf-8")
    config = f"--config {name}/forebay.toml"
    await typist.type(f"export FOREBAY_STATE=$PWD/{name}/state FOREBAY_SOCKET=$PWD/{name}/c.sock")
    said = await typist.until(
        f"forebay-fleet token create --data fleet --gateway {name}", lambda _: True
    )
    token = said.split("--token ")[1].split()[0]
    line = f"forebay fleet enroll --server localhost:{own['7444']} --token {token} {config}"
    code, said = await typist.type(line)
    assert code == 0, said
    await typist.type(f"forebay run --json {config}")


@pytest.mark.long
@pytest.mark.follows("docs/guides/rollouts.md")
async def test_the_guide_to_rollouts(tmp_path: Path) -> None:
    ports = {"7443": str(free_port()), "7444": str(free_port())}

    def own(text: str) -> str:
        return re.sub("7443|7444", lambda found: ports[found[0]], text)

    fleet, guide = ((GUIDES / f"{name}.md").read_text("utf-8") for name in ("fleet", "rollouts"))
    template = QUICK + own(blocks(guide, "toml")[0])
    (tmp_path / "site").mkdir()
    (tmp_path / "site/forebay.toml").write_text(template, "utf-8")
    async with ModbusServer() as plc, AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        for line in commands(fleet.partition("## 3.")[0]):
            code, said = await typist.type(own(line))
            assert code == 0, said
        table = re.sub(r"192\.0\.2\.\d+,502", f"127.0.0.1,{plc.port}", blocks(guide, "csv")[0])
        (tmp_path / "boxes.csv").write_text(table, "utf-8")
        for name in NAMES:
            text = template.replace("${gateway}", name).replace("${plc}", "127.0.0.1")
            text = text.replace('"${port}"', str(plc.port)).replace("500 ms", "1 s")
            await join(typist, name, text, ports)
        await typist.type("export FOREBAY_STATE=$PWD/nobody")  # whoever types this is at no box
        id_, said_by = "", dict[str, str]()
        for line in commands(guide):
            if line.startswith("forebay-fleet rollout list"):
                await typist.until(
                    f"forebay-fleet rollout show {id_} --data fleet",
                    lambda said: "done: 2 committed" in said,
                )
            code, said = await typist.type(line.replace("ID", id_))
            assert code == 0, (line, said)
            if line.startswith("forebay-fleet rollout start"):
                id_ = said.split()[1].rstrip(":")
            said_by[line] = said.replace("127.0.0.1", "192.0.2.20").replace(str(plc.port), "502")
    for block in blocks(guide, "console"):
        for part in block.split("$ ")[1:]:
            line, _, shown = part.partition("\n")
            if shown:
                assert said_by[line] == shown
    entries = said_by["forebay-fleet audit --subject ID --data fleet"]
    assert all(word in entries for word in ("shift change", "all are there", "twice a second"))
    assert "as built" in said_by["forebay-fleet audit --subject first-box --data fleet"]
