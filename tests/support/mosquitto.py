"""A real MQTT broker (mosquitto) that tests kill, freeze and restart, and a publisher beside it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import aiomqtt

from support.processes import free_port, until_listening

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self


class Mosquitto:
    """The broker; `async with` starts it. It keeps port and stored sessions over a restart."""

    def __init__(self, binary: Path, folder: Path, extra: Sequence[str] = ()) -> None:
        """`extra` are lines for its configuration, in place of the anonymous default."""
        self._binary, self._folder = binary, folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            *(extra or ["allow_anonymous true"]),
            "user root",  # else it drops to a user who cannot write where pytest lets us
        ]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start and wait until it listens."""
        command = [str(self._binary), "-c", str(self._config)]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await until_listening(self._process, self.port)

    async def kill(self) -> None:
        """End it as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order, its sessions saved."""
        await self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Let it answer nothing more, its connections staying open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def publish(self, topic: str, *payloads: str | bytes, retain: bool = False) -> None:
        """Publish at QoS 1; on return the broker has them all."""
        async with aiomqtt.Client("127.0.0.1", self.port, timeout=10) as client:
            for payload in payloads:
                await client.publish(topic, payload, qos=1, retain=retain)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
                self._process.send_signal(signal.SIGCONT)
            await self._process.wait()
            self._process = None
