"""A real OPC UA server of another make (node-opcua) that tests order about and kill."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from support.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

NAMESPACE = "urn:forebay:press"
_START_S = 60.0
_ORDER_S = 30.0


class NodeOpcua:
    """The server; `async with` starts it. It keeps its port and its certificates over a restart."""

    def __init__(self, node: Path, testbeds: Path, state: Path) -> None:
        self._node, self._testbeds, self._state = node, testbeds, state
        self._process: asyncio.subprocess.Process | None = None
        self._orders = asyncio.Lock()
        self.port = free_port()
        self.facts: dict[str, Any] = {}
        self.environment: dict[str, str] = {}
        """What it is started with beside our own environment."""

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self, extra_namespaces: int = 0) -> None:
        """Start and wait until it serves; `extra_namespaces` come before ours and shift it."""
        self._process = await asyncio.create_subprocess_exec(
            str(self._node),
            str(self._testbeds / "node_opcua_server.js"),
            str(self.port),
            str(self._state),
            str(extra_namespaces),
            env=os.environ | self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.facts = await asyncio.wait_for(self._message(), _START_S)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
            self._process = None

    async def set(self, name: str, value: object, *, status: str = "Good", time: str = "") -> None:
        """Give a variable a value, status and source time (ISO 8601; empty for now)."""
        await self._order({"set": name, "value": value, "status": status, "time": time})

    async def ramp(self, name: str, start: int, count: int) -> None:
        """Let a variable run through `count` values from `start`, about one each millisecond."""
        await self._order({"ramp": name, "from": start, "count": count})

    async def sessions(self, most: int) -> None:
        """Serve at most that many sessions; those that are there stay."""
        await self._order({"sessions": most})

    async def forget(self) -> None:
        """Delete all subscriptions as if they had never been."""
        await self._order({"forget": "subscriptions"})

    async def event(self, message: str, severity: int) -> None:
        """Let Press tell an event."""
        await self._order({"event": message, "severity": severity})

    async def calls(self) -> int:
        """How often the method Add was called."""
        return int((await self._order({}))["calls"])

    async def _order(self, order: dict[str, object]) -> dict[str, Any]:
        async with self._orders:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            return await asyncio.wait_for(self._message(), _ORDER_S)

    async def _message(self) -> dict[str, Any]:
        """The next line of JSON; the server's library prints other things between."""
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.startswith(b"{"):
                message: dict[str, Any] = json.loads(line)
                return message
        raise RuntimeError("node-opcua ended before it answered")
