"""The agent is killed with SIGKILL while it takes large files; the server has every byte."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import GATEWAY, World, until

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 6
FILE_BYTES = 8 << 20


@pytest.mark.e2e
@pytest.mark.timeout(240)
async def test_files_survive_kills_whole_and_are_deleted_then_only(tmp_path: Path) -> None:
    """A kill falls between two pieces of one file at least; its rest follows in later lives."""
    rng = random.Random(20)
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    content = {f"film {n}.bin": rng.randbytes(FILE_BYTES + n) for n in range(3)}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    async with World(tmp_path) as world:
        world.write_config(
            f"""
[devices.camera]
protocol = "folder"
directory = "{folder}"
look = "50 ms"
settle = "100 ms"
chunk = "64 KiB"
after = "delete"
""",
            more='commit_interval = "50 ms"',
        )
        await world.server.start()
        places: list[int] = []
        for _ in range(KILLS):
            before = place(state)
            await world.agent.start()
            await until(lambda b=before: place(state) != b, "another piece is durable")  # type: ignore[misc]
            await world.agent.kill()
            places.append(place(state))
            for name, data in content.items():
                path = folder / name
                assert not path.exists() or path.read_bytes() == data
        assert any(at > 0 for at in places), "no kill fell into a file"
        await world.agent.start()
        await until(lambda: not list(folder.iterdir()), "all files are taken and gone")
        await world.delivered()
        await world.server.stop()
        answer: dict[str, Any] = await world.ask_fleet(
            "files", "--gateway", GATEWAY, "--device", "camera", "--into", str(tmp_path / "out")
        )
    found = {one["file"]: one for one in answer["files"]}
    assert found.keys() == content.keys()
    assert len(answer["files"]) == len(content), "a file that was resumed became another"
    for name, one in found.items():
        assert one["state"] == "whole", one
        (path,) = (tmp_path / "out").glob(f"{one['id']}-*")
        assert path.read_bytes() == content[name]


def place(state: Path) -> int:
    """Give how far the file is that is being taken, -1 before there is any."""
    for path in state.rglob("camera.place"):
        match = re.match(r'\["[^"]*", (\d+),', path.read_text(encoding="utf-8"))
        return int(match[1]) if match else -1
    return -1
