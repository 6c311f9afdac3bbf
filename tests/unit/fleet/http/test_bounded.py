"""What strangers may have of the HTTP port: not its memory, not all of its connections."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from forebay_fleet.http import bounded
from forebay_fleet.http.bounded import MOST_HEAD_BYTES, BoundedProtocol
from support.processes import until

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

GET = b"GET /n HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /n HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
LONG = b"a" * MOST_HEAD_BYTES
CHUNKED = b"POST /n HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"


def app() -> FastAPI:
    made = FastAPI()

    @made.get("/n")
    async def get() -> str:
        return "yes"

    @made.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @made.get("/much")
    async def much() -> StreamingResponse:
        return StreamingResponse(made.state.parts())

    @made.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text)

    return made


@asynccontextmanager
async def serving(made: FastAPI | None = None) -> AsyncIterator[int]:
    config = uvicorn.Config(
        made or app(),
        port=0,
        log_config=None,
        http=BoundedProtocol,
        ws="websockets-sansio",
        timeout_keep_alive=0,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        await server.shutdown()


async def connect(port: int) -> tuple[StreamReader, StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def told(*parts: bytes) -> bytes:
    """Say `parts`; give all that is answered until the other side ends."""
    async with serving() as port:
        reader, writer = await connect(port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(30):
                return await reader.read()
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()


@pytest.mark.parametrize(
    "head",
    [
        [b"GET /" + LONG + b" HTTP/1.1\r\n"],
        [GET, b"X: ", *[LONG] * 16],
        [GET, *(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(70))],
        [CHUNKED, *(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(70))],
    ],
    ids=["address", "one header", "many headers", "behind the body"],
)
async def test_a_head_that_is_too_long_is_not_kept(head: list[bytes]) -> None:
    said = await told(*head)
    assert said == b"reset" or b" 400 " in said or b" 405 " in said
    assert b" 200 " not in said


async def test_what_is_long_and_may_be_is_taken() -> None:
    said = await told(GET + b"Connection: close\r\nX: " + b"a" * 60_000 + b"\r\n\r\n")
    assert b'"yes"' in said
    post = b"POST /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n"
    assert (await told(post, b"b" * 300_000)).endswith(b"\r\n\r\n300000")


@pytest.mark.parametrize(
    "begun", [b"", GET, GET + b"\r\n" + GET, POST % 10 + b"b"], ids=["idle", "one", "two", "body"]
)
async def test_who_does_not_go_on_is_cut_off(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.2)
    await told(begun)  # it comes to an end


async def test_who_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "HEAD_S", 0.3)
    async with serving() as port:
        reader, writer = await connect(port)
        writer.write(GET)

        def dripped() -> bool:
            writer.write(b"X: y\r\n")
            return reader.at_eof() or reader.exception() is not None or writer.is_closing()

        await until(dripped, "it is cut off")
        writer.close()


@pytest.mark.parametrize("reads", [False, True], ids=["not at all", "slowly"])
async def test_who_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr(bounded, "STALLED_S", 2.5 if reads else 0.5)
    ended = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        try:
            for _ in range(8):
                yield bytes(8 << 20)
            while not reads:
                await asyncio.sleep(0)  # as who reads a store
                yield bytes(8 << 20)
        finally:
            ended.set()

    made = app()
    made.state.parts = parts
    async with serving(made) as port:
        reader, writer = await connect(port)
        writer.write(GET.replace(b"/n", b"/much") + b"Connection: close\r\n\r\n")
        taken = 0
        async with asyncio.timeout(60):
            while reads and (part := await reader.read(1 << 20)):
                taken += len(part)
                await asyncio.sleep(0.02)
            await ended.wait()
        assert taken >= (64 << 20 if reads else 0)
        writer.close()


async def test_an_open_websocket_is_none_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    import websockets

    monkeypatch.setattr(bounded, "HEAD_S", 0.1)
    async with (
        serving() as port,
        websockets.connect(f"ws://127.0.0.1:{port}/ws", compression=None) as line,
    ):
        reader, writer = await connect(port)
        async with asyncio.timeout(30):
            await reader.read()  # until who says nothing is cut off
            writer.close()
            await line.send("a" * 2 * MOST_HEAD_BYTES)
            assert len(await line.recv()) == 2 * MOST_HEAD_BYTES
