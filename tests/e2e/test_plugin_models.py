"""A model that nobody vouches for costs its plugin and nothing else; signed, it serves.

The way of docs/guides/models.md: a store, a signature, a restart, another version, and back.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forebay_plugin.models.__main__ import main
from forebay_plugin.models.trust import public_key
from support.onnx_models import made
from support.processes import World, run_forebay
from support.shown import commands
from support.typist import GUIDES, Typist

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

GUIDE = GUIDES / "models.md"
PLUGIN = Path(__file__).resolve().parents[2] / "plugins/onnx"
DEVICE = """
[devices.line]
protocol = "simulated"
tags = [
  { name = "a", address = "constant 1", type = "float64" },
  { name = "b", address = "constant 2", type = "float64" },
  { name = "c", address = "constant 3", type = "float64" },
]
[devices.line.groups.default]
period = "50 ms"
"""


async def until_status(world: World, what: str, met: Callable[[Any], bool]) -> Any:
    """Wait until the plugin's status is so; give it."""
    async with asyncio.timeout(60):
        while True:
            _, document = await world.ask("plugins", "ls")
            for status in (document or {}).get("plugins", []):
                if met(status):
                    return status
            assert world.agent.running, f"{what}: {world.agent.text()[-3000:]}"


async def until_value(world: World, value: float) -> None:
    """Wait until the plugin gives this value."""
    async with asyncio.timeout(60):
        while True:
            _, document = await world.ask("tags", "quality/value")
            if [tag.get("value") for tag in (document or {}).get("tags", [])] == [value]:
                return
            assert world.agent.running, world.agent.text()[-3000:]


async def done_in(folder: Path, line: str) -> bytes:
    """Type one line in a directory; give the key that lies there after it."""
    async with AsyncExitStack() as stack:
        code, said = await Typist(folder, stack).type(line)
    assert code == 0, said
    return (folder / "model-key.pem").read_bytes()


@pytest.mark.long
@pytest.mark.follows("docs/guides/models.md")
async def test_a_model_is_signed_served_followed_and_put_back(tmp_path: Path) -> None:
    key, store = tmp_path / "model-key.pem", tmp_path / "store"
    generate, sign = (one for one in commands(GUIDE.read_text("utf-8")) if "key.pem" in one)
    pem = await done_in(tmp_path, generate)
    for version, weight in (("1", 1.0), ("2", 10.0)):
        made(tmp_path / version, version, weight)
    assert main(["add", str(store), "--from", str(tmp_path / "1"), "--allow-unsigned"]) == 0
    assert main(["activate", str(store), "--version", "1"]) == 0
    async with World(tmp_path) as world:
        world.write_config(
            f"""{DEVICE}
[plugins.quality]
path = "{PLUGIN}"
model = "{store}"
inputs.values = ["line/*"]
limits = {{ start_timeout = "60 s", deadline = "20 s" }}
settings = {{ trusted_keys = ["{public_key(pem)}"] }}
"""
        )
        await world.agent.start()
        told = await until_status(world, "refused", lambda one: "not signed" in one["last_error"])
        assert "forebay_plugin.models sign" in told["last_error"]
        _, devices = await world.ask("devices")
        assert devices["devices"][0]["state"] == "connected"
        assert main(["sign", str(store / "versions/1"), "--key", str(key)]) == 0
        assert (await world.ask("plugins", "restart", "quality"))[0] == 0
        await until_value(world, 3.0)
        second, config = str(tmp_path / "2"), ("--config", str(world.config))
        code, said = await run_forebay("plugins", "model", "add", "quality", second, *config)
        assert (code, "forebay: the model is not signed" in said) == (1, True), said
        await done_in(tmp_path, sign.replace("DIR", "2"))
        code, said = await run_forebay("plugins", "model", "add", "quality", second, *config)
        assert code == 0
        assert said == ("added version 2\nnext: forebay plugins model activate quality 2\n")
        code, done = await world.ask("plugins", "model", "activate", "quality", "2", *config)
        assert (code, done["said"], done["restarted"]) == (0, ["version 2 is active"], ["quality"])
        await until_value(world, 30.0)
        code, said = await run_forebay("plugins", "model", "show", "quality", *config)
        assert [line for line in said.splitlines() if line.startswith(("active", "previous"))] == [
            "active: scaled-max 2: Largest of the scaled columns.",
            "previous: scaled-max 1: Largest of the scaled columns.",
        ]
        code, done = await world.ask("plugins", "model", "candidate", "quality", "1", *config)
        assert (code, done["said"]) == (0, ["candidate: 1"])
        code, done = await world.ask("plugins", "model", "rollback", "quality", *config)
        assert (code, done["said"]) == (0, ["version 1 is active"])
        await until_value(world, 3.0)
        assert await world.agent.stop() == 0
    code, done = await world.ask("plugins", "model", "activate", "quality", "2", *config)
    assert (code, done["restarted"]) == (0, [])
    assert done["said"][-1] == "next: start the gateway; it loads this model then"


async def test_what_cannot_have_a_model_is_told(tmp_path: Path) -> None:
    config = tmp_path / "forebay.toml"
    made(tmp_path / "1", "1", 1.0)
    config.write_text(
        f"""
[gateway]
id = "g"
[plugins.lone]
path = "{PLUGIN}"
model = "1"
inputs.values = ["line/*"]
[plugins.none]
path = "{PLUGIN}"
inputs.values = ["line/*"]
""",
        encoding="utf-8",
    )
    for name, told in (
        ("lone", "is the folder of one model"),
        ("none", "[plugins.none] names no directory of models"),
        ("nobody", "there is no [plugins.nobody]"),
    ):
        words = ("plugins", "model", "add", name, str(tmp_path / "1"), "--config", str(config))
        code, said = await run_forebay(*words)
        assert (code, told in said) == (2, True), said
