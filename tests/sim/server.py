"""The fleet server in a simulation: its session, ingest and SQLite store, without its threads."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.ingest import Ingest, SessionEnded
from forebay_fleet.intake import DirectIntake
from forebay_fleet.limits import Limits
from forebay_fleet.session import Desk, Session
from forebay_fleet.store.writer import StoreWriter
from sim.net import Broken, Connection

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from sim.clock import SimClock

T = TypeVar("T")


class InlineCommitter:
    """Stands in for `forebay_fleet.committer.Committer`: each job is a transaction of its own.

    It is durable at once; whoever asked hears of it after `delay_most_s` at most, so that a crash
    in between loses the answer.
    """

    def __init__(self, store: StoreWriter, rng: random.Random) -> None:
        self._store, self._rng = store, rng
        self.delay_most_s = 0.01
        self._told_s = 0.0

    async def submit(self, apply: Callable[[], Callable[[], T]], size: int) -> asyncio.Future[T]:
        """See `Committer.submit`."""
        del size
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        ended: SessionEnded | None = None
        result: Any = None
        with self._store.transaction():
            try:
                tell = apply()
            except SessionEnded as error:
                ended = error
        if ended is None:
            result = tell()

        def deliver() -> None:
            if future.done():
                return
            if ended is not None:
                future.set_exception(ended)
            else:
                future.set_result(result)

        loop = asyncio.get_running_loop()
        wait_s = self._rng.uniform(0, self.delay_most_s)
        self._told_s = max(self._told_s, loop.time() + wait_s)  # in order, as one thread would
        loop.call_at(self._told_s, deliver)
        return future


class _Channel:
    """Implements `forebay_fleet.session.Channel` over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self) -> Any:
        try:
            return uplink_pb2.FromGateway.FromString(await self._connection.to_server.read())
        except Broken:
            return grpc.aio.EOF

    async def write(self, message: uplink_pb2.FromServer) -> None:
        with contextlib.suppress(Broken):
            await self._connection.to_gateway.write(message.SerializeToString())


class SimServer:
    """One server; `crash`, `start`, `back_up` and `restore` work on the same data."""

    def __init__(self, directory: Path, clock: SimClock, rng: random.Random) -> None:
        self.directory, self._clock, self._rng = directory, clock, rng
        self._limits = Limits()
        self._store: StoreWriter | None = None
        self._desk: Desk | None = None
        self._sessions: set[asyncio.Task[None]] = set()
        self.counts = True
        """Whether it tells what it has looked at; destinations of other kinds do not."""
        self.backup: Path | None = None
        self.restored = False
        """Whether a backup was ever put back."""

    @property
    def running(self) -> bool:
        """Whether gateways can come."""
        return self._store is not None

    def start(self) -> None:
        """Open the store and take sessions."""
        self._store = StoreWriter(self.directory)
        ingest = Ingest(self._store, self._limits, self._clock.now_ns)
        committer: Any = InlineCommitter(self._store, self._rng)
        self._desk = Desk(DirectIntake(ingest, committer), self._limits, asyncio.Event())

    def serve(self, connection: Connection, gateway: str) -> None:
        """Take one connection."""
        assert self._desk is not None
        task = asyncio.create_task(self._run(self._desk, connection, gateway), name="server")
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _run(self, desk: Desk, connection: Connection, gateway: str) -> None:
        try:
            await Session(desk, _Channel(connection), gateway).run()
        except SessionEnded:
            pass
        finally:
            connection.break_now()

    async def crash(self) -> None:
        """End as SIGKILL does: what was committed stays, no answer goes out any more."""
        for task in tuple(self._sessions):
            task.cancel()
        if self._sessions:
            await asyncio.wait(self._sessions)
        if self._store is not None:
            self._store.close()
        self._store = self._desk = None

    def back_up(self) -> None:
        """Keep a copy of the database of a server that is down."""
        assert self._store is None
        self.backup = self.directory.with_name(self.directory.name + ".backup")
        shutil.rmtree(self.backup, ignore_errors=True)
        self.backup.mkdir()
        for path in self.directory.glob("fleet.db*"):
            shutil.copy(path, self.backup)

    def restore(self) -> None:
        """Put the copy back into a server that is down."""
        assert self._store is None
        assert self.backup is not None
        self.restored = True
        for path in self.directory.glob("fleet.db*"):
            path.unlink()
        for path in self.backup.iterdir():
            shutil.copy(path, self.directory)
