"""The guide to the first OPC UA server, typed line by line against an encrypted server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forebay.drivers.opcua.identity import fingerprint, loaded
from support.commands import Finished, forebay
from support.opcua_certificates import own_certificate
from support.opcua_secured import secured_server
from support.processes import free_port
from support.shown import note

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/first-opcua.md"
WAIT_S = 60.0


class Reader:
    """Somebody who types what the guide shows, in one directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "FOREBAY_STATE": str(folder / "state"),
            "FOREBAY_SOCKET": str(folder / "control.sock"),
        }
        self._agent: asyncio.subprocess.Process | None = None

    async def type(self, line: str) -> Finished:
        """Run one line that ends by itself; file names are those of the directory."""
        words = [
            str(self.folder / word) if word.endswith((".toml", ".csv")) else word
            for word in line.split()[1:]
        ]
        return await forebay(*words, **self.environ)

    async def until(self, line: str, good: Callable[[str], object]) -> str:
        done = None
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    done = await self.type(line)
                    if done.code == 0 and good(done.out):
                        return done.out
        except TimeoutError:
            pytest.fail(f"{line}: never good; last seen: {done}")

    async def run(self) -> None:
        """Start the agent, anew if it runs."""
        await self.stop()
        note(["forebay run --config forebay.toml"])
        self._agent = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).parent / "forebay"), "run", "--config"),
            str(self.folder / "forebay.toml"),
            env=os.environ | self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def stop(self) -> None:
        if self._agent is not None and self._agent.returncode is None:
            self._agent.terminate()
            await self._agent.wait()


@pytest.mark.long
@pytest.mark.follows("docs/guides/first-opcua.md")
async def test_the_first_opcua_server(tmp_path: Path) -> None:
    guide, port = GUIDE.read_text("utf-8"), free_port()
    whole, certificate, tags = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    lines = re.findall(r"^\$ (forebay .*)$", guide, re.MULTILINE)
    main = tmp_path / "forebay.toml"
    text = whole.replace("192.0.2.20:4840", f"127.0.0.1:{port}")
    main.write_text(text, "utf-8")
    files, reader = own_certificate(tmp_path, "server"), Reader(tmp_path)
    try:
        async with secured_server(port, files, Level=1.5, Fill=2.5):
            first = await reader.type(lines[0])
            assert (first.code, "server_certificate: is not given" in first.out) == (0, True)
            assert lines[1] == lines[7] == "forebay run --config forebay.toml"
            await reader.run()
            said = fingerprint(loaded(files["certificate"].read_bytes()))
            assert lines[2] == "forebay devices"
            seen = await reader.until(lines[2], lambda out: said in out)
            (shown,) = (tmp_path / "state/opcua/shown/press").iterdir()
            assert str(shown) in seen
            shutil.copy(shown, tmp_path / "server.der")
            main.write_text(text + certificate, "utf-8")
            await reader.run()
            await reader.until(lines[3], lambda out: "Level" in out and "Fill" in out)
            narrowed = await reader.type(lines[4])
            assert ("Level" in narrowed.out, "Fill" in narrowed.out) == (True, False)
            wrote = await reader.type(lines[5])
            assert (wrote.out, wrote.err) == ("wrote 2 tags\n", "")
            main.write_text(text + certificate + tags, "utf-8")
            checked = await reader.type(lines[6])
            assert checked == (0, "ok: 1 device, 2 tags, 0 uplinks\n", "")
            await reader.run()
            await reader.until(lines[8], lambda out: "1.5" in out and "2.5" in out)
            assert len(lines) == 9
    finally:
        await reader.stop()
