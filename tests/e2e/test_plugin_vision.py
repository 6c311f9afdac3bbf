"""A camera leaves a picture in a folder: pieces in the journal, a verdict beside them."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from support.processes import GATEWAY, World

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PLUGIN = Path(__file__).resolve().parents[2] / "plugins/vision"


def picture(seed: int) -> bytes:
    """Give a PNG of noise, so large that it needs many pieces, with a dark streak."""
    image = np.random.default_rng(seed).normal(150, 10, (400, 400))
    image[80:320, 190:215] -= 80
    out = io.BytesIO()
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


async def until_tag(world: World, name: str, met: Callable[[Any], bool]) -> Any:
    """Wait until a tag of the plugin has such a value; give it."""
    async with asyncio.timeout(120):
        while True:
            _, document = await world.ask("tags", f"look/{name}")
            for tag in (document or {}).get("tags", []):
                if tag.get("value") is not None and met(tag["value"]):
                    return tag["value"]
            assert world.agent.running, world.agent.text()[-3000:]


async def test_a_picture_gets_a_verdict_and_arrives_whole(tmp_path: Path) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    content = picture(5)
    async with World(tmp_path) as world:
        world.write_config(
            f"""
[devices.camera]
protocol = "folder"
directory = "{folder}"
look = "100 ms"
settle = "100 ms"
chunk = "16 KiB"
[plugins.look]
path = "{PLUGIN}"
limits = {{ start_timeout = "90 s", deadline = "60 s" }}
settings = {{ least = 0.0 }}
"""
        )
        await world.server.start()
        await world.agent.start()
        (folder / "one.png").write_bytes(content)
        verdict = await until_tag(world, "verdict", bool)
        boxes = json.loads(await until_tag(world, "boxes", bool))
        assert all(box["kind"] == verdict for box in boxes)
        assert all(0 <= box["left"] < box["right"] <= 400 for box in boxes)
        await world.delivered()
        assert await world.agent.stop() == 0
        await world.server.stop()
        whole = await world.ask_fleet(
            "files", "--gateway", GATEWAY, "--device", "camera", "--into", str(tmp_path / "out")
        )
        (found,) = whole["files"]
        assert await asyncio.to_thread(Path(found["path"]).read_bytes) == content
        asked = await world.ask_fleet("query", "--gateway", GATEWAY, "--tag", "look/thumbnail")
        assert asked["values"][0]["encoding"] == "base64"
