"""One seed, one run in which everything goes wrong, and then the verdict.

`simulate` raises AssertionError for a broken promise.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING

from sim import verdict
from sim.book import Book
from sim.plc import Plc
from sim.world import run

if TYPE_CHECKING:
    from forebay.testing.disk import FaultyDisk
    from sim.net import Net
    from sim.server import SimServer
    from sim.world import World

TROUBLE_S = 240.0
TIGHT_BYTES = 160 << 10
YEAR_S = 3.2e7
SPARED = {"_server_restored": 0.75, "_rolled_back": 0.8, "_disk_full": 0.5, "_rot": 0.5}
"""Trouble after which less is certain, and the share of the runs that have none of it."""


def simulate(seed: int, *, sparing: bool = True) -> str:
    """Run one seed; give its story, whose last line says how it was judged.

    Most runs are spared some kinds of trouble (`SPARED`), so that more can be asked of them.
    """
    rng = random.Random(seed)
    draw = random.Random(f"sparing {seed}")
    spared = frozenset(deed for deed, share in SPARED.items() if sparing and draw.random() < share)
    uplinks = ("cloud", "second")[: rng.choice((1, 1, 2))]
    return run(seed, uplinks, partial(_script, spared=spared))


def judged(story: object) -> str:
    """Give how the run was judged whose story this is."""
    return str(story).rpartition("  judged ")[2]


async def _script(world: World, spared: frozenset[str]) -> None:
    """Trouble, then peace, then the verdict."""
    trouble = Trouble(world, spared)
    world.book = Book()
    if world.rng.random() < 0.3:
        world.max_bytes, world.plc = TIGHT_BYTES, Plc(100)
    for server in world.servers.values():
        server.start()
        server.counts = "_rolled_back" not in spared  # a fork is only sure to be seen by the count
    world.period_s, world.commit_s = (0.2, 2.0) if world.plc.columns > 8 else (0.5, 0.25)
    world.start_agent()
    while world.loop.time() < TROUBLE_S:
        await asyncio.sleep(world.rng.uniform(0.05, 10))
        await trouble.happen()
        world.check_alive()
    await world.heal()
    await world.drain()
    await world.stop_agent()
    world.start_agent()
    await world.drain()
    await world.stop_agent()
    for server in world.servers.values():
        await server.crash()
    world.note(f"{dict(world.last_words)}")
    world.note(f"  judged {verdict.check(world)}")


class Trouble:
    """What can go wrong, drawn by the world's seed."""

    def __init__(self, world: World, spared: frozenset[str]) -> None:
        self._world, self._spared = world, spared
        self._copy: tuple[FaultyDisk, dict[int, int], set[int]] | None = None

    @property
    def _book(self) -> Book:
        assert self._world.book is not None
        return self._world.book

    async def happen(self) -> None:
        name = self._world.rng.choice(list(self._world.nets))
        net, server = self._world.nets[name], self._world.servers[name]
        deed = self._world.rng.choice(
            (
                self._kill,
                self._kill,
                self._power,
                self._orderly,
                self._net_down,
                self._net_up,
                self._net_up,
                self._net_silent,
                self._net_slow,
                self._server_crash,
                self._server_crash,
                self._server_restored,
                self._disk_slow,
                self._disk_full,
                self._disk_free,
                self._disk_free,
                self._rolled_back,
                self._plc,
                self._clock_step,
                self._rot,
            )
        )
        if deed.__name__ not in self._spared:
            await deed(net, server)

    async def _kill(self, _net: Net, _server: SimServer) -> None:
        await self._world.end_agent(power=False)
        await asyncio.sleep(self._world.rng.uniform(0, 5))
        self._world.start_agent()

    async def _power(self, _net: Net, _server: SimServer) -> None:
        await self._world.end_agent(power=True)
        await asyncio.sleep(self._world.rng.uniform(0, 30))
        self._world.start_agent()

    async def _orderly(self, _net: Net, _server: SimServer) -> None:
        await self._world.stop_agent()
        self._world.start_agent()

    async def _net_down(self, net: Net, _server: SimServer) -> None:
        self._world.note("network down")
        net.cut()

    async def _net_up(self, net: Net, _server: SimServer) -> None:
        self._world.note("network up")
        net.up, net.silent, net.bytes_per_s = True, False, 1e9

    async def _net_silent(self, net: Net, _server: SimServer) -> None:
        self._world.note("network half open")
        net.silent = True

    async def _net_slow(self, net: Net, _server: SimServer) -> None:
        net.bytes_per_s = self._world.rng.choice((200.0, 2_000.0, 20_000.0))
        self._world.note(f"network {net.bytes_per_s:.0f} B/s")

    async def _server_crash(self, net: Net, server: SimServer) -> None:
        self._world.note("server killed")
        net.reset()
        await server.crash()
        if self._world.rng.random() < 0.3:
            server.back_up()
        await asyncio.sleep(self._world.rng.uniform(0, 10))
        server.start()

    async def _server_restored(self, net: Net, server: SimServer) -> None:
        if server.backup is None:
            return
        self._world.note("server restored from backup")
        net.reset()
        await server.crash()
        server.restore()
        server.start()

    async def _disk_slow(self, _net: Net, _server: SimServer) -> None:
        self._world.loop.disk_delay_most_s = self._world.rng.choice((0.002, 0.002, 0.1, 2.0))
        self._world.note(f"disk up to {self._world.loop.disk_delay_most_s} s")

    async def _disk_full(self, _net: Net, _server: SimServer) -> None:
        """Others leave a few segments' room, or none at all."""
        disk = self._world.disk
        room = self._world.rng.choice((0, 0, 5_000, 40_000))
        self._book.filled()
        disk.others_bytes += max(0, disk.room() - room)
        self._world.note(f"others fill the disk but for {room} bytes")

    async def _disk_free(self, _net: Net, _server: SimServer) -> None:
        self._world.disk.others_bytes = 0
        self._world.note("the disk has room")

    async def _rolled_back(self, _net: Net, _server: SimServer) -> None:
        """Keep a copy of the disk; the next time, put it back."""
        world = self._world
        if self._copy is None:
            world.note("the disk is backed up")
            self._copy = world.disk.snapshot(), world.look(), set(self._book.durable)
            return
        await world.end_agent(power=False)
        world.note("the disk is put back from its backup")
        world.disk, world.written, self._book.durable = self._copy
        self._copy, world.rolled_back = None, True
        world.start_agent()

    async def _plc(self, _net: Net, _server: SimServer) -> None:
        self._world.plc.down = not self._world.plc.down
        self._world.note(f"PLC {'off' if self._world.plc.down else 'on'}")

    async def _clock_step(self, _net: Net, _server: SimServer) -> None:
        by_s = self._world.rng.choice((0.234567891, 3_600.123456789, 3.2e8))
        seconds = self._world.rng.choice((-1, 1)) * by_s
        self._world.clock.step_wall(seconds)
        self._world.clock.is_synced = self._world.rng.random() < 0.7
        self._book.leapt |= seconds > YEAR_S
        self._book.aged |= self._book.leapt and self._world.clock.is_synced
        self._world.note(
            f"clock {seconds:+.1f} s, {'synced' if self._world.clock.is_synced else 'unsynced'}"
        )

    async def _rot(self, _net: Net, _server: SimServer) -> None:
        """Turn a bit of something that rests on disk; rarely, and not in what is being written."""
        resting = [p for p in self._world.disk.paths() if p.suffix == ".seg"][:-4]
        if resting and self._world.rng.random() < 0.3:
            path = self._world.rng.choice(resting)
            self._world.disk.flip(
                path, self._world.rng.randrange(max(1, self._world.disk.size(path) * 8))
            )
            self._book.rotted = True
            self._world.note(f"bit flipped in {path.name}")
