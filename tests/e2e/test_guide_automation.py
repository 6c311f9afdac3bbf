"""The guide to rollouts from a pipeline, typed; only ports, the token and the id are others."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.desired import states
from forebay_fleet.registry import Registry
from support.processes import free_port, until
from support.rollout_boxes import Boxes
from support.shown import commands
from support.typist import GUIDES, Typist, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
NAMES = ["first-box", "second-box"]


async def keep(boxes: Boxes) -> None:
    """Be boxes that keep whatever they are told."""
    kept: dict[str, str] = {}
    while True:
        for name in NAMES:
            if states.newest(boxes.registry, name) is None:
                continue
            offer_id = boxes.desired(name).offer_id
            if kept.get(name) != offer_id:
                boxes.say(name, "committed")
                kept[name] = offer_id
        await asyncio.sleep(0.1)


@pytest.mark.follows("docs/guides/automation.md")
async def test_rollouts_from_a_pipeline(tmp_path: Path) -> None:
    guide = (GUIDES / "automation.md").read_text("utf-8")
    ports = {number: str(free_port()) for number in ("7443", "7444", "8443")}
    typed = commands(guide)
    assert len(typed) == 9
    (template,), (program,) = blocks(guide, "toml"), blocks(guide, "python")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/forebay.toml").write_text(template, "utf-8")
    (tmp_path / "roll.py").write_text(program.replace("8443", ports["8443"]), "utf-8")
    done: dict[str, str] = {}
    token = id_ = ""
    async with AsyncExitStack() as stack:
        typist = Typist(tmp_path, stack)
        for line in ("forebay-fleet ca init pki", "forebay-fleet ca issue pki --host localhost"):
            assert (await typist.type(line))[0] == 0
        registry = stack.enter_context(Registry(tmp_path / "fleet"))
        boxes = Boxes(registry, tmp_path / "fleet", NAMES)
        for name in NAMES:
            boxes.push_old(name)
        being = asyncio.create_task(keep(boxes), name="test.boxes")
        stack.callback(being.cancel)
        for line in typed:
            if line.startswith("export TOKEN="):
                token = done[next(one for one in done if "api-token add" in one)].split()[-1]
                await typist.type(f"export TOKEN={token}")
                continue
            text = re.sub("7443|7444|8443", lambda found: ports[found[0]], line)
            text = text.replace("$TOKEN", token).replace("ID", id_ or "ID")
            if "api-token add" in line:
                health = f"https://localhost:{ports['8443']}/healthz"
                await typist.until(f"curl -sS --cacert pki/ca.crt {health}", lambda _: True)
            code, done[line] = await typist.type(text)
            assert code == 0, f"{text}\n{done[line]}\n{typist.log.read_text()}"
            if line.startswith("python"):
                id_ = done[line].split()[0]
        plcs = {"first-box": {"plc": "192.0.2.20"}, "second-box": {"plc": "192.0.2.21"}}
        said = {key: done[next(line for line in typed if key in line)] for key in KEYS}
        assert json.loads(said["variables?selector"])["gateways"] == plcs
        assert "done" in said["roll.py"].splitlines()[-1]
        assert json.loads(said["/abort"])["ending"] == "back"
        assert said["audit"].count("token:pipeline") == 2
        await until(
            lambda: all(boxes.content(name) == b"# old\n" for name in NAMES), "told as before"
        )


KEYS = ("variables?selector", "roll.py", "/abort", "audit")
