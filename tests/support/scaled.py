"""A fleet server of many processes: some that take records, workers, NATS and PostgreSQL.

Each process has a data directory of its own, as on machines of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from forebay_fleet.certificates import init, issue_gateway, issue_server
from forebay_fleet.ingest import SessionEnded
from support.jetstream import Cluster
from support.processes import BIN, Process, free_port, until

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Awaitable, Callable

    from forebay_fleet._proto import uplink_pb2
    from forebay_fleet.intake import Taker
    from forebay_fleet.stream.publishing import StreamIntake


CHUNK = 64 << 10
TESTS = Path(__file__).resolve().parents[1]


class Balancer:
    """Sends each connection to the next of `ports` that takes it, as balancers of TCP do."""

    def __init__(self, ports: list[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._count = len(ports)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            for port in itertools.islice(self._turns, self._count):
                try:
                    back, forth = await asyncio.open_connection("127.0.0.1", port, limit=CHUNK)
                except OSError:
                    continue
                with contextlib.closing(forth):
                    ways = [
                        asyncio.create_task(_copy(reader, forth), name="balancer.up"),
                        asyncio.create_task(_copy(back, writer), name="balancer.down"),
                    ]
                    try:
                        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for way in ways:
                            way.cancel()
                        await asyncio.wait(ways)
                return


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


def ready(process: Process) -> bool:
    """Whether a server listens, or a worker works. AssertionError if it has ended."""
    assert process.running, process.text()
    return any(word in process.text() for word in ("working", "listening on"))


async def _true(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + 90
    while not await condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.2)


class Scaled:
    """`async with` starts NATS, then workers, then those who take records."""

    def __init__(self, folder: Path, database: str, *, takers: int = 3, workers: int = 2) -> None:
        """Keep all below `folder`, and the tables in `database`."""
        self.folder, self.database = folder, database
        self.cluster = Cluster(folder / "nats")
        self.pki = folder / "pki"
        init(self.pki, "throw-away CA")
        issue_server(self.pki, self.pki, ["127.0.0.1"], 1)
        common = [
            *("--database", database, "--stream", self.cluster.url),
            *("--stream-ca", str(self.cluster.authority), "--stream-gib", "1"),
        ]
        program = str(BIN / "forebay-fleet")
        self.ports = [free_port() for _ in range(takers)]
        self.takers = [
            Process(
                f"serve-{port}",
                [
                    *(program, "serve", "--data", str(folder / f"serve-{port}")),
                    *("--listen", f"127.0.0.1:{port}", "--cert", str(self.pki / "server.crt")),
                    *("--key", str(self.pki / "server.key")),
                    *("--client-ca", str(self.pki / "ca.crt"), *common),
                ],
                folder,
            )
            for port in self.ports
        ]
        self.workers = [
            Process(
                f"worker-{number}",
                [program, "worker", "--data", str(folder / f"worker-{number}"), *common],
                folder,
            )
            for number in range(workers)
        ]
        self._stack = AsyncExitStack()

    @property
    def data(self) -> Path:
        """A data directory by which commands find the tables."""
        return self.folder / "worker-0"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.cluster)
            for process in (*self.workers, *self.takers):
                await stack.enter_async_context(process)
                await process.start()
            for process in (*self.workers, *self.takers):
                await until(partial(ready, process), "it works, or listens")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def records(self) -> int:
        """Give how many records are stored."""
        with psycopg.connect(self.database, connect_timeout=10) as connection:
            found = connection.execute(
                "SELECT coalesce(sum(records), 0) FROM forebay_store.lines"
            ).fetchone()
        assert found is not None
        return int(found[0])

    def bytes(self) -> int:
        """Give what the tables take on disk, with their indexes."""
        with psycopg.connect(self.database, connect_timeout=10) as connection:
            found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert found is not None
        return int(found[0])

    async def goes_on(self, more: int) -> None:
        """Wait until so many more records are stored."""
        most = await asyncio.to_thread(self.records) + more

        async def reached() -> bool:
            return await asyncio.to_thread(self.records) >= most

        await _true(reached, "records are stored")

    async def drained(self) -> None:
        """Wait until workers have committed all that boxes were told is safe."""

        async def empty() -> bool:
            return not await self.cluster.waiting()

        await _true(empty, "workers commit all that there is")

    def told(self) -> str:
        """Give the ends of all logs."""
        return "\n".join(one.text()[-1500:] for one in (*self.takers, *self.workers))


async def greeted(
    intake: StreamIntake, asked: uplink_pb2.Hello
) -> tuple[Taker, uplink_pb2.Welcome]:
    """Come again while no worker has the part yet, as a box does."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await intake.greet(asked)
            except SessionEnded as ended:
                if "no worker" not in str(ended):
                    raise


class Load:
    """A process of `support.load`, between `begin` and `end`."""

    def __init__(self, pki: Path, addresses: list[str], **job: Any) -> None:
        """Make certificates for its gateways."""
        self._job = {"addresses": addresses, "pki": str(pki), "first": 0, **job}
        for number in range(self._job["first"], self._job["first"] + self._job["count"]):
            issue_gateway(pki, pki, f"gw-{number:05d}", 1)

    async def begin(self) -> None:
        """Start it and wait until all its gateways are in."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "support.load", json.dumps(self._job)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
            cwd=TESTS,
        )
        await self._line()

    async def end(self) -> dict[str, Any]:
        """Have nothing more made; wait until all is delivered, and give what it tells."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        told: dict[str, Any] = await self._line()
        await self._process.wait()
        return told

    async def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        return json.loads(line)
