"""Twenty boxes of one fleet, each with its own agent, all on one template."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from forebay.testing.modbus_server import ModbusServer
from support.config_site import polled
from support.fleet_boxes import Box
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fleet_boxes import Fleet

PROBATION_S = 5
AT_ONCE = 4
"""Agents that start at once, on two cores."""


class Crowd:
    """`async with Crowd(fleet, 20) as crowd:`; `failing` boxes have a PLC that nobody hears."""

    def __init__(self, fleet: Fleet, number: int, failing: tuple[str, ...] = ()) -> None:
        self.fleet, self.failing = fleet, failing
        self.names = [f"gw-{one:02}" for one in range(1, number + 1)]
        self.boxes: dict[str, Box] = {}
        self.site = fleet.directory / "site"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.plc = await self._stack.enter_async_context(ModbusServer())
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with turns:
                self.boxes[name] = box = Box(self.fleet, name, name)
                self._stack.push_async_callback(box.agent.kill)
                head = box.config.read_text("utf-8").replace("200 ms", "1 s")
                head += f'[fleet]\nprobation = "{PROBATION_S} s"\n'
                box.config.write_text(head + polled("oven", self.plc.port, "1 s"), "utf-8")
                assert (await box.enroll(await self.fleet.token())).code == 0
                await box.agent.start()

        await asyncio.gather(*(one(name) for name in self.names))
        first = self.boxes[self.names[0]]
        text = first.config.read_text("utf-8").replace(f'"{first.gateway}"', '"${name}"')
        text = text.replace(str(first.socket), "${socket}").replace('"1 s"\n', '"900 ms"\n')
        self.site.mkdir()
        text = text.replace(f"port = {self.plc.port}\n", 'port = "${port}"\n')
        (self.site / "forebay.toml").write_text(text, "utf-8")
        await self.know(self.failing)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def know(self, failing: tuple[str, ...]) -> None:
        """Tell the server what differs from box to box."""
        table = self.fleet.directory / "boxes.csv"
        rows = [
            f"{name},{name},{self.boxes[name].socket},"
            f"{free_port() if name in failing else self.plc.port}"
            for name in self.names
        ]
        table.write_text("\n".join(["gateway,name,socket,port", *rows, ""]), "utf-8")
        done = await self.fleet.ask("variable", "import", str(table))
        assert done == {"gateways": len(self.names)}

    async def rollout(self, id_: str, condition: Callable[[Any], object]) -> Any:
        """Wait until a rollout is so; give it."""
        seen = None
        try:
            async with asyncio.timeout(120):
                while True:
                    seen = await self.fleet.ask("rollout", "show", id_)
                    if condition(seen):
                        return seen
                    await asyncio.sleep(1.5)
        except TimeoutError:
            raise AssertionError(seen) from None
