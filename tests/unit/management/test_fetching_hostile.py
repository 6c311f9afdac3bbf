"""What a server, or whoever is in between, must not do to a box that fetches."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import grpc
import pytest

from forebay._proto import fleet_pb2 as pb
from forebay.errors import FleetUnavailable
from forebay.management.fetching import TRIES, WRONG_TRIES, Fetching
from support.forwarding import make_seams

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 256
SHA256 = hashlib.sha256(CONTENT).digest()


class Call:
    """A stream of replies, or of what comes in their place."""

    def __init__(self, replies: Iterator[object]) -> None:
        self._replies = replies

    async def read(self) -> object:
        """Give the next."""
        await asyncio.sleep(0)
        found = next(self._replies, grpc.aio.EOF)
        if isinstance(found, BaseException):
            raise found
        return found

    def cancel(self) -> None:
        """Nobody reads any more."""


class Server:
    """Answers as its kind says; `asked` are the offsets."""

    def __init__(self, kind: str) -> None:
        self.kind, self.asked = kind, list[int]()

    def Fetch(self, request: pb.FetchRequest) -> Call:  # noqa: N802 - the name of the rpc
        """See fleet.proto."""
        self.asked.append(request.offset)
        return Call(self._replies(request.offset))

    def _replies(self, offset: int) -> Iterator[object]:
        broken = grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"
        )
        while self.kind == "endless":
            yield pb.FetchReply(size_bytes=len(CONTENT))
        step = 1 if self.kind == "drop by drop" else 16 << 10
        yield pb.FetchReply(size_bytes=len(CONTENT), data=CONTENT[offset : offset + step])
        if offset + step < len(CONTENT):
            yield broken


@pytest.mark.parametrize(("kind", "tries"), [("endless", WRONG_TRIES), ("drop by drop", TRIES)])
async def test_who_brings_nothing_is_not_asked_for_ever(kind: str, tries: int) -> None:
    server, fetching = Server(kind), Fetching(make_seams())
    fetching.use(server)
    async with asyncio.timeout(60.0):
        with pytest.raises(FleetUnavailable):
            await fetching.content(SHA256, len(CONTENT))
    assert len(server.asked) == tries


async def test_a_line_that_breaks_off_again_and_again_brings_all_of_it() -> None:
    server, fetching = Server("breaks"), Fetching(make_seams())
    fetching.use(server)
    async with asyncio.timeout(60.0):
        assert await fetching.content(SHA256, len(CONTENT)) == CONTENT
    assert server.asked == [0, 16 << 10, 32 << 10, 48 << 10]
