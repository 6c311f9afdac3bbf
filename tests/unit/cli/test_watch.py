"""`--watch` and colours at a real terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from forebay.control.server import ControlServer
from support.commands import COMMAND
from support.scripted_agent import ScriptedAgent, tag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Terminal:
    """A command at a terminal of its own, and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process, ours: int) -> None:
        self.process = process
        self.seen = b""
        self._ours = ours
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours, self._read)

    def _read(self) -> None:
        try:
            self.seen += os.read(self._ours, 65_536)
        except OSError:  # the command closed its side
            self.close()
        self._more.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(20):
            while text.encode() not in self.seen:
                self._more.clear()
                await self._more.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)


@asynccontextmanager
async def at_terminal(*arguments: str | Path, **environ: str) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
        env=clean | {"TERM": "xterm", "COLUMNS": "80"} | environ,
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        terminal.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()
        os.close(ours)


@pytest.mark.parametrize(
    ("command", "first", "then"),
    [
        ("status", "is \x1b[32mrunning", "is \x1b[33mdraining"),
        ("tags", "BadTimeout", "hall 9"),
        ("ledger", "balances:", "does not balance"),
    ],
)
async def test_watch_shows_news_until_interrupted(
    tmp_path: Path, command: str, first: str, then: str
) -> None:
    agent = ScriptedAgent()
    async with (
        ControlServer(tmp_path / "s", agent),
        at_terminal(command, "--watch", "--socket", tmp_path / "s") as terminal,
    ):
        await terminal.until(first)
        agent.status_reply = replace(agent.status_reply, state="draining")
        agent.tags = [tag("press", "hall 9")]
        agent.ledger_lines = [replace(agent.ledger_lines[0], pending=1)]
        await terminal.until(then)
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.process.wait() == 0


async def test_watch_ends_with_the_agent(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = ControlServer(tmp_path / "s", ScriptedAgent())
        async with server:
            terminal = await stack.enter_async_context(
                at_terminal("status", "--watch", "--socket", tmp_path / "s")
            )
            await terminal.until("running")
        assert terminal.process.stderr is not None
        said = await terminal.process.stderr.read()
        assert await terminal.process.wait() == 3
        assert b"forebay: the agent at" in said


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_colours(tmp_path: Path, environ: dict[str, str], *, coloured: bool) -> None:
    async with (
        ControlServer(tmp_path / "s", ScriptedAgent()),
        at_terminal("status", "--socket", tmp_path / "s", **environ) as terminal,
    ):
        await terminal.until("memory")
        assert await terminal.process.wait() == 0
        assert (b"\x1b[1;31m" in terminal.seen) is coloured
