"""A fleet server, a box of it that obeys commands, and a PLC that it may write to, all real."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from support.faults import injecting
from support.fleet_boxes import Box, Fleet
from support.processes import until
from support.writable_plc import WritablePlc
from support.write_site import WRITES, press

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMITS = """
[commands]
operator = ["read", "write"]
"""
RULES = WRITES + 'by = ["fleet:*"]\n'
SYNCED = ("adjtimex:retval=0", "clock_adjtime:retval=0")


class Site(NamedTuple):
    """All three."""

    fleet: Fleet
    box: Box
    plc: WritablePlc

    async def send(self, *words: str, wait_s: float = 60.0, good: bool = True) -> Any:
        """Run `forebay-fleet send WORDS` and wait for the result; 0 s: for nothing."""
        return await self.fleet.ask("send", *words, "--wait", f"{wait_s:g}", good=good)

    async def write(self, value: str, *words: str, wait_s: float = 60.0, good: bool = True) -> Any:
        """Have the server ask for a write to the PLC."""
        return await self.send(
            *("write", self.box.gateway, "press/Setpoint", value, *words), wait_s=wait_s, good=good
        )

    async def result(self, id_: str) -> Any:
        """Give what the server has of a command; AssertionError if nothing comes."""
        async with asyncio.timeout(60.0):
            while True:
                found = await self.fleet.ask("send", "result", id_, good=None)
                if found["outcome"] != "pending":
                    return found

    async def up(self) -> None:
        """Start the agent, and wait until it polls, its gate is open and its server has it."""
        connected = len(self.box.told("fleet_connected"))
        before = self.plc.reads
        await self.box.agent.start()
        await until(lambda: len(self.box.told("fleet_connected")) > connected, "it is connected")
        await until(lambda: self.plc.reads > before + 2, "it polls")

    async def audited(self) -> list[str]:
        """Give what the box's audit says, a line each, oldest first."""
        words = ("journal", "show", "--stream", "audit", "--limit", "100")
        document = (await self.box.forebay(*words)).document()
        return [one["text"] for one in document["records"] if one["kind"] == "batch"]


@asynccontextmanager
async def commanded(directory: Path, strace: Path) -> AsyncIterator[Site]:
    """Start all three; the box is enrolled as gw-1, and operators may write to `press/Setpoint`.

    The kernel tells the agent that time servers keep the clock, or nothing would be written.
    """
    limits = directory / "limits.toml"
    limits.write_text(LIMITS, "utf-8")
    with Fleet(directory) as fleet:
        async with WritablePlc() as plc, Box(fleet, "box") as box:
            text = box.config.read_text("utf-8")
            box.config.write_text(text + press(plc.port, "3 s") + RULES, "utf-8")
            box.agent.environment["FOREBAY_LIMITS"] = str(limits)
            box.agent.before = injecting(strace, directory / "strace", *SYNCED)
            if os.getuid():  # the file belongs to root, as it must, in a namespace of its own
                box.agent.before = ["unshare", "-r", *box.agent.before]
            site = Site(fleet, box, plc)
            assert (await box.enroll(await fleet.token())).code == 0
            await site.up()
            yield site
