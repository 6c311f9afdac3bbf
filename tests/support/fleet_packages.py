"""A fleet with artifacts, a box that is pushed a plugin by version, and its agent in slots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from support.packages import Signers, archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.fleet_boxes import Box, Fleet
    from support.processes import Process

MANIFEST = """\
[plugin]
name = "echo"
version = "{version}"
command = ["{{python}}", "{{dir}}/echo.py"]

[inputs.values]
tags = ["sim/*"]

[outputs.version]
type = "int32"
"""
CODE = """\
from forebay_plugin import Plugin, serve


class Echo(Plugin):
    def process(self, window):
        return {{"version": {version}}}


serve(Echo)
"""


def echo(path: Path, version: str, padding: bytes = b"") -> Path:
    """Write a plugin that gives its version for each window; `padding` is dead weight."""
    files = {
        "plugin.toml": MANIFEST.format(version=version).encode(),
        "echo.py": CODE.format(version=version).encode(),
    }
    return archive(path, {**files, "weight.bin": padding} if padding else files)


class Artifacts:
    """What is pushed to one box of a fleet with artifacts."""

    def __init__(self, fleet: Fleet, box: Box) -> None:
        self.fleet, self.box = fleet, box
        with box.config.open("a", encoding="utf-8") as file:
            file.write('[fleet]\nprobation = "5 s"\nupdate_probation = "5 s"\n')
        self.signers = Signers(fleet.directory / "people", fleet.server.data)

    def target(self, artifact: str) -> Path:
        """Give where the server keeps the archive of TYPE/NAME/VERSION."""
        found = next(one for one in self.signers.published.artifacts() if one.path == artifact)
        return self.signers.published.home / "targets" / found.sha256.hex()

    async def push(self, version: str, *words: str, good: bool = True) -> Any:
        """Push the box's own configuration with the plugin in a version; empty: without it."""
        folder = self.fleet.directory / "pushed"
        folder.mkdir(exist_ok=True)
        text = self.box.config.read_text("utf-8")
        if version:
            text += f'[plugins.watch]\nplugin = "echo"\nversion = "{version}"\n'
            text += 'sandbox = "preferred"\n'
        (folder / "forebay.toml").write_text(text, "utf-8")
        return await self.fleet.ask("push", self.box.gateway, str(folder), *words, good=good)

    async def plugin(self) -> dict[str, Any]:
        """Give how the plugin does; empty while there is none."""
        told = await self.box.forebay("plugins", "ls")
        found = told.document().get("plugins", []) if told.out.strip() else []
        return dict(found[0]) if found else {}

    async def until_plugin(self, version: str) -> None:
        """Wait until that version gives results."""
        await self.until(self.plugin, lambda p: p.get("version") == version and p.get("windows"))

    async def stands(self) -> Any:
        """Give what the box said last of its configuration."""
        told = await self.fleet.ask("show", self.box.gateway, good=None)
        return (told or {}).get("config", {})

    async def until_attempt(self, phase: str, said: str = "") -> Any:
        """Wait until the last attempt is in this phase, with this in its error."""

        def ended(config: Any) -> bool:
            attempt = config.get("last_attempt", {})
            return attempt.get("phase") == phase and said in attempt.get("error", "")

        return (await self.until(self.stands, ended))["last_attempt"]

    async def until(self, ask: Callable[[], Any], condition: Callable[[Any], object]) -> Any:
        """Ask again and again until the answer is as `condition` says; give it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + 90
        while True:
            found = await ask()
            if condition(found):
                return found
            assert loop.time() < end, (found, self.box.agent.text()[-2500:])
            await asyncio.sleep(0.3)


class AsWorld:
    """A box, as `slots.Supervised` sees a World."""

    def __init__(self, box: Box) -> None:
        self.agent: Process = box.agent
        self._box = box

    async def ask(self, *words: str) -> tuple[int, Any]:
        """Run a `forebay` command."""
        ended = await self._box.forebay(*words)
        return ended.code, ended.document() if ended.out.strip() else None
