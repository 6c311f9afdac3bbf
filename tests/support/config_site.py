"""An agent, two PLCs that it polls, a fleet server: what tests of applied configurations share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.commands import forebay
from support.live_agent import CountingPlc
from support.processes import World, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.commands import Finished

FLEET = '[fleet]\nprobation = "6 s"\n'


def polled(name: str, port: int, period: str = "200 ms", more: str = "") -> str:
    """Give the table of a device that reads a counter."""
    return f"""
[devices.{name}]
protocol = "modbus"
host = "127.0.0.1"
port = {port}
timeout = "5 s"
backoff = {{ first = "50 ms", most = "200 ms" }}
tags = [{{ name = "count", address = "holding:0", type = "uint16" }}]
{more}
[devices.{name}.groups.default]
period = "{period}"
"""


class ConfigSite:
    """A World whose configuration is applied; `press` and `oven` are its PLCs."""

    def __init__(self, world: World, press: CountingPlc, oven: CountingPlc) -> None:
        self.world, self.press, self.oven = world, press, oven

    def written(self, name: str, devices: str, *, cloud: int | None = None) -> Path:
        """Write a configuration beside the agent's own, and give its path."""
        own = self.world.config.read_text(encoding="utf-8")
        self.world.write_config(devices, more=FLEET)
        path = self.world.directory / name
        text = self.world.config.read_text(encoding="utf-8")
        if cloud is not None:
            text = text.replace(f"127.0.0.1:{self.world.port}", f"127.0.0.1:{cloud}")
        self.world.config.write_text(own, encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        return path

    def both(self, *, oven: str = "200 ms", press: int | None = None) -> str:
        """Give the tables of both devices."""
        return polled("press", press or self.press.port) + polled("oven", self.oven.port, oven)

    async def run(self, *words: str | Path) -> Finished:
        """Run `forebay config WORDS`."""
        return await forebay("config", *words, "--socket", self.world.socket)

    async def status(self) -> Any:
        """Ask how the configuration stands."""
        return (await self.run("show", "--json")).document()

    async def last(self) -> Any:
        """Give the last attempt."""
        return (await self.run("history", "--json")).document()["attempts"][-1]

    async def flowing(self) -> None:
        """Wait until both devices are polled and something has arrived at the server."""
        before = len(self.press.given), len(self.oven.given)
        await until(
            lambda: len(self.press.given) > before[0] + 3 and len(self.oven.given) > before[1] + 3,
            "both are polled",
        )
        await self.world.delivered()


@asynccontextmanager
async def config_site(directory: Path) -> AsyncIterator[ConfigSite]:
    """Start all of it on a file that a person wrote."""
    async with CountingPlc() as press, CountingPlc() as oven, World(directory) as world:
        site = ConfigSite(world, press, oven)
        world.write_config(site.both(), more=FLEET)
        await world.server.start()
        await world.agent.start()
        await until(lambda: press.given and oven.given, "it polls")
        await site.flowing()
        yield site
