"""Agent packages of versions that are good or bad, and a supervisor as systemd would be."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import platform
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import forebay
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.processes import Process, World

HOME = Path(forebay.__file__).parent
RESTART_S = 0.2
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def package(
    path: Path,
    version: str,
    patches: Mapping[str, str] | None = None,
    about: Mapping[str, str] | None = None,
) -> Path:
    """Write a package of this checkout's gateway under another version; give its path.

    Its libraries are those of the environment that runs the test. `patches` are put before the
    text of files, by their path under forebay/; `about` goes over agent.json.
    """
    told = {"name": "forebay-agent", "version": version, "python": PYTHON}
    told |= {"machine": platform.machine(), **(about or {})}
    files = {
        f"site-packages/forebay/{one.relative_to(HOME).as_posix()}": one.read_bytes()
        for one in HOME.rglob("*")
        if one.is_file() and "__pycache__" not in one.parts
    }
    first = "site-packages/forebay/__init__.py"
    said = files[first].decode().replace(f'"{forebay.__version__}"', f'"{version}"')
    files[first] = said.encode()
    for name, text in (patches or {}).items():
        files[f"site-packages/forebay/{name}"] += f"\n{text}\n".encode()
    site = Path(sys.prefix) / f"lib/python{PYTHON}/site-packages"
    files["site-packages/libraries.pth"] = f"{site}\n".encode()
    with tarfile.open(path, "w") as tar:
        for name, data in {"agent.json": json.dumps(told).encode(), **files}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


class Supervised:
    """Runs the agent of a World by the launcher, and begins it again whenever it ends."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.agent: Process = world.agent
        words = self.agent.command[1:]
        self.agent.command = [sys.executable, "-I", "-m", "forebay.launcher", *words]
        self.starts: list[int | None] = []
        """Of each start that has ended, the exit code."""
        self.rests: dict[int, asyncio.Event] = {}
        """After so many ends it waits for that before it begins again."""
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.agent.start()
        self._keeping = asyncio.create_task(self._keep(), name="supervisor")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeping is not None
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        await self.agent.kill()

    async def _keep(self) -> None:
        while True:
            self.starts.append(await self.agent.wait())
            if (rest := self.rests.get(len(self.starts))) is not None:
                await rest.wait()
            await asyncio.sleep(RESTART_S)
            await self.agent.start()

    async def version(self) -> str:
        """Give the version that answers on the control socket; empty while none does."""
        _, told = await self._world.ask("status")
        return str((told or {}).get("version", ""))

    async def runs(self, version: str, timeout_s: float = 90.0) -> None:
        """Wait until that version answers."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (found := await self.version()) != version:
            assert loop.time() < end, (version, found, self.agent.text()[-3000:])

    async def ended(self, count: int, timeout_s: float = 90.0) -> None:
        """Wait until the agent has ended so often."""
        await until(lambda: len(self.starts) >= count, f"{count} ends", timeout_s)
