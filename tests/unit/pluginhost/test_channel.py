"""The line to a plugin's process, held by one that calls and connects without end."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from forebay._proto import plugin_pb2 as pb
from forebay._proto import plugin_pb2_grpc
from forebay.clock import SystemClock
from forebay.pluginhost.channel import CONNECTIONS, MOST_REFUSED, Channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""RFC 9113, 3.4: what a client says first, with empty settings."""
MANY = 200
GUESS = "guessed"


async def ended(one: socket.socket) -> None:
    """Greet, and read until the other side closes."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        await loop.sock_sendall(one, GREETING)
        while await loop.sock_recv(one, 4096):
            pass


async def test_connections_without_end_are_closed(tmp_path: Path) -> None:
    channel = Channel(tmp_path / "s", "token", (), 5.0, SystemClock())
    await channel.open()
    loop = asyncio.get_running_loop()
    with ExitStack() as held:
        tasks = []
        for _ in range(MANY):
            one = held.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)  # noqa: FBT003 - the socket's own
            async with asyncio.timeout(30):
                await loop.sock_connect(one, str(tmp_path / "s"))
            tasks.append(asyncio.create_task(ended(one)))
        async with asyncio.timeout(60):
            while sum(task.done() for task in tasks) < MANY - 2 * CONNECTIONS:  # noqa: ASYNC110 - tasks, many
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await channel.close()


async def test_calls_without_end_end_the_line(tmp_path: Path) -> None:
    channel = Channel(tmp_path / "s", "token", (), 5.0, SystemClock())
    await channel.open()

    async def hello() -> AsyncIterator[pb.FromPlugin]:
        yield pb.FromPlugin(hello=pb.PluginHello(protocol=1, token=GUESS))

    async with grpc.aio.insecure_channel(f"unix:{tmp_path / 's'}") as line:
        stub = plugin_pb2_grpc.PluginHostStub(line)
        for _ in range(MOST_REFUSED + 1):
            assert not channel.lost.done()
            assert await stub.Attach(hello()).code() is grpc.StatusCode.PERMISSION_DENIED
    assert "called" in str(channel.lost.result())
    await channel.close()
