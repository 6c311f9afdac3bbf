"""Real sockets: who is told of each connection, and that nothing that is passed on is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from forebay.control.front import MAX_CONNECTIONS, UNKNOWN, Front
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HELLO = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as line:
    line.connect("s")
    line.sendall(b"who am I?")
    print(line.recv(1000).decode())
"""


def greeting(folder: Path, user: int) -> str:
    """Give the name by which the server knows a process of `user`."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", HELLO, folder, str(user)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout[: done.stdout.index("who")]


class Server:
    """Says to each connection by what address it came, then everything that it hears."""

    def __init__(self) -> None:
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            first = await reader.read(9)
            name: bytes = writer.get_extra_info("peername")
            if first == b"who am I?":
                writer.write(b"unix-abstract:" + name[1:])
            while heard := first or await reader.read(1 << 16):
                first = b""
                writer.write(heard)
                await writer.drain()
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def front(folder: Path) -> AsyncIterator[tuple[Front, Server]]:
    """Give what listens at `folder`/s, and the server that none but it reaches."""
    server = Server()
    folder.chmod(0o755)  # noqa: ASYNC240 - as of the calls below, nobody waits for it
    async with await asyncio.start_unix_server(server.serve, folder / "i"):
        async with Front() as entered:
            entered.listen(folder / "s", folder / "i")
            (folder / "i").unlink()
            (folder / "s").chmod(0o666)
            yield entered, server
        await until(lambda: server.open == 0, "all to be gone")


async def ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""


def users() -> list[int]:
    """Ourselves, and where that can be, somebody else."""
    return [0, 65_534] if os.getuid() == 0 else [os.getuid()]


async def test_each_connection_says_whose_it_is(tmp_path: Path) -> None:
    async with front(tmp_path) as (entered, _):
        for user in users():
            name = await asyncio.to_thread(greeting, tmp_path, user)
            assert entered.who(name) == f"uid:{user}"


async def test_an_address_that_is_not_ours_says_nothing(tmp_path: Path) -> None:
    async with front(tmp_path) as (entered, _), Front() as other:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"who am I?")
        name = (await reader.readuntil(b"who")).removesuffix(b"who").decode()
        assert re.fullmatch(r"uid:\d+", entered.who(name))
        for peer in ("unix:", "", "unix-abstract:-1-uid-0", name + "\n", name + "x"):
            assert entered.who(peer) == UNKNOWN
        assert other.who(name) == UNKNOWN
        writer.close()


async def test_all_of_a_long_talk_arrives_though_nobody_reads_for_a_while(tmp_path: Path) -> None:
    """More than all the buffers on the way hold, so that each of them is full for a time."""
    said = os.urandom(1 << 20) * 8
    async with front(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(said)
        assert await reader.readexactly(len(said)) == said
        writer.close()


async def test_who_hangs_up_is_gone_on_both_sides_and_makes_room(tmp_path: Path) -> None:
    async with front(tmp_path) as (_, server):
        lines = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(MAX_CONNECTIONS)]
        await until(lambda: server.open == MAX_CONNECTIONS, "all to be passed on")
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"123456789")
        assert server.open == MAX_CONNECTIONS, "one beyond waits"
        for _, line in lines:
            line.close()
        assert await reader.readexactly(9) == b"123456789"
        writer.close()
        await until(lambda: server.open == 0, "all to be gone")


async def test_leaving_ends_who_does_not_hang_up(tmp_path: Path) -> None:
    async with front(tmp_path) as (_, server):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        await until(lambda: server.open == 1, "it to be passed on")
    await ended(reader)
    writer.close()


async def test_a_server_that_is_gone_ends_who_comes(tmp_path: Path) -> None:
    async with Front() as entered:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "i"))
            entered.listen(tmp_path / "s", tmp_path / "i")
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            await ended(reader)
            writer.close()
