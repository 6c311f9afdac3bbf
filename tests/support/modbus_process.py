"""The Modbus server that misbehaves on request, in a process of its own.

So what it costs to misbehave falls on no loop that is being judged. Run as a module it prints its
port, obeys one line of JSON after another from its standard input, answers each with a line, and
ends when that input closes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.testing.modbus_server import Illegal, Misbehaviour, ModbusServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TESTS = Path(__file__).parents[1]


class ModbusProcess:
    """A server in another process, on the loopback at `port`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self.port = process, port

    async def set(
        self, *, misbehaviour: Misbehaviour | None = None, illegal: tuple[Illegal, ...] = ()
    ) -> dict[str, int]:
        """Change what it does; give how many connections and requests it has had."""
        refused = [[i.area, i.first, i.last, i.code] for i in illegal]
        name = misbehaviour.name if misbehaviour else None
        order = {"misbehaviour": name, "illegal": refused}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        found: dict[str, int] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def modbus_process(units: int = 1) -> AsyncIterator[ModbusProcess]:
    """Run one while entered; it answers for the units from 1 to `units`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.modbus_process",
        str(units),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        assert process.stdout is not None
        yield ModbusProcess(process, int(await process.stdout.readline()))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _serve() -> None:
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with ModbusServer() as server:
        server.units = set(range(1, int(sys.argv[1]) + 1))
        _say(server.port)
        while line := await orders.readline():
            order = json.loads(line)
            name = order["misbehaviour"]
            server.misbehaviour = Misbehaviour[name] if name else None
            server.illegal = tuple(Illegal(*one) for one in order["illegal"])
            _say({"connections": server.connections, "requests": len(server.requests)})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
