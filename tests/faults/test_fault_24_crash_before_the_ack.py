"""Fault 24: the server dies after its commit and before its ack: one copy of everything stays."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from support.fleet import FleetServer, Gateway, anchor
from support.fleet_life import ROWS, SAMPLES, eventually, life, seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.e2e


class Mute:
    """Relays a connection; once `hushed`, nothing of the server reaches the gateway any more."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.hushed = False

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until one side ends it."""
        try:
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, ours}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, ours, hush=False), name="mute.up")
                group.create_task(self._pump(theirs, writer, hush=True), name="mute.down")
        except* OSError:
            pass
        finally:
            for end in (writer, ours):
                end.close()
                self._writers.discard(end)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, hush: bool
    ) -> None:
        while data := await source.read(65_536):
            if not (hush and self.hushed):
                sink.write(data)
                await sink.drain()
        sink.close()

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def muted(port: int) -> AsyncIterator[tuple[Mute, str]]:
    """Give a relay to `port` and its address."""
    mute = Mute(port)
    listener = await asyncio.start_server(mute.relay, "127.0.0.1", 0)
    async with listener:
        yield mute, f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        mute.cut()


async def test_fault_24_crash_after_commit_before_ack(tmp_path: Path) -> None:
    """The store has all, the gateway has no ack for it; both die; nothing is there twice."""
    journal = tmp_path / "journal"
    with FleetServer(tmp_path) as server:
        async with muted(server.port) as (mute, address):
            async with life(journal, server, address=address) as gateway:
                await gateway.produce(range(5))
                assert await gateway.forwarder.drain(600)
                mute.hushed = True
                await gateway.produce(range(5, 40))
                await eventually(lambda: stored(server) == 40 * SAMPLES)
                assert gateway.account().delivered == 5 * SAMPLES
                server.kill()
                mute.cut()
                mute.hushed = False
                server.start()
                account = await gateway.drained()
            assert (account.produced, account.delivered) == (40 * SAMPLES, 40 * SAMPLES)
            (journal / "cursors" / "cloud.json").unlink()
            async with life(journal, server, address=address, seed=2) as gateway:
                await gateway.produce(range(40, 45))
                await gateway.drained()
        answer = server.read_json("ledger", "--verify")
        assert answer["verified"]["problems"] == []
        assert answer["verified"]["samples"] == 45 * SAMPLES
        assert seconds(server) == [number for number in range(45) for _ in range(ROWS)]


def stored(server: FleetServer) -> int:
    """Give how many samples are durable at the server."""
    return sum(int(line["samples"]) for line in server.read_json("ledger")["lines"])


async def test_fault_24_what_is_sent_again_is_ignored(tmp_path: Path) -> None:
    """A gateway that believes nothing and sends everything anew after each crash."""
    records = [anchor(seq) for seq in range(1, 51)]
    with FleetServer(tmp_path) as server:
        for _ in range(3):
            async with Gateway(server.address, server.issue("g"), "g") as gateway:
                await gateway.send(*records)
                await gateway.ack_up_to(50)
            server.kill()
            server.start()
        answer = server.read_json("ledger", "--verify")
    (line,) = answer["lines"]
    assert (line["records"], line["duplicates"], line["committed"]) == (50, 100, 50)
    assert answer["verified"]["sound"]
