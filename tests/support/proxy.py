"""A TCP proxy between a gateway and its server that does to the line what lines do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

CHUNK = 64 << 10


class Proxy:
    """`async with Proxy(address) as proxy:` listens on `proxy.address`.

    `dark` swallows what comes, in both directions, and keeps every connection open: half-open TCP;
    `mute` swallows only what comes down: what is asked arrives, and no answer comes.
    `hold` keeps back what comes down, until `release`. `rate` is the bytes a second that go up, on
    all connections together; None: no limit. `up` and `down` count what went through.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[StreamWriter] = set()
        self.dark = self.mute = False
        self.rate: float | None = None
        self.up = self.down = 0
        self.connections = 0
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._tasks)

    def hold(self) -> None:
        """Keep back what comes down, from now on."""
        self._flows.clear()

    def release(self) -> None:
        """Send on what was kept back, and what comes."""
        self._flows.set()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)
            return
        self._writers.add(far_writer)
        pumps = (self._pump(reader, far_writer, up=True), self._pump(far_reader, writer, up=False))
        try:
            await asyncio.gather(*pumps)
        except (OSError, asyncio.CancelledError):
            pass  # an end broke, or the proxy ends: `StreamReader` would tell of it as a defect
        finally:
            for end in (writer, far_writer):
                end.transport.abort()
            self._writers -= {writer, far_writer}
            self._tasks.discard(task)

    async def _pump(self, reader: StreamReader, writer: StreamWriter, *, up: bool) -> None:
        """Carry bytes one way until an end closes; then close the other end."""
        while data := await reader.read(CHUNK):
            if self.dark or (self.mute and not up):
                continue
            if not up:
                await self._flows.wait()
            if up and self.rate is not None:
                await self._at_rate(writer, data)
                continue
            self._count(up, len(data))
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def _at_rate(self, writer: StreamWriter, data: bytes) -> None:
        """Write as many bytes as the rate allows, and look at it again each tenth of a second."""
        while data:
            rate = self.rate
            part = len(data) if rate is None else max(1, int(rate / 10))
            self._count(True, len(data[:part]))  # noqa: FBT003 - the direction
            writer.write(data[:part])
            await writer.drain()
            data = data[part:]
            if rate is not None:
                await asyncio.sleep(max(0.1, 1 / rate))

    def _count(self, up: bool, size: int) -> None:  # noqa: FBT001 - the direction
        if up:
            self.up += size
        else:
            self.down += size
