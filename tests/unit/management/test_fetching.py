"""Files from the fleet server: gone on with over restarts, and believed by their hash alone."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from forebay._proto import fleet_pb2 as pb
from forebay._proto import fleet_pb2_grpc
from forebay.errors import FleetRefused, FleetUnavailable
from forebay.management.fetching import PART, Fetching
from support.forwarding import make_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 4_096
SHA256 = hashlib.sha256(CONTENT).digest()
SIZE = len(CONTENT)


class Server(fleet_pb2_grpc.FleetServicer):
    """Serves one content and one file of metadata; `most` bytes a call, then it breaks off."""

    def __init__(self) -> None:
        self.content, self.most = CONTENT, SIZE
        self.asked: list[int] = []
        self.called = asyncio.Event()

    async def Fetch(  # noqa: N802 - the name of the rpc
        self, request: pb.FetchRequest, context: Any
    ) -> AsyncIterator[pb.FetchReply]:
        """See fleet.proto."""
        self.asked.append(request.offset)
        self.called.set()
        if request.metadata == "timestamp.json":
            yield pb.FetchReply(size_bytes=5, data=b"hello")
            return
        if request.sha256 != SHA256:
            await context.abort(grpc.StatusCode.NOT_FOUND, "none", (("forebay-code", "unknown"),))
        end = min(request.offset + self.most, len(self.content))
        for begin in range(request.offset, end, 64 << 10):
            yield pb.FetchReply(data=self.content[begin : min(begin + (64 << 10), end)])
        if end < len(self.content):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "it breaks off")


@asynccontextmanager
async def fetching(server: Server) -> AsyncIterator[Fetching]:
    """Give one that asks this server over a real connection."""
    serving = grpc.aio.server()
    fleet_pb2_grpc.add_FleetServicer_to_server(server, serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            made = Fetching(make_seams())
            made.use(fleet_pb2_grpc.FleetStub(channel))
            yield made
    finally:
        await serving.stop(None)


async def test_a_file_goes_on_after_a_restart_where_it_was(tmp_path: Path) -> None:
    server, target = Server(), tmp_path / "plugin.tar"
    part = tmp_path / ("plugin.tar" + PART)
    part.write_bytes(CONTENT[:300_000])  # what a run before has left
    async with fetching(server) as made:
        await made.to_file(SHA256, SIZE, target)
    assert target.read_bytes() == CONTENT
    assert not part.exists()
    assert server.asked == [300_000]


@pytest.mark.parametrize("left", [b"x" * 500_000, CONTENT + b"x", CONTENT[:-1] + b"?"])
async def test_what_proves_to_be_another_content_is_fetched_anew(
    tmp_path: Path, left: bytes
) -> None:
    server, target = Server(), tmp_path / "model"
    (tmp_path / ("model" + PART)).write_bytes(left)
    async with fetching(server) as made:
        await made.to_file(SHA256, SIZE, target)
    assert target.read_bytes() == CONTENT
    assert server.asked[-1] == 0


async def test_another_content_never_gets_the_name(tmp_path: Path) -> None:
    server, target = Server(), tmp_path / "model"
    server.content = CONTENT[:-1] + b"?"
    async with fetching(server) as made:
        with pytest.raises(FleetUnavailable, match="is not"):
            await made.to_file(SHA256, SIZE, target)
    assert not target.exists()
    assert (tmp_path / ("model" + PART)).stat().st_size == 0


async def test_what_this_box_may_not_have_is_refused_at_once(tmp_path: Path) -> None:
    server = Server()
    async with fetching(server) as made:
        with pytest.raises(FleetRefused) as refused:
            await made.to_file(b"n" * 32, SIZE, tmp_path / "model")
        assert refused.value.code == "unknown"
        assert len(server.asked) == 1
        assert await made.metadata("timestamp.json", 100) == b"hello"
        with pytest.raises(FleetUnavailable, match="larger"):
            await made.metadata("timestamp.json", 4)


async def test_who_asks_while_there_is_no_stream_waits_for_one() -> None:
    async with fetching(Server()) as made:
        fleet = made._fleet  # noqa: SLF001 - what a stream gives, and takes
        made.use(None)
        asked = asyncio.create_task(made.content(SHA256, SIZE))
        done, _ = await asyncio.wait((asked,), timeout=0.2)
        assert not done
        made.use(fleet)
        async with asyncio.timeout(60.0):
            assert await asked == CONTENT


async def test_who_is_cancelled_leaves_a_part_to_go_on_with(tmp_path: Path) -> None:
    server, target = Server(), tmp_path / "model"
    server.most = 128 << 10
    async with fetching(server) as made:
        for _ in range(5):
            task = asyncio.create_task(made.to_file(SHA256, SIZE, target))
            server.called.clear()
            async with asyncio.timeout(60.0):
                await server.called.wait()
            task.cancel()
            await asyncio.wait((task,))
        await made.to_file(SHA256, SIZE, target)
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o077 == 0
