"""An ordered reader, and what journals do: end, begin a new epoch, begin anew on another disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.fleet import FleetServer
from support.fleet_life import GATEWAY, ROWS, START_NS, life
from support.forwarding import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOWHERE = "127.0.0.1:9"


class Reader:
    """Asks again and again, each time for what is behind the last answer."""

    def __init__(self, server: FleetServer) -> None:
        self._server = server
        self._after = "0/0"
        self.seconds: list[int] = []
        """Of each row that it was given."""

    def read(self) -> int:
        """Read on; give how many rows there are now."""
        words = ("--gateway", GATEWAY, "--tag", "press/t99", "--ordered", "--limit", "100000")
        page = self._server.read_json("query", *words, "--after", self._after)
        self.seconds += [(v["time_ns"] - START_NS) // 10**9 for v in page["values"]]
        self._after = page["after"]
        return len(self.seconds)

    async def gets(self, numbers: Iterable[int]) -> None:
        """Wait until it has all of these seconds, and assert that it has nothing else."""
        wanted = [number for number in numbers for _ in range(ROWS)]
        await until(lambda: self.read() >= len(wanted))
        assert self.seconds == wanted


async def test_it_goes_on_behind_a_restart_and_a_new_epoch(tmp_path: Path) -> None:
    with FleetServer(tmp_path) as server:
        reader = Reader(server)
        async with life(tmp_path / "journal", server, seed=1) as gateway:
            await gateway.produce(range(5))
            await gateway.drained()
        async with life(tmp_path / "journal", server, seed=2) as gateway:
            await until(lambda: gateway.forwarder.status().state == "connected")
            await gateway.produce(range(5, 10))
            await gateway.drained()
            await reader.gets(range(10))
            await gateway.journal.new_epoch("another destination has other records")
            await gateway.produce(range(10, 15))
            await gateway.drained()
            await reader.gets(range(15))
            assert gateway.forwarder.status().sessions >= 2  # one an epoch, and a busy machine's


async def test_it_goes_on_behind_a_journal_that_began_anew(tmp_path: Path) -> None:
    """The old disk had more runs and something undelivered; the new one was written to offline."""
    with FleetServer(tmp_path) as server:
        reader = Reader(server)
        for run in range(3):
            async with life(tmp_path / "old", server, seed=run) as gateway:
                await gateway.produce(range(5 * run, 5 * run + 5))
                await gateway.drained()
        await reader.gets(range(15))
        async with life(tmp_path / "new", server, seed=50, address=NOWHERE) as gateway:
            await gateway.produce(range(100, 105))
        async with life(tmp_path / "new", server, seed=51) as gateway:
            await gateway.produce(range(105, 110))
            await gateway.drained()
            assert gateway.forwarder.status().sessions == 2
            await gateway.produce(range(110, 115))
            await gateway.drained()
            await reader.gets([*range(15), *range(100, 115)])
        async with life(tmp_path / "new", server, seed=52) as gateway:
            await gateway.produce(range(115, 120))
            await gateway.drained()
            assert gateway.forwarder.status().sessions == 1
            await reader.gets([*range(15), *range(100, 120)])
        assert server.read_json("ledger", "--verify")["verified"]["sound"]
